//! The one place where the user's tree is changed: kept fixes are written into it when asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Session;
use crate::error::Error;
use crate::judge::Verdict;

/// What was written into the user's tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The findings whose fixes were written.
    pub applied: Vec<String>,
    /// The findings whose fixes touch what another has changed; run again to try them on top.
    pub left: Vec<String>,
}

impl Session {
    /// Writes kept fixes into the user's tree: those of `findings`, or all where it is empty. Each
    /// file is written to a temporary name and renamed. With `commits`, each is a commit.
    ///
    /// # Errors
    ///
    /// A finding was not kept, the files to change have changes that are not committed, or cannot
    /// be written.
    pub fn accept(&mut self, findings: &[String], commits: bool) -> Result<Accepted, Error> {
        let wanted: Vec<String> = if findings.is_empty() {
            let kept = self.trials.iter().filter(|trial| trial.verdict == Verdict::Keep);
            kept.map(|trial| trial.finding.clone()).collect()
        } else {
            findings.to_vec()
        };
        for id in &wanted {
            if !self.kept.contains_key(id) {
                return Err(Error::request(format!("{id} was not kept, so it cannot be accepted")));
            }
        }
        let mut accepted = Accepted::default();
        let mut touched = Vec::<PathBuf>::new();
        for id in wanted {
            let Some(texts) = self.kept.get(&id) else { continue };
            if texts.keys().any(|path| touched.contains(path)) {
                accepted.left.push(id);
                continue;
            }
            self.check_clean(&["--"], texts.keys())?;
            for (path, text) in texts {
                replace(&self.project.root.join(path), text)?;
            }
            touched.extend(texts.keys().cloned());
            if commits {
                self.commit(&id, texts)?;
            }
            accepted.applied.push(id);
        }
        Ok(accepted)
    }

    /// Says before any work whether fixes could be written into the user's tree.
    ///
    /// # Errors
    ///
    /// Tracked files have changes that are not committed.
    pub fn check_applicable(&self) -> Result<(), Error> {
        self.check_clean(&["--untracked-files=no", "--"], std::iter::once(&self.project.root))
    }

    /// Forgets that a candidate was kept.
    ///
    /// # Errors
    ///
    /// It was not kept.
    pub fn reject(&mut self, finding: &str) -> Result<(), Error> {
        self.kept
            .remove(finding)
            .map(drop)
            .ok_or_else(|| Error::request(format!("{finding} was not kept")))
    }

    /// Returns the texts of kept changes of sources that do not touch one another's files.
    pub(super) fn kept_texts(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        for texts in self.kept.values() {
            let is_free = texts.keys().all(|path| !all.contains_key(path));
            if is_free && !texts.contains_key(Path::new("Cargo.toml")) {
                all.extend(texts.clone());
            }
        }
        all
    }

    /// Refuses to mix a fix into somebody's own unfinished changes.
    fn check_clean<'a>(
        &self,
        flags: &[&str],
        paths: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<(), Error> {
        let mut command = Command::new("git");
        command.args(["status", "--porcelain"]).args(flags).args(paths);
        let Ok(output) = command.current_dir(&self.project.root).output() else { return Ok(()) };
        // Outside of a repository nobody else's history can be mixed up.
        if !output.status.success() || output.stdout.is_empty() {
            return Ok(());
        }
        let names = String::from_utf8_lossy(&output.stdout);
        Err(Error::request(format!(
            "the files to change have changes that are not committed; commit or stash them first: \
             {}",
            names.trim()
        )))
    }

    fn commit(&self, id: &str, texts: &BTreeMap<PathBuf, String>) -> Result<(), Error> {
        let trial = self.trials.iter().find(|trial| trial.finding == id);
        let message = trial.map_or_else(String::new, |trial| {
            let numbers = match (trial.ratio, trial.interval) {
                (Some(ratio), Some([low, high])) => {
                    format!("{ratio:.3} times as fast, bounds {low:.3} to {high:.3}")
                }
                _ => trial.reason.clone(),
            };
            format!("{}\n\n{id}: {numbers}", trial.what)
        });
        let output = Command::new("git")
            .args(["commit", "--quiet", "--message", &message, "--"])
            .args(texts.keys())
            .current_dir(&self.project.root)
            .output();
        match output {
            Ok(Output { status, .. }) if status.success() => Ok(()),
            Ok(output) => Err(Error::machine(format!(
                "git does not commit: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ))),
            Err(error) => Err(Error::machine("cannot run git").because(error)),
        }
    }
}

/// Writes a file under a temporary name beside it, with its permissions, and renames.
fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("tune-tmp");
    let write = || {
        let permissions = fs::metadata(path)?.permissions();
        let file = fs::File::create(&temporary)?;
        std::io::Write::write_all(&mut &file, text.as_bytes())?;
        file.set_permissions(permissions)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        Error::file("write", path, error)
    })
}
