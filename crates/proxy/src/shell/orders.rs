//! What the workers are to be told after a change was decided, kept until no lock is held.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::backend::Proxy;
use super::signals::Signal;
use super::worker::{Command, Whose, WorkerHandle};
use crate::core::settings::Drain;
use crate::error::{Error, Kind};

/// Commands for each worker, in order.
#[derive(Debug)]
pub(crate) struct Orders {
    of_worker: Vec<Vec<Command>>,
}

impl Orders {
    pub(crate) fn new(workers: usize) -> Self {
        Self { of_worker: (0..workers).map(|_| Vec::new()).collect() }
    }

    /// Each worker accepts on one of the sockets.
    pub(crate) fn listen(&mut self, key: u64, proxy: &Arc<Proxy>, sockets: Vec<OwnedFd>) {
        debug_assert_eq!(sockets.len(), self.of_worker.len(), "one socket per worker");
        for (commands, socket) in self.of_worker.iter_mut().zip(sockets) {
            commands.push(Command::Listen { key, socket, proxy: Arc::clone(proxy) });
        }
    }

    /// Every worker closes its socket of a listener.
    pub(crate) fn unlisten(&mut self, key: u64) {
        for commands in &mut self.of_worker {
            commands.push(Command::Unlisten { key });
        }
    }

    /// Every worker closes connections, at once or spread over a drain.
    pub(crate) fn close(&mut self, whose: Whose, signal: Signal, drain: Option<Drain>) {
        for commands in &mut self.of_worker {
            commands.push(Command::Close { whose, signal, drain });
        }
    }

    /// Sends the commands, waiting where a worker's queue is full.
    ///
    /// # Errors
    ///
    /// Fails when a worker has ended.
    pub(crate) async fn send(self, workers: &[WorkerHandle]) -> Result<(), Error> {
        for (worker, commands) in workers.iter().zip(self.of_worker) {
            for command in commands {
                worker.commands.send(command).await.map_err(|_| Kind::Stopped)?;
            }
        }
        Ok(())
    }
}
