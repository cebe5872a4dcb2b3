//! Whether a backend is up, decided by its probes.
//!
//! ```text
//!            rise successes in a row
//!      DOWN ------------------------> UP
//!        <---------------------------
//!            fall failures in a row
//! ```
//!
//! The caller runs the probes, one at a time: it polls, probes when told to, records the outcome,
//! polls again. Waits are jittered and the first probes spread out, so that probes of many
//! backends and nodes do not arrive in step.
//!
//! Never probes, sleeps or reads a clock.

use std::time::{Duration, Instant};

use super::random::fraction;
use super::settings::{DURATION_MAX, HealthSettings};

/// What probes have told about one backend.
#[derive(Debug, Clone)]
pub struct Health {
    interval: Duration,
    jitter: f64,
    rise: u32,
    fall: u32,
    healthy: bool,
    /// Outcomes in a row that speak against `healthy`.
    against_count: u32,
    probe_next_at: Instant,
}

/// What to do about a backend now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Step {
    /// Probe it, then [`record`](Health::record) the outcome.
    Probe,
    /// Nothing before this moment.
    WaitUntil(Instant),
}

/// How the opinion of a backend has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Transition {
    /// It was down and is up.
    Up,
    /// It was up and is down.
    Down,
}

impl Health {
    /// Returns the health of a backend never probed, up or down as the settings say.
    ///
    /// Its first probe is due at a random moment within one interval, and within a second.
    pub fn new(settings: &HealthSettings, now: Instant, random: u64) -> Self {
        let interval = settings.interval.min(DURATION_MAX);
        Self {
            interval,
            jitter: f64::from(settings.jitter_percent.min(100)) / 100.0,
            rise: settings.rise,
            fall: settings.fall,
            healthy: settings.start_up,
            against_count: 0,
            probe_next_at: now + interval.min(FIRST_PROBE_WITHIN).mul_f64(fraction(random)),
        }
    }

    /// Takes in how the probe that has just ended went, and says whether that changes the opinion.
    ///
    /// The next probe is due one interval from `now`, give or take the jitter that `random` draws.
    pub fn record(&mut self, now: Instant, ok: bool, random: u64) -> Option<Transition> {
        let stretch = 1.0 + self.jitter * (2.0 * fraction(random) - 1.0);
        self.probe_next_at = now + self.interval.mul_f64(stretch);
        if ok == self.healthy {
            self.against_count = 0;
            return None;
        }
        self.against_count = self.against_count.saturating_add(1);
        if self.against_count < if ok { self.rise } else { self.fall } {
            return None;
        }
        self.against_count = 0;
        self.healthy = ok;
        Some(if ok { Transition::Up } else { Transition::Down })
    }

    /// Says what to do at `now`; asking changes nothing.
    pub fn poll(&self, now: Instant) -> Step {
        if now < self.probe_next_at {
            return Step::WaitUntil(self.probe_next_at);
        }
        Step::Probe
    }

    /// Returns the opinion at present.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }
}

const FIRST_PROBE_WITHIN: Duration = Duration::from_secs(1);
