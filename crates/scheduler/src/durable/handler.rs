//! Functions that a runner calls for jobs that name them.
//!
//! A handler is called at least once for each job, and again after an attempt without a recorded
//! end. It makes its effect happen once by making it under [`Context::key`]: a unique column, a
//! file that must not exist, another system's own idempotency key.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::job::JobId;

/// What a handler is called with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The job.
    pub job: JobId,
    /// Which attempt this is, from 1 on; the number of its lease.
    pub attempt: u32,
    /// The idempotency key of the job's effects: its own, or its id where it has none.
    pub key: String,
    /// What was submitted with it.
    pub payload: Vec<u8>,
    pub(super) ending: watch::Receiver<bool>,
}

impl Context {
    /// Waits until the job shall end: it is cancelled, timed out, or its runner stops. A handler
    /// that goes on is aborted after the runner's grace.
    pub async fn cancelled(&mut self) {
        // A runner that is gone wants no result either.
        let _ = self.ending.wait_for(|ending| *ending).await;
    }
}

type Called = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

type Function = Arc<dyn Fn(Context) -> Called + Send + Sync>;

/// The handlers of a runner, by name.
#[derive(Clone, Default)]
pub struct Handlers {
    by_name: BTreeMap<String, Function>,
}

impl Handlers {
    /// Adds a handler; one of the same name is replaced. An error fails the attempt.
    #[must_use]
    pub fn with<F, R>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        let function: Function = Arc::new(move |context| Box::pin(handler(context)));
        self.by_name.insert(name.into(), function);
        self
    }

    pub(super) fn call(&self, name: &str, context: Context) -> Option<Called> {
        self.by_name.get(name).map(|function| function(context))
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
