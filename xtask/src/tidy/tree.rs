//! The files of the repository as values: path and text.
//!
//! Paths are relative to the root and use `/`. A file that is not UTF-8 or larger than
//! [`TEXT_BYTES_MAX`] is there with an empty text, so that its path can still be named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::scan::Scan;
use crate::error::{Context, Error, Result};

/// Every file git knows or would add, and every folder above one.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    scans: BTreeMap<String, Scan>,
}

impl Tree {
    /// Asks git for the files below `root` and reads them.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let output = Command::new("git")
            .arg("-c")
            .arg(format!("safe.directory={}", root.display()))
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context(|| "cannot run git".to_owned())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::outside(format!("git ls-files: {}", said.trim())));
        }
        let listing = String::from_utf8_lossy(&output.stdout);
        let mut files = Vec::new();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // A file that git still lists but that was just deleted is no longer part of the tree.
            let Ok(facts) = fs::symlink_metadata(&full) else { continue };
            let text = if facts.is_file() && facts.len() <= TEXT_BYTES_MAX {
                let bytes = fs::read(&full).context(|| format!("cannot read {path}"))?;
                String::from_utf8(bytes).unwrap_or_default()
            } else {
                String::new()
            };
            files.push((path.to_owned(), text));
        }
        Ok(Self::new(files))
    }

    /// Builds a tree from paths and texts.
    pub(crate) fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
        let scans = rust.map(|(path, text)| (path.clone(), Scan::new(text))).collect();
        Self { files, scans }
    }

    /// Yields path and text of every file, sorted by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Yields path, text and scan of every Rust file, sorted by path.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str, &Scan)> {
        self.scans.iter().map(|(path, scan)| (path.as_str(), self.files[path].as_str(), scan))
    }

    /// Returns the text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Returns true when `path` is a file or a folder that holds one.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.files.contains_key(path)
            || self
                .files
                .range(folder.clone()..)
                .next()
                .is_some_and(|(p, _)| p.starts_with(&folder))
    }
}

#[cfg(test)]
impl Tree {
    /// Builds a tree from literals.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
    }
}

/// Larger files are data, and no rule reads them.
const TEXT_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_exist_through_their_files() {
        let tree = Tree::of(&[("docs/a.md", ""), ("docs-old", ""), ("crates/x/src/lib.rs", "")]);
        assert!(tree.exists("docs"));
        assert!(tree.exists("docs/"));
        assert!(tree.exists("crates/x/src/lib.rs"));
        assert!(!tree.exists("docs/b.md"));
        assert!(!tree.exists("crate"));
    }
}
