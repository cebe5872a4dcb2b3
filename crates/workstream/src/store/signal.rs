//! A flag that one thread sets and another waits for: something was stored, or the end has come.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The flag. Setting it twice before it is seen is setting it once.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Something was stored since the last time.
    Stored,
    /// Nothing was stored in time.
    Nothing,
    /// There will be nothing more.
    Ended,
}

#[derive(Debug, Default)]
struct State {
    is_stored: bool,
    is_ended: bool,
}

impl Signal {
    /// Says that something was stored.
    pub(crate) fn stored(&self) {
        self.state().is_stored = true;
        self.changed.notify_all();
    }

    /// Says that there will be nothing more.
    pub(crate) fn end(&self) {
        self.state().is_ended = true;
        self.changed.notify_all();
    }

    /// Waits until something is stored, for ever without a limit of time.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Seen {
        let state = self.state();
        let is_quiet = |state: &mut State| !state.is_stored && !state.is_ended;
        let mut state = match timeout {
            None => {
                let waited = self.changed.wait_while(state, is_quiet);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
            Some(timeout) => {
                let waited = self.changed.wait_timeout_while(state, timeout, is_quiet);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if state.is_ended {
            return Seen::Ended;
        }
        if std::mem::take(&mut state.is_stored) { Seen::Stored } else { Seen::Nothing }
    }

    /// Lets time go by, whatever is stored meanwhile; cut short by the end.
    pub(crate) fn pause(&self, time: Duration) {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| !state.is_ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
