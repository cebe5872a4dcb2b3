//! Where a task stands.
//!
//! ```text
//! Pending --> Running --> Completed | Failed | Cancelled | TimedOut
//!    ^           |
//!    +-- retry --+        Pending --> Cancelled | Rejected
//! ```
//!
//! The last five are final. Why a task failed or was rejected stands beside the state.

use std::fmt;
use std::str::FromStr;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the states that the product defines")]
#[repr(u8)]
pub enum State {
    /// Not started: it waits for its time, for another task, for a retry or for a slot.
    Pending = 0,
    /// An attempt has begun and not ended.
    Running = 1,
    /// It did what it was asked.
    Completed = 2,
    /// Its last attempt ended with an error or a panic.
    Failed = 3,
    /// Somebody asked for its end before it came by itself.
    Cancelled = 4,
    /// It took longer than it may.
    TimedOut = 5,
    /// It was never started: a task that it depends on did not complete.
    Rejected = 6,
}

impl State {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// All of them, in the order of a task's life.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Rejected,
    ];

    /// Returns the name as it stands in commands, the API and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Rejected => "rejected",
        }
    }

    /// Returns the place in [`State::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns true when nothing changes any more.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for State {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, ParseStateError> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| ParseStateError(text.to_owned()))
    }
}

/// A text that names no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no state is called {0:?}; there are: pending, running, completed, failed, cancelled, \
     timed_out, rejected"
)]
pub struct ParseStateError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_two_states_are_not_final() {
        for state in State::ALL {
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(State::ALL[state.index()], state);
        }
        assert_eq!(State::ALL.into_iter().filter(|state| !state.is_final()).count(), 2);
        assert!("done".parse::<State>().is_err());
    }
}
