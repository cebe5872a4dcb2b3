//! Notices changes in the folder of the configuration file.
//!
//! The folder is watched and not the file, because editors and tools replace a file by renaming
//! another over it. The watcher's thread only leaves a mark: any number of events, an overflow
//! included, is one mark, so it never waits for the reader. Which file changed is not asked; the
//! reader compares the text.

use std::path::Path;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A watched folder.
#[derive(Debug)]
pub(super) struct Watch {
    marks: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch `folder`, without the folders in it.
    ///
    /// # Errors
    ///
    /// When the folder is not there or the system has no watch left.
    pub(super) fn new(folder: &Path) -> Result<Self, notify::Error> {
        let (marker, marks) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading the file is an event too; it must not lead to reading it again.
            let is_read = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
            if !is_read {
                // Full means that a mark is already there.
                let _ = marker.try_send(());
            }
        })?;
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(Self { marks, _watcher: watcher })
    }

    /// Waits for a change and then until nothing has changed for [`QUIET`], at most [`PATIENCE`].
    /// Dropped inside the quiet time it forgets the change, so whoever drops it for a reload has to
    /// read the file anyway.
    pub(super) async fn changed(&mut self) {
        if self.marks.recv().await.is_none() {
            // The watcher is gone, so nothing will ever change again.
            std::future::pending::<()>().await;
        }
        let settle = async { while let Ok(Some(())) = timeout(QUIET, self.marks.recv()).await {} };
        // A folder that never rests is read all the same.
        let _ = timeout(PATIENCE, settle).await;
    }
}

const QUIET: Duration = Duration::from_millis(200);

const PATIENCE: Duration = Duration::from_secs(2);
