//! Whole sessions on small projects: what is planted is found, mended and proven.

use std::fs;
use std::path::Path;

use tidemill_tune::judge::Verdict;
use tidemill_tune::progress::{Observer, Progress, Stop};
use tidemill_tune::session::{Options, Session};

const MAIN: &str = r#"fn main() {
    let words: Vec<u64> = (0..6_000).map(|i| i * 7 % 9_001).collect();
    println!("{} {}", common(&words), cold(&words));
}

fn common(words: &[u64]) -> usize {
    let mut count = 0;
    for i in 0..9_000_u64 {
        if words.contains(&i) {
            count += 1;
        }
    }
    count
}

fn cold(words: &[u64]) -> usize {
    (0..3_u64).filter(|i| words.contains(i)).count()
}

#[test]
fn nothing_is_common_with_nothing() {
    assert_eq!(common(&[]), 0);
}
"#;

fn plant(folder: &Path) {
    fs::create_dir_all(folder.join("src")).expect("scratch space");
    let manifest = "[package]\nname = \"app\"\nedition = \"2024\"\n";
    fs::write(folder.join("Cargo.toml"), manifest).expect("scratch space");
    fs::write(folder.join("src/main.rs"), MAIN).expect("scratch space");
}

#[test]
fn a_searched_list_is_found_mended_and_proven() {
    let scratch = tempfile::tempdir().unwrap();
    plant(scratch.path());
    let stop = Stop::default();
    let tell =
        |progress: &Progress| eprintln!("{}: {}/{}", progress.what, progress.done, progress.total);
    let observer = Observer::new(&tell, &stop);
    let mut options = Options::default();
    options.levers = false;
    let mut session = Session::open(scratch.path(), options, observer).unwrap();
    let report = session.run(observer).unwrap();
    println!("{}", report.markdown());

    assert_eq!(report.hotspots[0].function, "common");
    assert!(report.hotspots[0].share > 0.5, "{:?}", report.hotspots);
    let kept: Vec<_> = report.kept().collect();
    assert_eq!(kept.len(), 1, "{:?}", report.trials);
    assert_eq!(kept[0].finding, "contains-in-loop@src/main.rs:9");
    assert!(
        report.trials.iter().all(|trial| trial.verdict != Verdict::Keep || trial.ratio > Some(1.5))
    );

    assert_eq!(fs::read_to_string(scratch.path().join("src/main.rs")).unwrap(), MAIN);
    let accepted = session.accept(&[], false).unwrap();
    assert_eq!(accepted.applied, ["contains-in-loop@src/main.rs:9"]);
    let after = fs::read_to_string(scratch.path().join("src/main.rs")).unwrap();
    assert!(after.contains("words_set"), "{after}");
}
