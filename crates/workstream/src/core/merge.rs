//! Three-way merge of texts by lines: a rule for conflicts on top of `similar`'s merge.
//!
//! Where both sides changed the same lines differently, `theirs` stands and the merge says that
//! something was lost. Deterministic in its three arguments.
//!
//! Cost: two diffs by Myers's algorithm. Texts of more than 20,000 lines together are not merged.

use similar::{MergeResolution, TextMerge};

/// What came out of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The text.
    pub text: String,
    /// True when changes of `ours` were given up.
    pub is_lossy: bool,
}

/// Merges two changes of `base`; where they overlap, `theirs` stands.
pub fn merge(base: &str, ours: &str, theirs: &str) -> Merged {
    if ours == theirs || theirs == base {
        return Merged { text: ours.to_owned(), is_lossy: false };
    }
    if ours == base {
        return Merged { text: theirs.to_owned(), is_lossy: false };
    }
    let lines = [base, ours, theirs].map(|text| text.lines().count());
    if lines.iter().sum::<usize>() > LINES_MAX {
        return Merged { text: theirs.to_owned(), is_lossy: true };
    }
    let merge = TextMerge::from_lines(base, ours, theirs);
    let mut text = String::with_capacity(ours.len().max(theirs.len()));
    for region in merge.regions() {
        if matches!(region.resolution(), MergeResolution::Ours) {
            text.extend(region.ours_range().filter_map(|line| merge.ours_line(line)));
        } else {
            text.extend(region.theirs_range().filter_map(|line| merge.theirs_line(line)));
        }
    }
    Merged { text, is_lossy: merge.is_conflicted() }
}

const LINES_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, ours: &str, theirs: &str, want: &str, is_lossy: bool) {
        assert_eq!(merge(base, ours, theirs), Merged { text: want.to_owned(), is_lossy });
    }

    #[test]
    fn changes_of_different_places_are_both_there() {
        check("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n", false);
        check("a\nb\n", "0\na\nb\n", "a\nb\n2\n", "0\na\nb\n2\n", false);
        check("a\nb\nc\n", "a\nc\n", "a\nb\nc\nd\n", "a\nc\nd\n", false);
    }

    #[test]
    fn the_same_change_is_there_once() {
        check("a\nb\n", "a\nx\n", "a\nx\n", "a\nx\n", false);
        check("a\nb\nc\n", "A\nb\nx\n", "A\nb\nc\n", "A\nb\nx\n", false);
    }

    #[test]
    fn the_same_place_goes_to_theirs() {
        check("a\nb\nc\n", "a\nours\nc\n", "a\ntheirs\nc\n", "a\ntheirs\nc\n", true);
        check("", "ours", "theirs", "theirs", true);
    }

    #[test]
    fn a_text_too_long_to_merge_goes_to_theirs() {
        let base = "line\n".repeat(LINES_MAX);
        let theirs = format!("{base}theirs\n");
        let merged = merge(&base, &format!("ours\n{base}"), &theirs);
        assert_eq!((merged.text, merged.is_lossy), (theirs, true));
    }
}
