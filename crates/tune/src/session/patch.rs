//! A change that somebody else wrote, as a patch: the same judge, the same gates.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use diffy::patch_set::{FileOperation, ParseOptions, PatchKind, PatchSet};

use super::Session;
use crate::error::Error;
use crate::progress::Observer;
use crate::report::TrialReport;

impl Session {
    /// Tries a patch in the form of `git diff`, under a name that its author gives.
    ///
    /// # Errors
    ///
    /// The patch is longer than 1 MiB, malformed, does not fit, or does more than change files that
    /// are there; otherwise as [`Session::try_all`].
    pub fn try_patch(
        &mut self,
        name: &str,
        patch: &str,
        observer: Observer<'_>,
    ) -> Result<&TrialReport, Error> {
        let texts = self.patched(patch)?;
        self.try_texts(name, None, "a patch", texts, patch.to_owned(), observer)
    }

    /// Returns the texts of the files that a patch changes, after it.
    fn patched(&self, patch: &str) -> Result<BTreeMap<PathBuf, String>, Error> {
        if patch.len() > PATCH_BYTES_MAX {
            return Err(Error::request("the patch is longer than 1 MiB"));
        }
        let options = if patch.contains("diff --git ") {
            ParseOptions::gitdiff()
        } else {
            ParseOptions::unidiff()
        };
        let mut texts = BTreeMap::new();
        for part in PatchSet::parse(patch, options) {
            let part =
                part.map_err(|error| Error::request("the patch is malformed").because(error))?;
            let path = match part.operation().strip_prefix(1) {
                FileOperation::Modify { modified, .. } => PathBuf::from(modified.as_ref()),
                _ => {
                    return Err(Error::request(
                        "the patch creates, removes or renames files; only changes can be tried",
                    ));
                }
            };
            if !is_plain(&path) {
                let path = path.display();
                return Err(Error::request(format!(
                    "the patch names {path}, outside of the project"
                )));
            }
            let place = self.project.root.join(&path);
            let before = std::fs::read_to_string(&place)
                .map_err(|error| Error::file("read", &place, error))?;
            let PatchKind::Text(hunks) = part.patch() else {
                return Err(Error::request("the patch changes a file that is no text"));
            };
            let after = diffy::apply(&before, hunks).map_err(|error| {
                let path = path.display();
                Error::request(format!("the patch does not fit {path}")).because(error)
            })?;
            texts.insert(path, after);
        }
        if texts.is_empty() {
            return Err(Error::request("the patch changes nothing"));
        }
        Ok(texts)
    }
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

const PATCH_BYTES_MAX: usize = 1 << 20;
