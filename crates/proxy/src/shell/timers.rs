//! The timers of one worker: deadlines in a sorted map behind one timerfd.
//!
//! A tokio timer would read the clock twice per turn of the event loop; here the clock is read
//! when the earliest deadline changes and when one expires, and an idle worker sleeps for good.
//! Deadlines are rounded up to [`GRANULARITY`], so that many expire in one wake-up. Scheduling and
//! cancelling cost O(log n); n is at most two per open connection.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::clock;
use super::signals::{Signal, Signals};
use super::watched::watch;

/// Deadlines expire up to this much late.
pub(crate) const GRANULARITY: Duration = Duration::from_millis(10);

/// The timers of one worker.
#[derive(Debug)]
pub(crate) struct Timers {
    timerfd: OwnedFd,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeMap<TimerKey, (Arc<Signals>, Signal)>,
    next_serial: u64,
    armed: Option<Instant>,
}

/// Names a scheduled signal, so that it can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    at: Instant,
    serial: u64,
}

impl Timers {
    /// Creates the timers of one worker.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timerfd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timerfd, start: clock::now(), state: Mutex::default() })
    }

    /// Raises `signal` at `at`, or up to [`GRANULARITY`] later.
    pub(crate) fn schedule(&self, at: Instant, signals: &Arc<Signals>, signal: Signal) -> TimerKey {
        let at = self.round_up(at);
        let mut state = self.state();
        let key = TimerKey { at, serial: state.next_serial };
        state.next_serial += 1;
        state.due.insert(key, (Arc::clone(signals), signal));
        if state.armed.is_none_or(|armed| at < armed) {
            self.arm(&mut state, at, clock::now());
        }
        key
    }

    /// Forgets a scheduled signal; one that was raised already stays raised.
    pub(crate) fn cancel(&self, key: TimerKey) {
        self.state().due.remove(&key);
    }

    /// Raises signals as they fall due, for ever.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error when the timerfd cannot be watched or read.
    pub(crate) async fn drive(&self) -> io::Result<()> {
        let timerfd = watch(self.timerfd.try_clone()?)?;
        loop {
            let mut ready = timerfd.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(&self.timerfd, &mut expirations) {
                Ok(_) => self.expire(clock::now()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn expire(&self, now: Instant) {
        let mut state = self.state();
        let later = state.due.split_off(&TimerKey { at: now, serial: u64::MAX });
        let due = std::mem::replace(&mut state.due, later);
        state.armed = None;
        if let Some(next) = state.due.keys().next().copied() {
            self.arm(&mut state, next.at, now);
        }
        drop(state);
        for (signals, signal) in due.into_values() {
            signals.raise(signal);
        }
    }

    fn arm(&self, state: &mut State, at: Instant, now: Instant) {
        // A zero value would disarm, so what is already due fires after a nanosecond.
        let wait = at.saturating_duration_since(now).max(Duration::from_nanos(1));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        match timerfd_settime(&self.timerfd, TimerfdTimerFlags::empty(), &spec) {
            Ok(_) => state.armed = Some(at),
            // Stays unarmed, so that the next deadline tries again.
            Err(errno) => tracing::error!("cannot arm the worker's timer: {errno}"),
        }
    }

    fn round_up(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.start).as_nanos();
        let steps = since.div_ceil(GRANULARITY.as_nanos());
        let nanos = u64::try_from(steps * GRANULARITY.as_nanos()).unwrap_or(u64::MAX);
        self.start.checked_add(Duration::from_nanos(nanos)).unwrap_or(at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
