//! The one thread that writes: takes requests from a bounded queue and commits them together.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot};

use super::ledger::Ledger;
use super::{SqliteOptions, schema};
use crate::durable::error::Error;
use crate::durable::store::Answer;

/// What a request does inside the transaction; returns whether it holds, and how to answer once
/// it is known whether the transaction does.
/// Without a ledger there is no transaction, and the answer is why.
type Request = Box<dyn FnOnce(Option<&mut Ledger>) -> (bool, Reply) + Send>;

type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The way to the writer's thread. Dropping it waits for what was asked and closes the file.
pub(super) struct Writer {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        connection: Connection,
        options: SqliteOptions,
        changed: Arc<Notify>,
    ) -> Result<Self, Error> {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let ledger = Ledger::new(connection, options);
        let thread = thread::Builder::new()
            .name("jobs".to_owned())
            .spawn(move || write(ledger, queue, &changed))
            .map_err(|error| Error::Unavailable(format!("no thread for the jobs: {error}")))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Has `act` done in the next transaction and returns its result when that is on the disk.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Ledger) -> Result<T, Error> + Send + 'static,
    ) -> Answer<'static, T> {
        let (answer, answered) = oneshot::channel();
        let request: Request = Box::new(move |ledger| {
            let result = ledger.map(act);
            let holds = matches!(result, Some(Ok(_)));
            let reply: Reply = Box::new(move |committed| {
                let result = result.unwrap_or_else(|| Err(gone()));
                // Whoever asked may have gone; then nobody wants to know.
                let _ = answer.send(committed.and(result));
            });
            (holds, reply)
        });
        let requests = self.requests.clone();
        Box::pin(async move {
            let requests = requests.ok_or_else(gone)?;
            requests.send(request).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by its thread.
            let _ = thread.join();
        }
    }
}

fn write(mut ledger: Ledger, mut queue: mpsc::Receiver<Request>, changed: &Notify) {
    while let Some(first) = queue.blocking_recv() {
        let mut transaction = ledger.execute("BEGIN IMMEDIATE");
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            let alive = transaction.is_ok().then_some(&mut ledger);
            replies.push(apply(alive, request));
            if transaction.is_ok() && !ledger.is_in_transaction() {
                transaction = Err(lost());
            }
            next = if replies.len() < BATCH_MAX { queue.try_recv().ok() } else { None };
        }
        let committed = transaction.and_then(|()| ledger.execute("COMMIT"));
        if committed.is_err() {
            // Where there is nothing left to undo, this fails and that is fine.
            let _ = ledger.execute("ROLLBACK");
            ledger.rolled_back();
        }
        let path = ledger.path();
        for reply in replies {
            reply(committed.as_ref().copied().map_err(|e| schema::failure(path, "write", e)));
        }
        if ledger.take_news() {
            changed.notify_one();
        }
    }
}

/// Runs one request so that it undoes itself when it does not hold.
fn apply(ledger: Option<&mut Ledger>, request: Request) -> Reply {
    let Some(ledger) = ledger else { return request(None).1 };
    // Where this fails, so do the request's own statements, which say why.
    let _ = ledger.execute("SAVEPOINT request");
    let (holds, reply) = request(Some(ledger));
    if !holds {
        // After an error that undid the whole transaction there is none, and the caller sees it.
        let _ = ledger.execute("ROLLBACK TO request");
        ledger.rolled_back();
    }
    let _ = ledger.execute("RELEASE request");
    reply
}

/// What is said to everybody whose transaction another request took along.
fn lost() -> rusqlite::Error {
    let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    rusqlite::Error::SqliteFailure(full, None)
}

fn gone() -> Error {
    Error::Unavailable("the writer of the jobs has ended".to_owned())
}

/// Requests that wait for the writer; beyond it callers wait.
const REQUESTS_MAX: usize = 1_024;

/// Requests of one transaction.
const BATCH_MAX: usize = 256;
