//! The facade: an open workspace.
//!
//! Every method that writes takes the name of whoever does it. A write is answered after its batch
//! was committed; a dropped future does not take a write back that was queued already.

mod claims;
mod files;
mod memory;
mod records;
mod tasks;

pub(crate) use memory::writes as memory_writes;
pub(crate) use tasks::{check_after, check_circles};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::error::{Error, Kind};
use crate::files::{FileOptions, Files};
use crate::index::Index;
use crate::model::{Change, Timestamp};
use crate::store::{Batch, Store};

/// An open workspace. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Workstream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    clock: Clock,
    store: Arc<Store>,
    index: Index,
    files: Option<Files>,
}

/// How a workspace is opened.
///
/// # Defaults
///
/// The machine's clock, [`Durability::Power`], an index, no files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the time comes from.
    pub clock: Clock,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Opens without the search index, for a command that does not search. Searches are then
    /// answered from the index as it was left, if it is there.
    pub is_index_idle: bool,
    /// Keeps tasks and memory as files too; `None` leaves files alone.
    pub files: Option<FileOptions>,
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Durability {
    /// Loss of power: each batch is synced to the disk before it is answered.
    #[default]
    Power,
    /// The end of the process, however violent; loss of power may take the last batches.
    Process,
}

/// Who claims, what, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Who claims; becomes assignee and holder of the lease.
    pub holder: String,
    /// Tasks of this role and of no role; `None` takes tasks of every role.
    pub role: Option<String>,
    /// How long the claim holds, 1 second to 24 hours.
    pub lease: Duration,
}

/// Changes as they are stored, from the time of subscription on.
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
}

/// A subscriber was slower than 1,024 changes: this many are lost to it. It has to read anew, or
/// ask for the [`changes_after`](Workstream::changes_after) its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} changes were missed")]
pub struct Lagged(pub u64);

impl Workstream {
    /// Opens the workspace in the folder `path`, usually `.workspace`; makes it if it is not there.
    ///
    /// # Errors
    ///
    /// When another process has it open ([`Error::is_locked`]), the database is damaged
    /// ([`Error::is_damaged`]) or newer than this version, or the folder cannot be written.
    pub async fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        let path = path.into();
        let opened = tokio::task::spawn_blocking(move || open(path, options));
        opened.await.map_err(|error| Kind::Interrupted(error.to_string()))?
    }

    /// Asks the writer.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Batch<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner.store.write(request).await
    }

    /// Returns the workspace's folder.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns the time by the workspace's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Writes files that are kept, answers what is queued, brings the index up to date, leaves the
    /// store marked as sound and
    /// releases the lock. Requests that come later are refused.
    ///
    /// # Errors
    ///
    /// When the runtime stops meanwhile.
    pub async fn close(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        let closed = tokio::task::spawn_blocking(move || {
            if let Some(files) = &inner.files {
                files.close();
            }
            inner.store.drain();
            inner.index.close();
            inner.store.close();
        });
        closed.await.map_err(|error| Kind::Interrupted(error.to_string()).into())
    }
}

impl Changes {
    /// Waits for the next change; `None` once the workspace is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// When changes were lost because this subscriber was too slow.
    pub async fn next(&mut self) -> Result<Option<Change>, Lagged> {
        match self.receiver.recv().await {
            Ok(change) => Ok(Some(change)),
            Err(broadcast::error::RecvError::Closed) => Ok(None),
            Err(broadcast::error::RecvError::Lagged(missed)) => Err(Lagged(missed)),
        }
    }
}

fn open(path: PathBuf, options: Options) -> Result<Workstream, Error> {
    let Options { clock, durability, is_index_idle, files } = options;
    let store = Arc::new(Store::open(&path, &clock, durability)?);
    let index = Index::open(&store, is_index_idle)?;
    let files = files.map(|options| Files::open(&path, &store, &options)).transpose()?;
    if !is_index_idle {
        let (store, clock) = (Arc::downgrade(&store), clock.clone());
        tokio::task::spawn_blocking(move || {
            let Some(store) = store.upgrade() else { return };
            if let Err(error) = store.back_up_if_due(&clock) {
                tracing::warn!(%error, "cannot copy the database");
            }
        });
    }
    Ok(Workstream { inner: Arc::new(Inner { path, clock, store, index, files }) })
}
