//! Changes of text by byte range, applied all or not at all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use diffy::DiffOptions;

use super::source::Sources;
use crate::error::Error;

/// A change that a machine can make.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fix {
    /// What is done, in a few words.
    pub what: String,
    /// The edits, which belong together.
    pub edits: Vec<Edit>,
}

/// A range of bytes in a file that is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain record of three values")]
pub struct Edit {
    /// The file, relative to the workspace.
    pub file: PathBuf,
    /// The bytes that go.
    pub range: Range<usize>,
    /// The text that comes.
    pub text: String,
}

impl Fix {
    /// Returns a fix of some edits.
    #[must_use]
    pub fn new(what: impl Into<String>, edits: Vec<Edit>) -> Self {
        Self { what: what.into(), edits }
    }

    /// Returns the new text of every file that the fix changes.
    ///
    /// # Errors
    ///
    /// Edits overlap, or name a file or a range that the sources do not have.
    pub fn apply(&self, sources: &Sources) -> Result<BTreeMap<PathBuf, String>, Error> {
        let mut by_file = BTreeMap::<&Path, Vec<&Edit>>::new();
        for edit in &self.edits {
            by_file.entry(&edit.file).or_default().push(edit);
        }
        by_file
            .into_iter()
            .map(|(file, edits)| {
                let text = sources.text(file).ok_or_else(|| misfit(file))?;
                Ok((file.to_owned(), rewrite(text, edits).ok_or_else(|| misfit(file))?))
            })
            .collect()
    }

    /// Returns the change as a patch that `git apply` takes.
    ///
    /// # Errors
    ///
    /// As [`Fix::apply`].
    pub fn patch(&self, sources: &Sources) -> Result<String, Error> {
        let mut patch = String::new();
        for (file, after) in self.apply(sources)? {
            let before = sources.text(&file).ok_or_else(|| misfit(&file))?;
            patch.push_str(&unified(&file, before, &after));
        }
        Ok(patch)
    }
}

/// Returns the change of one file as a patch that `git apply` takes.
#[must_use]
pub fn unified(file: &Path, before: &str, after: &str) -> String {
    DiffOptions::new()
        .set_original_filename(format!("a/{}", file.display()))
        .set_modified_filename(format!("b/{}", file.display()))
        .create_patch(before, after)
        .to_string()
}

/// Returns `text` with every edit made, or nothing where they overlap or do not fit.
fn rewrite(text: &str, mut edits: Vec<&Edit>) -> Option<String> {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for edit in edits {
        if edit.range.start < from {
            return None;
        }
        result.push_str(text.get(from..edit.range.start)?);
        text.get(edit.range.clone())?;
        result.push_str(&edit.text);
        from = edit.range.end;
    }
    result.push_str(text.get(from..)?);
    Some(result)
}

fn misfit(file: &Path) -> Error {
    Error::project(format!("a fix does not fit the text of {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only place that knows the API.
    #[track_caller]
    fn check(edits: &[(Range<usize>, &str)], want: Option<&str>) {
        let sources = Sources::from_texts([("a.rs", "fn main() {}\n")]);
        let edits = edits
            .iter()
            .map(|(range, text)| Edit {
                file: "a.rs".into(),
                range: range.clone(),
                text: (*text).to_owned(),
            })
            .collect();
        let got = Fix::new("", edits).apply(&sources).ok();
        assert_eq!(got.map(|texts| texts[Path::new("a.rs")].clone()).as_deref(), want);
    }

    #[test]
    fn edits_are_made_whatever_their_order() {
        check(&[(11..11, " run() "), (3..7, "start")], Some("fn start() { run() }\n"));
    }

    #[test]
    fn edits_that_overlap_or_do_not_fit_change_nothing() {
        check(&[(3..7, "a"), (6..8, "b")], None);
        check(&[(3..99, "a")], None);
    }

    #[test]
    fn a_patch_has_the_form_that_git_takes() {
        let sources = Sources::from_texts([("a.rs", "one\ntwo\n")]);
        let edit = Edit { file: "a.rs".into(), range: 0..3, text: "1".to_owned() };
        assert_eq!(
            Fix::new("", vec![edit]).patch(&sources).unwrap(),
            "--- a/a.rs\n+++ b/a.rs\n@@ -1,2 +1,2 @@\n-one\n+1\n two\n"
        );
    }
}
