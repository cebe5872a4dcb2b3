//! Files: how they stand, and what is to become of those that vanished.

use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::files::{Files, FilesStatus};

use super::Workstream;

impl Workstream {
    /// Returns how files and store stand to each other; `None` when no files are kept.
    pub fn files(&self) -> Option<FilesStatus> {
        self.inner.files.as_ref().map(Files::status)
    }

    /// Compares every file with the store, takes in and writes out what differs, and returns how
    /// many files there are. Reads each file.
    ///
    /// # Errors
    ///
    /// When no files are kept, or the store fails.
    pub async fn sync_files(&self) -> Result<usize, Error> {
        self.ask_files(Files::scan).await
    }

    /// Deletes what the files stood for that vanished at once and were held; returns how many.
    ///
    /// # Errors
    ///
    /// As [`sync_files`](Self::sync_files).
    pub async fn confirm_deletions(&self) -> Result<usize, Error> {
        self.ask_files(Files::confirm).await
    }

    /// Writes the files again that vanished at once and were held; returns how many.
    ///
    /// # Errors
    ///
    /// As [`sync_files`](Self::sync_files).
    pub async fn restore_files(&self) -> Result<usize, Error> {
        self.ask_files(Files::restore).await
    }

    async fn ask_files(
        &self,
        ask: impl FnOnce(&Files) -> Result<usize, Error> + Send + 'static,
    ) -> Result<usize, Error> {
        let inner = Arc::clone(&self.inner);
        let asked = tokio::task::spawn_blocking(move || {
            inner.files.as_ref().map_or_else(|| Err(Kind::NoFiles.into()), ask)
        });
        asked.await.map_err(|error| Kind::Interrupted(error.to_string()))?
    }
}
