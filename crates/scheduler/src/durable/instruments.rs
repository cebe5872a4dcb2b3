//! The metrics of a runner.

use std::time::Duration;

use tidemill_metrics::{Counter, Error, Gauge, Histogram, Registry};

use super::store::Count;
use crate::core::{Priority, State};

/// The handles that a runner writes to.
#[derive(Debug)]
pub(super) struct Instruments {
    /// By state and priority; only final states are used.
    ends: Vec<Counter>,
    wait: Vec<Histogram>,
    run: Vec<Histogram>,
    waiting: Vec<Gauge>,
    pub(super) running: Gauge,
    pub(super) retries: Counter,
    pub(super) fenced: Counter,
    pub(super) store_errors: Counter,
}

impl Instruments {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let mut ends = Vec::new();
        for state in State::ALL {
            for priority in Priority::ALL {
                let labels = [("state", state.name()), ("priority", priority.name())];
                let help = "Jobs whose end this node recorded.";
                ends.push(registry.counter("tidemill_job_ends_total", help, &labels)?);
            }
        }
        let histogram = |name, help, priority: Priority| {
            registry.histogram(name, help, &[("priority", priority.name())], SECONDS)
        };
        let each = |name, help| -> Result<Vec<_>, Error> {
            Priority::ALL.into_iter().map(|priority| histogram(name, help, priority)).collect()
        };
        let gauge = |priority: Priority| {
            let help = "Jobs that wait in the store, looked up every few seconds.";
            registry.gauge("tidemill_job_waiting", help, &[("priority", priority.name())])
        };
        let counter = |name, help| registry.counter(name, help, &[]);
        Ok(Self {
            ends,
            wait: each("tidemill_job_wait_seconds", "Time from when a job might begin to then.")?,
            run: each("tidemill_job_run_seconds", "Time that an attempt took.")?,
            waiting: Priority::ALL.into_iter().map(gauge).collect::<Result<_, _>>()?,
            running: registry.gauge("tidemill_job_running", "Jobs that run here.", &[])?,
            retries: counter("tidemill_job_retries_total", "Attempts that will be made again.")?,
            fenced: counter("tidemill_job_fenced_total", "Attempts whose lease was lost.")?,
            store_errors: counter(
                "tidemill_job_store_errors_total",
                "Requests that the store did not serve; they are made again.",
            )?,
        })
    }

    pub(super) fn begun(&self, priority: Priority, waited: Duration) {
        self.wait[priority.index()].record_duration(waited);
    }

    pub(super) fn ran(&self, priority: Priority, took: Duration) {
        self.run[priority.index()].record_duration(took);
    }

    pub(super) fn ended(&self, state: State, priority: Priority) {
        self.ends[state.index() * Priority::COUNT + priority.index()].inc();
    }

    pub(super) fn waiting(&self, counts: &[Count]) {
        for priority in Priority::ALL {
            let is_counted =
                |count: &&Count| count.state == State::Pending && count.priority == priority;
            let jobs: u64 = counts.iter().filter(is_counted).map(|count| count.jobs).sum();
            self.waiting[priority.index()].set(i64::try_from(jobs).unwrap_or(i64::MAX));
        }
    }
}

/// From what a handler takes to what a batch does.
const SECONDS: &[f64] =
    &[0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0];
