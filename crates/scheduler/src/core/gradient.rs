//! How many tasks to run at once, found by the gradient of latency.
//!
//! The method is Gradient2 of Netflix's concurrency-limits (E. Ellis, "Performance Under Load",
//! 2018), which takes up the idea of TCP Vegas (L. Brakmo and L. Peterson, 1995): when run times
//! grow as more runs at once, something behind is queueing, so less should run.
//!
//! ```text
//! gradient = clamp(TOLERANCE * long-time average / average of the window, 0.5, 1)
//! limit    = (1 - SMOOTHING) * limit + SMOOTHING * (limit * gradient + sqrt(limit))
//! ```
//!
//! Classes differ in length, so what is averaged is not a run time but its ratio to the class's
//! own long-time average. A window that did not use half of the limit says nothing and is thrown
//! away. The square root is the queue that is allowed for: it makes the limit grow until run times
//! tell that it is enough.

/// Finds the limit, between two bounds.
#[derive(Clone, Debug)]
pub struct Gradient {
    limit: f64,
    least: f64,
    most: f64,
    window: Window,
    /// By class, in seconds.
    long: Vec<Average>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    ratios: f64,
    count: u32,
    running_most: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Average {
    mean: f64,
    count: u32,
}

impl Gradient {
    /// Starts at `first` and stays between `least` and `most`.
    pub fn new(first: usize, least: usize, most: usize, classes: usize) -> Self {
        let (least, most) = (least as f64, most.max(least) as f64);
        Self {
            limit: (first as f64).clamp(least, most),
            least,
            most,
            window: Window::default(),
            long: vec![Average::default(); classes],
        }
    }

    /// Learns that a task of `class` ran for `seconds` while `running` did; returns the limit.
    pub fn record(&mut self, class: usize, seconds: f64, running: usize) -> usize {
        let long = &mut self.long[class];
        long.count = (long.count + 1).min(LONG);
        long.mean += (seconds - long.mean) / f64::from(long.count);
        if long.count < LONG_MIN || long.mean <= 0.0 {
            return self.limit();
        }
        self.window.ratios += seconds / long.mean;
        self.window.count += 1;
        self.window.running_most = self.window.running_most.max(running);
        if f64::from(self.window.count) >= WINDOW.max(self.limit) {
            let window = std::mem::take(&mut self.window);
            self.turn(window);
        }
        self.limit()
    }

    /// Returns how many tasks may run at once.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    fn turn(&mut self, window: Window) {
        if window.running_most as f64 * 2.0 < self.limit {
            return;
        }
        let ratio = window.ratios / f64::from(window.count);
        if ratio < 0.5 {
            // It became much quicker than the long average remembers: let that forget.
            self.long.iter_mut().for_each(|long| long.mean *= 0.95);
        }
        let gradient = (TOLERANCE / ratio).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + self.limit.sqrt();
        let limit = self.limit + SMOOTHING * (wanted - self.limit);
        self.limit = limit.clamp(self.least, self.most);
    }
}

/// Run times may grow by this factor before the limit falls.
const TOLERANCE: f64 = 1.5;

/// How much of a change is made at once.
const SMOOTHING: f64 = 0.2;

/// The least number of runs in a window; more when the limit is higher.
const WINDOW: f64 = 128.0;

/// Runs in the long-time average of a class.
const LONG: u32 = 600;

/// Runs before a class's average is trusted.
const LONG_MIN: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a load whose run time grows with what runs beyond `knee`.
    fn settle(knee: usize, first: usize) -> usize {
        let mut gradient = Gradient::new(first, 2, 1_000, 1);
        for _ in 0..200_000 {
            let running = gradient.limit();
            let seconds = 0.01 * (running as f64 / knee as f64).max(1.0).powi(2);
            gradient.record(0, seconds, running);
        }
        gradient.limit()
    }

    #[test]
    fn a_limit_that_is_not_used_stays() {
        let mut gradient = Gradient::new(50, 2, 1_000, 1);
        for _ in 0..10_000 {
            assert_eq!(gradient.record(0, 0.01, 3), 50);
        }
    }

    #[test]
    fn a_limit_grows_while_run_times_do_not() {
        assert_eq!(settle(2_000, 4), 1_000);
    }

    #[test]
    fn a_sudden_slowness_lowers_the_limit_at_once() {
        let mut gradient = Gradient::new(100, 2, 100, 1);
        for _ in 0..2_000 {
            gradient.record(0, 0.01, 100);
        }
        assert_eq!(gradient.limit(), 100);
        for _ in 0..500 {
            gradient.record(0, 0.1, 100);
        }
        assert!(gradient.limit() < 80, "{}", gradient.limit());
    }
}
