//! One-shot signals towards one task: its timer fired, its connection has to close, its turn came.
//!
//! | field   | written by                  | read by  | rule                                   |
//! |---------|-----------------------------|----------|----------------------------------------|
//! | `bits`  | anyone (`fetch_or`)         | the task | set before the task is woken           |
//! | `waker` | the task, when it changes   | anyone   | registered before `bits` is examined   |
//!
//! The order of the two rules makes a lost wake-up impossible: a bit set after the task looked is
//! set after the waker was registered. Reading costs one relaxed load while nothing is raised.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a task can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    /// The timer it armed expired.
    Timer = 1,
    /// The place in the queue it waited for is its own.
    Granted = 2,
    /// The backend it uses was found down.
    BackendDown = 4,
    /// An operator disabled the backend it uses.
    Disabled = 8,
    /// The backend or listener it belongs to was removed and its time to leave has come.
    Drained = 16,
    /// The node stops.
    Stopped = 32,
}

/// The signals raised towards one task and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    bits: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Signals {
    /// Raises a signal and wakes the task.
    pub(crate) fn raise(&self, signal: Signal) {
        // AcqRel: the task that sees the bit sees what was done before it was raised.
        self.bits.fetch_or(signal as u8, Ordering::AcqRel);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }

    /// Makes `waker` the one that [`raise`](Self::raise) wakes.
    pub(crate) fn register(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Takes a signal away if it is raised, for a wait that has ended otherwise.
    pub(crate) fn clear(&self, signal: Signal) {
        self.bits.fetch_and(!(signal as u8), Ordering::AcqRel);
    }

    /// Takes one raised signal away and returns it, closing signals first.
    pub(crate) fn take(&self) -> Option<Signal> {
        let bits = self.bits.load(Ordering::Acquire);
        if bits == 0 {
            return None;
        }
        let signal = BY_URGENCY.into_iter().find(|signal| bits & *signal as u8 != 0)?;
        self.bits.fetch_and(!(signal as u8), Ordering::AcqRel);
        Some(signal)
    }

    /// Registers the task and takes a signal, or is pending until there is one.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Signal> {
        self.register(cx.waker());
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}

const BY_URGENCY: [Signal; 6] = [
    Signal::Stopped,
    Signal::Disabled,
    Signal::BackendDown,
    Signal::Drained,
    Signal::Granted,
    Signal::Timer,
];
