//! What is told about the files: counts, problems, what is held back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How files and store stand to each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FilesStatus {
    /// Files at the last scan.
    pub files: usize,
    /// Scans of every file so far.
    pub scans: u64,
    /// Scans among them because events were lost.
    pub overflows: u64,
    /// Files that vanished at once and whose tasks were not deleted: confirm or restore.
    pub held: usize,
    /// Files that are not taken in or not written, by path, and why; the last good state stands.
    /// The first 1,000.
    pub problems: BTreeMap<String, String>,
}

/// The status, shared.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<FilesStatus>);

impl Shown {
    pub(super) fn status(&self) -> FilesStatus {
        self.lock().clone()
    }

    pub(super) fn begin_scan(&self) {
        self.lock().problems.clear();
    }

    pub(super) fn end_scan(&self, files: usize) {
        let mut status = self.lock();
        status.files = files;
        status.scans += 1;
    }

    pub(super) fn overflow(&self) {
        self.lock().overflows += 1;
    }

    /// Notes why a file is not as it should be.
    pub(super) fn problem(&self, path: &str, why: String) {
        let mut status = self.lock();
        if status.problems.get(path) == Some(&why) {
            return;
        }
        tracing::warn!("{path} {why}; the last good state stands");
        if status.problems.len() < PROBLEMS_MAX {
            status.problems.insert(path.to_owned(), why);
        }
    }

    /// Notes that a file is as it should be.
    pub(super) fn good(&self, path: &str) {
        self.lock().problems.remove(path);
    }

    /// Notes how many deletions are held back.
    pub(super) fn hold(&self, count: usize) {
        let mut status = self.lock();
        if count > 0 && status.held != count {
            tracing::warn!(
                "{count} files vanished at once; nothing was deleted: `tidemill files confirm` \
                 deletes what they stood for, `tidemill files restore` writes them again"
            );
        }
        status.held = count;
    }

    pub(super) fn is_held(&self) -> bool {
        self.lock().held > 0
    }

    fn lock(&self) -> MutexGuard<'_, FilesStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PROBLEMS_MAX: usize = 1_000;
