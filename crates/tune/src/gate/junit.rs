//! The answers of a gate in JUnit's form, which every continuous integration reads.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Answer, Checked};
use crate::error::Error;

/// Returns the answers as a JUnit document: a failure for a broken clause, skipped for one that
/// cannot be measured here.
///
/// # Errors
///
/// A text cannot be written as XML.
pub fn junit(checked: &[Checked], took: Duration) -> Result<String, Error> {
    let mut suite = TestSuite::new("budget");
    suite.set_time(took);
    for clause in checked {
        let mut status = match clause.answer {
            Answer::Pass => TestCaseStatus::success(),
            Answer::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Answer::Unmeasurable => TestCaseStatus::skipped(),
        };
        status.set_message(format!("{}: {}", clause.answer.as_str(), clause.measured));
        let mut case = TestCase::new(clause.clause.as_str(), status);
        case.set_classname("budget");
        suite.add_test_case(case);
    }
    let mut report = Report::new("tidemill tune gate");
    report.add_test_suite(suite);
    report.to_string().map_err(|error| Error::machine("cannot write JUnit").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_form() {
        let checked: Vec<Checked> = [Answer::Pass, Answer::Fail, Answer::Unmeasurable]
            .into_iter()
            .map(|answer| Checked {
                clause: format!("cpu {}", answer.as_str()),
                answer,
                measured: "1 < 2".to_owned(),
            })
            .collect();
        let text = junit(&checked, Duration::from_secs(1)).unwrap();
        assert!(text.contains("failures=\"1\""), "{text}");
        assert_eq!(text.matches("<skipped").count(), 1, "{text}");
        assert!(text.contains("1 &lt; 2"), "{text}");
    }
}
