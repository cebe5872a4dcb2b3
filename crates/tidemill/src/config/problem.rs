//! What is wrong with a configuration, where it stands, and what would be right.
//!
//! Positions are byte offsets while reading and become lines and columns (1-based, counted in
//! characters) only here, once per problem.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// One thing to correct in a configuration file.
///
/// Displays as `file:line:column: what; what would be right`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as the operator named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, what, right } = self;
        write!(f, "{file}:{line}:{column}: {what}; {right}")
    }
}

/// The text being read, and the problems found in it so far.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<(usize, String, String)>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Notes a problem that begins where `span` begins.
    pub(super) fn push(
        &mut self,
        span: &Range<usize>,
        what: impl Into<String>,
        right: impl Into<String>,
    ) {
        self.found.push((span.start, what.into(), right.into()));
    }

    /// Returns true when a problem begins inside `span`, its end included.
    pub(super) fn any_within(&self, span: &Range<usize>) -> bool {
        self.found.iter().any(|(offset, ..)| (span.start..=span.end).contains(offset))
    }

    /// Drops what was found on these lines.
    pub(super) fn forget_lines(&mut self, lines: &[usize]) {
        let text = self.text;
        self.found.retain(|(offset, ..)| !lines.contains(&position(text, *offset).0));
    }

    /// Returns the line, from 1, that `offset` stands on.
    pub(super) fn line(&self, offset: usize) -> usize {
        position(self.text, offset).0
    }

    /// Returns every problem in the order of the file.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found.dedup();
        let at = |(offset, what, right)| {
            let (line, column) = position(self.text, offset);
            Problem { file: self.file.to_owned(), line, column, what, right }
        };
        self.found.into_iter().map(at).collect()
    }
}

/// Returns line and column, both from 1, of a byte offset; the end of the text for one beyond it.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let offset = text.floor_char_boundary(offset.min(text.len()));
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let text = "a = 1\nnäme = 2\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 6), (2, 1));
        assert_eq!(position(text, text.find('2').expect("in the text")), (2, 8));
        assert_eq!(position(text, 8), (2, 2), "inside a character counts as its start");
        assert_eq!(position(text, 999), (3, 1));
    }
}
