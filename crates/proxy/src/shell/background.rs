//! Where the control side has its background work done.
//!
//! The engine says what is to be done and when; who embeds it says where. By itself it uses the
//! tokio runtime that it was started in.

use std::fmt;
use std::pin::Pin;

/// Work that is done beside the connections.
pub type BackgroundFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What kind of work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "all that the engine has")]
pub enum BackgroundWork {
    /// One probe of one backend: as long as its timeout at most, and wanted soon.
    Probe,
    /// Forgetting a backend or proxy when its connections have ended: as long as its drain.
    CleanUp,
}

/// Does background work.
pub trait Background: fmt::Debug + Send + Sync + 'static {
    /// Runs `future` to its end, or drops it when that cannot be.
    fn run(&self, work: BackgroundWork, future: BackgroundFuture);
}

/// Does it at once, on the runtime of the caller.
#[derive(Debug)]
pub(super) struct OnTokio;

impl Background for OnTokio {
    fn run(&self, _work: BackgroundWork, future: BackgroundFuture) {
        drop(tokio::spawn(future));
    }
}
