//! Peak EWMA: an average of latencies that believes bad news at once and good news over time.
//!
//! A sample above the average replaces it; one below pulls it down, the more the longer ago the
//! last one was; without samples it falls by itself, so that a slow backend is tried again. The
//! idea is Finagle's (`PeakEwma`) and linkerd's. A value of 16 bytes: time is passed in.

/// A moving average of microseconds whose past fades by 63 % in 10 s.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ewma {
    value_us: f64,
    /// When `value_us` was right, in microseconds of the caller's clock.
    at_us: u64,
}

impl Ewma {
    /// Takes in a sample measured at `now_us` on any monotonic clock.
    ///
    /// A time before that of the last sample counts as the same moment.
    pub fn observe(&mut self, now_us: u64, sample_us: u64) {
        let sample = sample_us.max(1) as f64;
        let kept = self.kept(now_us);
        self.value_us = if sample >= self.value_us * kept {
            sample
        } else {
            self.value_us * kept + sample * (1.0 - kept)
        };
        self.at_us = self.at_us.max(now_us);
    }

    /// Returns the average as of `now_us`, at least 1 once there was a sample and 0 before.
    pub fn value(&self, now_us: u64) -> u32 {
        if self.value_us == 0.0 {
            return 0;
        }
        // A float that is out of range becomes the largest number.
        ((self.value_us * self.kept(now_us)) as u32).max(1)
    }

    /// Returns the part of the average that is left at `now_us`.
    fn kept(&self, now_us: u64) -> f64 {
        (-(now_us.saturating_sub(self.at_us) as f64) / DECAY_US).exp()
    }
}

/// After this time the weight of the past is 1/e; the value that Finagle and linkerd use.
const DECAY_US: f64 = 10_000_000.0;
