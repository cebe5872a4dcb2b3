//! What may be slow and what might mend it: findings from clippy and from rules of our own.
//!
//! A finding is a guess from the text of the program. Its place in the ranking comes from the
//! profile alone, and whether its fix is kept from the judge alone.

mod clippy;
mod edit;
mod rules;
mod source;

pub use self::clippy::clippy;
pub use self::edit::{Edit, Fix, unified};
pub use self::rules::own_rules;
pub use self::source::{Function, SourceFile, Sources};

use std::path::PathBuf;

/// A place in the sources that may cost more than it needs to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What found it, such as `clippy::map_entry` or `contains-in-loop`.
    pub rule: String,
    /// The file, relative to the workspace.
    pub file: PathBuf,
    /// The first line, counted from 1.
    pub line: u32,
    /// The function around it.
    pub function: Option<String>,
    /// What is slow about it, in a sentence.
    pub message: String,
    /// The change that a machine can make; nothing where a person has to think.
    pub fix: Option<Fix>,
}

impl Finding {
    /// Returns a finding at a place, its function not yet known and without a fix.
    #[must_use]
    pub fn new(
        rule: impl Into<String>,
        file: impl Into<PathBuf>,
        line: u32,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule: rule.into(),
            file: file.into(),
            line,
            function: None,
            message: message.into(),
            fix: None,
        }
    }

    /// Returns a name that is the same in each session on the same sources.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}@{}:{}", self.rule, self.file.display(), self.line)
    }
}
