//! When a failed attempt is made again: exponential backoff with jitter.
//!
//! The n-th retry waits `initial * factor^(n-1)`, at most `max`, and of that a random share up to
//! `jitter` is taken off, so that what failed together does not come back together (M. Brooker,
//! "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: jitter 1.0 is its "full jitter",
//! 0.5 its "equal jitter").

use std::time::Duration;

/// How long to wait before an attempt is made again.
///
/// # Defaults
///
/// 100 ms, doubling, at most a minute, half of it jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The wait before the first retry.
    pub initial: Duration,
    /// What each further wait is multiplied by; below 1 and NaN count as 1.
    pub factor: f64,
    /// No wait is longer.
    pub max: Duration,
    /// The share of a wait that is random, 0 to 1; what is outside is brought inside.
    pub jitter: f64,
}

impl Backoff {
    /// Returns the wait before retry number `retry`, the first being 1. `random` is any number,
    /// drawn uniformly; the same one gives the same wait.
    pub fn delay(&self, retry: u32, random: u64) -> Duration {
        let factor = self.factor.max(1.0); // NaN becomes 1, too
        let exponent = i32::try_from(retry.saturating_sub(1)).unwrap_or(i32::MAX);
        let whole = self.initial.as_secs_f64() * factor.powi(exponent);
        let whole = whole.min(self.max.as_secs_f64()); // an infinite product ends here
        let jitter = if self.jitter.is_nan() { 0.0 } else { self.jitter.clamp(0.0, 1.0) };
        // 53 bits: every value of the mantissa, below 1.
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::try_from_secs_f64(whole * (1.0 - jitter * share)).unwrap_or(self.max)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_mins(1),
            jitter: 0.5,
        }
    }
}

/// How often a task is attempted, and with what pauses.
///
/// # Defaults
///
/// One attempt; [`Retry::times`] asks for more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included; zero counts as one.
    pub attempts_max: u32,
    /// The pauses between them.
    pub backoff: Backoff,
}

impl Retry {
    /// Returns a policy that makes no second attempt.
    pub fn never() -> Self {
        Self { attempts_max: 1, backoff: Backoff::default() }
    }

    /// Returns a policy of up to `retries` further attempts with the default pauses.
    pub fn times(retries: u32) -> Self {
        Self { attempts_max: retries.saturating_add(1), backoff: Backoff::default() }
    }

    /// Returns the pause before the next attempt when `attempts` were made, or `None` when no
    /// more may be made.
    pub fn next(&self, attempts: u32, random: u64) -> Option<Duration> {
        (attempts < self.attempts_max).then(|| self.backoff.delay(attempts.max(1), random))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_maximum() {
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        let ms = |retry| backoff.delay(retry, 7).as_millis();
        assert_eq!([ms(1), ms(2), ms(3), ms(10)], [100, 200, 400, 51_200]);
        assert_eq!([ms(11), ms(u32::MAX)], [60_000, 60_000]);
    }

    #[test]
    fn attempts_are_counted_with_the_first() {
        let retry = Retry::times(2);
        assert!(retry.next(1, 0).is_some() && retry.next(2, 0).is_some());
        assert_eq!(retry.next(3, 0), None);
        assert_eq!(Retry::never().next(1, 0), None);
    }

    proptest! {
        #[test]
        fn a_wait_stays_between_its_least_and_its_whole(
            initial_ms in 0_u64..10_000,
            factor in -1.0..1e9,
            max_ms in 0_u64..100_000,
            jitter in -1.0..2.0,
            retry in any::<u32>(),
            random in any::<u64>(),
        ) {
            let initial = Duration::from_millis(initial_ms);
            let max = Duration::from_millis(max_ms);
            let backoff = Backoff { initial, factor, max, jitter };
            let whole = Backoff { jitter: 0.0, ..backoff }.delay(retry, random);
            let wait = backoff.delay(retry, random);
            prop_assert!(wait <= whole && whole <= max, "{wait:?} {whole:?} {max:?}");
            let least = whole.mul_f64(1.0 - jitter.clamp(0.0, 1.0));
            prop_assert!(wait + Duration::from_nanos(2) >= least, "{wait:?} {least:?}");
        }
    }
}
