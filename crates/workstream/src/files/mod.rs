//! Tasks and memory as plain files, in both directions.
//!
//! ```text
//! .workspace/tasks/<slug>--<id>.md     .workspace/memory/<scope>/<key>.<format>
//!
//! editor, git ─▶ event ─▶ look: bytes = ledger? ─no─▶ difference to the ledger ─▶ operations
//!                                     │ yes: our own write, or nothing                │
//! store ─▶ change ─▶ least change of the file ─▶ ledger ─▶ draft, sync, exchange ◀────┘
//! ```
//!
//! The file is input, never the truth; the ledger (a table beside the log) holds what each file
//! held when both were the same. Identity is the `id` in the front matter, never the path.
//!
//! | what happens | what comes of it |
//! |---|---|
//! | a file cannot be read or understood | the last good state stands, and a problem is shown |
//! | a file is renamed, or deleted and made again within a second | a change |
//! | a file is copied | a new task; the newer file gets the new identity |
//! | a file is deleted | its task is, unless it was changed since |
//! | over 50 vanish, or over 5 and a quarter of all | nothing, until confirmed or restored |
//! | events are lost, a folder comes or goes | every file is looked at |
//! | a file is read-only, the disk full | what changed is written later; a problem is shown |
//!
//! At most 500,000 files of at most 1.06 MiB each, 8 folders deep; links are not followed. With a
//! watcher the files are followed; without, they are taken in when the workspace opens and written
//! before it closes, by the same code.

mod disk;
mod document;
mod front;
mod front_toml;
mod front_yaml;
mod ingest;
mod status;
mod sync;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::runtime::Handle;

pub use document::{Document, Torn, Values};
pub use status::FilesStatus;

use crate::error::{Error, Kind};
use crate::store::Store;
use disk::Disk;
use status::Shown;
use sync::Sync;
use watch::{Loop, Marks, Message, Order};

/// How the files of a workspace are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// In whose name changes of files are stored.
    pub author: String,
    /// Follows the files; else they are taken in at the start and written at the end.
    pub is_watched: bool,
}

/// The files of an open workspace.
#[derive(Debug)]
pub(crate) struct Files {
    messages: SyncSender<Message>,
    marks: Arc<Marks>,
    shown: Arc<Shown>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Files {
    /// Starts to keep the files. Unless they are watched, they are taken in before this returns.
    /// Blocks.
    pub(crate) fn open(
        root: &Path,
        store: &Arc<Store>,
        options: &FileOptions,
    ) -> Result<Self, Error> {
        let failed = |(path, source)| Kind::File { action: "create", path, source };
        let disk = Disk::open(root, store.state_folder()).map_err(failed)?;
        let (sender, messages) = sync_channel(MESSAGES_MAX);
        let (marks, shown) = (Arc::new(Marks::default()), Arc::new(Shown::default()));
        let runtime = Handle::current();
        forward(&runtime, store, sender.clone());
        let author = options.author.clone();
        let sync = Sync::new(disk, Arc::clone(store), runtime, author, Arc::clone(&shown));
        let run = Loop {
            sync,
            messages,
            sender: sender.clone(),
            marks: Arc::clone(&marks),
            root: root.to_owned(),
            watcher: None,
        };
        let is_watched = options.is_watched;
        let thread = std::thread::Builder::new().name("workstream-files".to_owned());
        let thread = thread.spawn(move || run.run(is_watched)).map_err(Kind::Thread)?;
        let files = Self { messages: sender, marks, shown, thread: Mutex::new(Some(thread)) };
        if !is_watched {
            files.ask(Order::Scan)?;
        }
        Ok(files)
    }

    /// Writes what is left and ends the thread. Blocks.
    pub(crate) fn close(&self) {
        self.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the keeper of files panicked; the next start looks at every file");
        }
    }

    pub(crate) fn status(&self) -> FilesStatus {
        self.shown.status()
    }

    /// Compares every file with the store and writes what is left. Blocks.
    pub(crate) fn scan(&self) -> Result<usize, Error> {
        self.ask(Order::Scan)
    }

    /// Deletes what held files stood for. Blocks.
    pub(crate) fn confirm(&self) -> Result<usize, Error> {
        self.ask(Order::Confirm)
    }

    /// Writes held files again. Blocks.
    pub(crate) fn restore(&self) -> Result<usize, Error> {
        self.ask(Order::Restore)
    }

    fn ask(&self, order: Order) -> Result<usize, Error> {
        let (sender, answer) = sync_channel(1);
        self.messages.send(Message::Do(order, sender)).map_err(|_| Kind::Closed)?;
        answer.recv().map_err(|_| Kind::Closed)?
    }

    fn stop(&self) {
        self.marks.is_stopped.store(true, Ordering::Release);
        // Full means that the thread is awake and sees the mark.
        drop(self.messages.try_send(Message::Stop));
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Wakes the thread when something was stored.
fn forward(runtime: &Handle, store: &Store, sender: SyncSender<Message>) {
    let mut position = store.position.clone();
    runtime.spawn(async move {
        while position.changed().await.is_ok() {
            // Full means that the thread is awake; it asks the store itself what is new.
            drop(sender.try_send(Message::Stored));
        }
    });
}

/// Events that wait for the thread.
const MESSAGES_MAX: usize = 4_096;
