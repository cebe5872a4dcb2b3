//! What can go wrong with a queue; the value always comes back.

use std::fmt;

/// Why a value could not be pushed, with the value.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition: no room, or no more pushes")]
pub enum PushError<T> {
    /// The queue has no room now; a pop makes room, so trying again may succeed.
    Full(T),
    /// The queue takes no more values; trying again is in vain.
    Closed(T),
}

impl<T> PushError<T> {
    /// Returns the value that was not pushed.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }

    /// Returns true when a later attempt may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::Closed(_) => "the queue is closed",
        })
    }
}

impl<T> std::error::Error for PushError<T> {}

/// Why there is no value to pop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition: none now, or none ever")]
pub enum PopError {
    /// The queue holds no value now; trying again may succeed.
    #[error("the queue is empty")]
    Empty,
    /// The queue is closed and every value in it has been popped.
    #[error("the queue is closed and drained")]
    Closed,
}

/// Why a queue of the wanted capacity cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// A queue needs room for at least one value.
    #[error("a queue's capacity must be at least 1")]
    Zero,
    /// The capacity, rounded up to a power of two, needs more than `isize::MAX` bytes.
    #[error("a queue of {capacity} values of {value_bytes} bytes does not fit the address space")]
    TooLarge {
        /// The capacity asked for, in values.
        capacity: usize,
        /// The size of one slot in bytes.
        value_bytes: usize,
    },
    /// The limit of an unbounded queue is below the two segments that it needs.
    #[error("a limit of {limit_bytes} bytes is below the {needed_bytes} that two segments take")]
    LimitTooSmall {
        /// The limit asked for, in bytes.
        limit_bytes: usize,
        /// The smallest limit possible, in bytes.
        needed_bytes: usize,
    },
}

/// Rounds `capacity` up to a power of two for which slots of `value_bytes` fit the address space.
pub(crate) fn slot_count(capacity: usize, value_bytes: usize) -> Result<usize, CapacityError> {
    if capacity == 0 {
        return Err(CapacityError::Zero);
    }
    let too_large = CapacityError::TooLarge { capacity, value_bytes };
    let slots = capacity.checked_next_power_of_two().ok_or(too_large)?;
    match slots.checked_mul(value_bytes.max(1)) {
        Some(bytes) if bytes <= isize::MAX as usize / 2 => Ok(slots),
        _ => Err(too_large),
    }
}

/// Turns "no value now" into "try again later".
pub(crate) fn unless_empty<T>(popped: Result<T, PopError>) -> Option<Result<T, PopError>> {
    match popped {
        Err(PopError::Empty) => None,
        done => Some(done),
    }
}

/// Pushes the value out of `value`; `None`, and the value left there, when the queue is full.
pub(crate) fn push_unless_full<T>(
    value: &mut Option<T>,
    try_push: impl FnOnce(T) -> Result<(), PushError<T>>,
) -> Option<Result<(), PushError<T>>> {
    match try_push(value.take().expect("the value is there until it is pushed")) {
        Err(PushError::Full(back)) => {
            *value = Some(back);
            None
        }
        done => Some(done),
    }
}
