//! Waiting with a deadline: the only place that sleeps and reads the clock.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// When there is none `within` this time; the message says what was waited for.
#[track_caller]
pub fn wait_for<T>(what: impl Display, within: Duration, probe: impl FnMut() -> Option<T>) -> T {
    match poll(within, probe) {
        Some(answer) => answer,
        None => panic!("waited {within:?} in vain for {what}"),
    }
}

/// Asks again and again until the answer is true.
///
/// # Panics
///
/// When it is not true `within` this time; the message says what was waited for.
#[track_caller]
pub fn wait_until(what: impl Display, within: Duration, mut probe: impl FnMut() -> bool) {
    wait_for(what, within, || probe().then_some(()));
}

/// Asks at least once, then every few milliseconds until there is an answer or time is up.
pub(crate) fn poll<T>(within: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = now();
    let mut pause = PAUSE_MIN;
    loop {
        // Read before the probe, so that a probe that succeeds late still counts.
        let late = now().duration_since(begin) >= within;
        let answer = probe();
        if answer.is_some() || late {
            return answer;
        }
        pause_for(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[expect(clippy::disallowed_methods, reason = "tests wait for real processes in real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "other processes offer no event to wait for")]
fn pause_for(pause: Duration) {
    thread::sleep(pause);
}

const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(20);
