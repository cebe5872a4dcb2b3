//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! A [`Tree`] (every file git knows or would add) and a [`Workspace`] (what Cargo knows) go in,
//! [`Finding`]s come out. Each rule is a function of those two values and lives in the file of its
//! subject, so a rule is tested on a few lines of text and never on a folder. Only [`run`] reads
//! files and starts programs. A finding names a place, what stands there and what would be right.

mod code_map;
mod documents;
mod layers;
mod licences;
mod manifests;
mod metrics;
mod scan;
mod size;
mod source;
mod tree;

use std::fmt;
use std::path::Path;

use crate::cargo::Workspace;
use crate::error::Result;
use tree::Tree;

/// One broken rule: where, what, and what would be right.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    right: String,
}

impl Finding {
    fn new(
        path: impl Into<String>,
        line: usize,
        what: impl Into<String>,
        right: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), line, what: what.into(), right: right.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.right)
    }
}

/// Reads the workspace at `root` and returns every broken rule, sorted by place.
///
/// # Errors
///
/// Fails when git or Cargo cannot be asked, or a file cannot be read.
pub(crate) fn run(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let workspace = Workspace::read(root)?;
    Ok(check(&tree, &workspace))
}

fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let rules: &[fn(&Tree, &Workspace) -> Vec<Finding>] = &[
        layers::check,
        code_map::check,
        manifests::check,
        licences::check,
        |tree, _| source::check(tree),
        |tree, _| size::check(tree),
        |tree, _| documents::check(tree),
        metrics::check,
    ];
    let mut findings: Vec<_> = rules.iter().flat_map(|rule| rule(tree, workspace)).collect();
    findings.sort();
    findings
}

/// The page that describes the whole, relative to the root.
const ARCHITECTURE: &str = "ARCHITECTURE.md";
