//! A worker: one thread, one event loop, its own listening sockets, timers and connections.
//!
//! Nothing on a worker waits for another worker or for the control plane, which speaks to it
//! through a bounded queue of [`Command`]s. The table of connections is written by the worker's
//! own thread only; its lock is never contended.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::accept::accept;
use super::backend::Proxy;
use super::clock;
use super::connection::Service;
use super::descriptors::Descriptors;
use super::signals::{Signal, Signals};
use super::timers::Timers;
use crate::core::drain::close_at;
use crate::core::settings::Drain;

/// Commands that may wait for a worker; who sends more waits.
const COMMANDS_MAX: usize = 256;

/// What the control plane can ask of a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept on a listening socket on behalf of a proxy, until `Unlisten` names the same key.
    Listen { key: u64, socket: OwnedFd, proxy: Arc<Proxy> },
    /// Serve what the kernel has already accepted on the socket, then close it.
    Unlisten { key: u64 },
    /// Close connections, at once or spread over a drain.
    Close { whose: Whose, signal: Signal, drain: Option<Drain> },
    /// End the event loop with all that is left on it.
    Stop,
}

/// Which connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of the backend of this key.
    Backend(u64),
    /// Those of the proxy of this key.
    Proxy(u64),
    /// Every one.
    All,
}

/// The control plane's hold on a worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the tasks of one worker share.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    timers: Arc<Timers>,
    descriptors: Arc<Descriptors>,
    connections: Mutex<HashMap<u64, Connection>>,
    next_connection: AtomicU64,
}

#[derive(Debug)]
struct Connection {
    signals: Arc<Signals>,
    proxy: u64,
    backend: Option<u64>,
    /// The backend was reached, so that no other can be tried any more.
    reached: bool,
}

/// A connection's entry in the table of its worker; taken out on drop.
#[derive(Debug)]
pub(crate) struct Registered {
    worker: Arc<Worker>,
    id: u64,
    signals: Arc<Signals>,
}

impl WorkerHandle {
    /// Starts the thread of worker `index`.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error when there is no descriptor or thread for it.
    pub(crate) fn spawn(index: usize, descriptors: Arc<Descriptors>) -> io::Result<Self> {
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let worker = Arc::new(Worker {
            index,
            timers: Arc::new(Timers::new()?),
            descriptors,
            connections: Mutex::default(),
            next_connection: AtomicU64::new(0),
        });
        let (started, starting) = std::sync::mpsc::sync_channel(1);
        let thread =
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                // Made and dropped here: the caller is in a runtime of its own.
                match Builder::new_current_thread().enable_io().build() {
                    Ok(runtime) => {
                        let _ = started.send(Ok(()));
                        runtime.block_on(worker.run(received));
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            })?;
        starting.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { commands, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the worker with all that is left on it and waits for its thread.
    pub(crate) async fn stop(&self) {
        // A closed queue means that the thread has ended already.
        let _ = self.commands.send(Command::Stop).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl Worker {
    /// Returns the worker's place among the workers, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }

    pub(crate) fn descriptors(&self) -> &Arc<Descriptors> {
        &self.descriptors
    }

    /// Enters a new connection of `proxy` into the table.
    pub(crate) fn register(self: &Arc<Self>, proxy: &Proxy) -> Registered {
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let signals = Arc::new(Signals::default());
        let connection = Connection {
            signals: Arc::clone(&signals),
            proxy: proxy.key,
            backend: None,
            reached: false,
        };
        self.connections().insert(id, connection);
        Registered { worker: Arc::clone(self), id, signals }
    }

    async fn run(self: Arc<Self>, mut commands: mpsc::Receiver<Command>) {
        let timers = Arc::clone(&self.timers);
        tokio::spawn(async move {
            if let Err(error) = timers.drive().await {
                tracing::error!("a worker's timers stopped: {error}");
            }
        });
        let mut listeners = HashMap::new();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Listen { key, socket, proxy } => {
                    let (close, closing) = oneshot::channel();
                    let service = Service::new(Arc::clone(&self), proxy);
                    let accepting = tokio::spawn(accept(service, socket, closing));
                    listeners.insert(key, (close, accepting));
                }
                Command::Unlisten { key } => {
                    if let Some((close, accepting)) = listeners.remove(&key) {
                        drop(close);
                        // Clients taken in the end are in the table before the next command.
                        if let Err(error) = accepting.await {
                            tracing::error!("a listener's task failed: {error}");
                        }
                    }
                }
                Command::Close { whose, signal, drain } => {
                    self.close(whose, signal, drain, clock::now());
                }
                Command::Stop => return,
            }
        }
    }

    fn close(&self, whose: Whose, signal: Signal, drain: Option<Drain>, now: Instant) {
        for connection in self.connections().values() {
            let concerned = match whose {
                Whose::Backend(key) => connection.backend == Some(key),
                Whose::Proxy(key) => connection.proxy == key,
                Whose::All => true,
            };
            match drain {
                _ if !concerned => {}
                None => connection.signals.raise(signal),
                // Not reached yet: it goes to another backend, and has nothing to drain.
                Some(_) if matches!(whose, Whose::Backend(_)) && !connection.reached => {
                    connection.signals.raise(Signal::BackendDown);
                }
                Some(drain) => {
                    let at = close_at(now, drain, fastrand::u64(..));
                    self.timers.schedule(at, &connection.signals, signal);
                }
            }
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// Takes note of the backend that the connection goes to.
    pub(crate) fn use_backend(&self, key: u64) {
        if let Some(connection) = self.worker.connections().get_mut(&self.id) {
            connection.backend = Some(key);
        }
    }

    /// Takes note that the connection to the backend stands.
    pub(crate) fn reached_backend(&self) {
        if let Some(connection) = self.worker.connections().get_mut(&self.id) {
            connection.reached = true;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.connections().remove(&self.id);
    }
}
