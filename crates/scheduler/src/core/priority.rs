//! The five priorities, lowest first.

use std::fmt;
use std::str::FromStr;

/// How urgent a task is. A higher one starts first; `Ord` says which is higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the five that the product defines")]
#[repr(u8)]
pub enum Priority {
    /// When nothing else waits.
    Low = 0,
    /// What nobody asked to be otherwise.
    #[default]
    Normal = 1,
    /// Before the normal ones.
    High = 2,
    /// Before the high ones.
    Critical = 3,
    /// Finds a slot that no other priority may take.
    Emergency = 4,
}

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 5;

    /// All of them, lowest first.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Low, Self::Normal, Self::High, Self::Critical, Self::Emergency];

    /// Returns the name as it stands in commands, the API and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }

    /// Returns the place in [`Priority::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Priority {
    type Err = ParsePriorityError;

    fn from_str(text: &str) -> Result<Self, ParsePriorityError> {
        let found = Self::ALL.into_iter().find(|priority| priority.name() == text);
        found.ok_or_else(|| ParsePriorityError(text.to_owned()))
    }
}

/// A text that names no priority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no priority is called {0:?}; there are: low, normal, high, critical, emergency")]
pub struct ParsePriorityError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_order_is_urgency() {
        for priority in Priority::ALL {
            assert_eq!(priority.name().parse(), Ok(priority));
            assert_eq!(Priority::ALL[priority.index()], priority);
        }
        assert!(Priority::ALL.is_sorted());
        let error = "urgent".parse::<Priority>().expect_err("no such name").to_string();
        assert!(error.contains("\"urgent\"") && error.contains("emergency"), "{error}");
    }
}
