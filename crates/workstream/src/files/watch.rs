//! The thread: waits for events, lets them settle, and has the synchroniser work through them.
//!
//! The watcher's callback never waits: when the channel is full or the kernel's queue overflowed it
//! leaves one mark, and the mark means that every file is looked at again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use notify::event::{CreateKind, ModifyKind, RemoveKind};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::disk::FOLDERS;
use super::sync::Sync;
use crate::clock::monotonic;
use crate::error::Error;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened at a path.
    Touched(PathBuf),
    /// Something was stored.
    Stored,
    /// Do this and answer with a count.
    Do(Order, SyncSender<Result<usize, Error>>),
    /// Write what is left and end.
    Stop,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Compare everything.
    Scan,
    /// Delete what held files stood for.
    Confirm,
    /// Write held files again.
    Restore,
}

/// Marks that do not fit into the channel.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) must_scan: AtomicBool,
    pub(super) has_overflowed: AtomicBool,
    pub(super) is_stopped: AtomicBool,
}

/// The thread's own.
pub(super) struct Loop {
    pub(super) sync: Sync,
    pub(super) messages: Receiver<Message>,
    pub(super) sender: SyncSender<Message>,
    pub(super) marks: Arc<Marks>,
    pub(super) root: PathBuf,
    pub(super) watcher: Option<RecommendedWatcher>,
}

impl Loop {
    /// Runs until it is told to stop.
    pub(super) fn run(mut self, is_watched: bool) {
        if is_watched {
            self.watch();
            self.marks.must_scan.store(true, Ordering::Relaxed);
        }
        loop {
            let more = self.collect();
            // Looked at before the work: what was stored before the stop is written in this round.
            // Acquire pairs with the Release in `Files::stop`.
            let is_last = more.is_stopped || self.marks.is_stopped.load(Ordering::Acquire);
            let result = self.work(&more);
            if let Err(error) = &result
                && !error.is_closed()
            {
                tracing::error!("files and store are not alike: {error}; trying again");
                self.marks.must_scan.store(true, Ordering::Relaxed);
            }
            for (order, answer) in more.orders {
                // Whoever asked may have stopped waiting.
                drop(answer.try_send(self.carry_out(order)));
            }
            if is_last {
                break;
            }
        }
        if let Err(error) = self.sync.finish() {
            tracing::warn!("the next start looks at the last written files again: {error}");
        }
    }

    /// Waits for something to do, and then until it is quiet for [`QUIET`], at most [`PATIENCE`].
    fn collect(&self) -> More {
        let mut more = More::default();
        if !self.marks.must_scan.load(Ordering::Relaxed) {
            let wait = if self.sync.is_waiting() { TICK } else { IDLE };
            match self.messages.recv_timeout(wait) {
                Ok(message) => more.add(message),
                Err(RecvTimeoutError::Timeout) => return more,
                Err(RecvTimeoutError::Disconnected) => more.is_stopped = true,
            }
        }
        let begun = monotonic();
        while !more.is_urgent() && monotonic().saturating_duration_since(begun) < PATIENCE {
            match self.messages.recv_timeout(QUIET) {
                Ok(message) => more.add(message),
                Err(_) => break,
            }
        }
        more
    }

    fn work(&mut self, more: &More) -> Result<(), Error> {
        let now = monotonic();
        if self.marks.has_overflowed.swap(false, Ordering::Relaxed) {
            self.sync.shown.overflow();
            self.marks.must_scan.store(true, Ordering::Relaxed);
        }
        if self.marks.must_scan.swap(false, Ordering::Relaxed) {
            if self.watcher.is_some() {
                // Folders may have come and gone.
                self.watch();
            }
            self.sync.scan(now)?;
        } else {
            let paths = more.touched.iter().filter_map(|path| self.sync.disk.relative(path));
            let paths: Vec<_> = paths.collect();
            self.sync.look(paths, now)?;
        }
        self.sync.settle(now, GRACE)?;
        if more.is_empty() {
            self.sync.retry();
        }
        self.sync.export(now)
    }

    fn carry_out(&mut self, order: Order) -> Result<usize, Error> {
        let now = monotonic();
        let count = match order {
            Order::Scan => {
                self.sync.scan(now)?;
                self.sync.settle(now, Duration::ZERO)?;
                self.sync.shown.status().files
            }
            Order::Confirm => self.sync.confirm()?,
            Order::Restore => self.sync.restore()?,
        };
        self.sync.retry();
        self.sync.export(now)?;
        Ok(count)
    }

    fn watch(&mut self) {
        let (sender, marks, root) =
            (self.sender.clone(), Arc::clone(&self.marks), self.root.clone());
        let handler = move |event: notify::Result<Event>| note(event, &root, &sender, &marks);
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(handler, config).and_then(|mut watcher| {
            watcher.watch(&self.root, RecursiveMode::NonRecursive)?;
            for folder in FOLDERS.map(|name| self.root.join(name)) {
                if folder.is_dir() && !folder.is_symlink() {
                    watcher.watch(&folder, RecursiveMode::Recursive)?;
                }
            }
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => tracing::error!("cannot watch {}: {error}", self.root.display()),
        }
    }
}

/// What has come together.
#[derive(Debug, Default)]
struct More {
    touched: BTreeSet<PathBuf>,
    is_stored: bool,
    orders: Vec<(Order, SyncSender<Result<usize, Error>>)>,
    is_stopped: bool,
}

impl More {
    fn add(&mut self, message: Message) {
        match message {
            Message::Touched(path) => {
                self.touched.insert(path);
            }
            Message::Stored => self.is_stored = true,
            Message::Do(order, answer) => self.orders.push((order, answer)),
            Message::Stop => self.is_stopped = true,
        }
    }

    fn is_urgent(&self) -> bool {
        self.is_stopped || !self.orders.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.touched.is_empty() && !self.is_stored && !self.is_urgent()
    }
}

/// The watcher's callback: passes paths on, and leaves a mark for what has none.
fn note(event: notify::Result<Event>, root: &Path, sender: &SyncSender<Message>, marks: &Marks) {
    let Ok(event) = event else { return marks.has_overflowed.store(true, Ordering::Relaxed) };
    if event.need_rescan() {
        marks.has_overflowed.store(true, Ordering::Relaxed);
    }
    // Reading a file is an event too.
    if matches!(event.kind, EventKind::Access(_)) {
        return wake(sender, marks);
    }
    for path in event.paths {
        let is_ours = FOLDERS.iter().any(|folder| path.starts_with(root.join(folder)));
        if !is_ours {
            continue;
        }
        if is_of_folder(&event.kind, &path) {
            marks.must_scan.store(true, Ordering::Relaxed);
        }
        if sender.try_send(Message::Touched(path)).is_err() {
            marks.has_overflowed.store(true, Ordering::Relaxed);
        }
    }
    wake(sender, marks);
}

/// A mark alone wakes nobody.
fn wake(sender: &SyncSender<Message>, marks: &Marks) {
    if marks.has_overflowed.load(Ordering::Relaxed) || marks.must_scan.load(Ordering::Relaxed) {
        // Full means that the thread is awake.
        drop(sender.try_send(Message::Stored));
    }
}

/// Returns true when a folder came or went, and with it files that have no event of their own.
fn is_of_folder(kind: &EventKind, path: &Path) -> bool {
    match kind {
        EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => true,
        EventKind::Modify(ModifyKind::Name(_)) => path.is_dir() || path.extension().is_none(),
        _ => false,
    }
}

/// So long nothing may happen before what happened is looked at.
const QUIET: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_millis(200);
/// So long a file that is gone may come back.
const GRACE: Duration = Duration::from_secs(1);
/// How often what waits is tried again.
const TICK: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(60);
