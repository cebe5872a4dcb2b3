//! The scheduler's metrics.
//!
//! Times are recorded as attempts end, to the thread's own cells. Gauges and counters follow the
//! machine's own counts, at most [`REFRESH`] ends behind, and at once when nothing is left to do: a
//! task costs them nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tidemill_metrics::{Counter, Error, Gauge, Histogram, Registry};

use super::job::BoxJob;
use super::shared::Done;
use crate::core::{Machine, Priority, State, Totals};

#[derive(Debug)]
pub(super) struct Instruments {
    /// By class and priority.
    series: Vec<[Series; Priority::COUNT]>,
    /// By state and priority.
    tasks: [[Gauge; Priority::COUNT]; State::COUNT],
    concurrency: Gauge,
    callback_panics: Counter,
    /// What the counters were told so far.
    told: Mutex<Vec<[Totals; Priority::COUNT]>>,
    /// Ends since the last refresh.
    ends: AtomicU64,
}

#[derive(Debug)]
struct Series {
    queue_seconds: Histogram,
    run_seconds: Histogram,
    submitted: Counter,
    refused: Counter,
    retried: Counter,
    /// By state; `None` of those that are not final.
    ended: [Option<Counter>; State::COUNT],
}

impl Instruments {
    pub(super) fn register(registry: &Registry, classes: &[String]) -> Result<Self, Error> {
        let series = classes.iter().map(|class| Series::all(registry, class));
        let mut tasks = Vec::new();
        for state in State::ALL {
            for priority in Priority::ALL {
                let labels = [("state", state.name()), ("priority", priority.name())];
                tasks.push(registry.gauge(
                    "tidemill_scheduler_tasks",
                    "Tasks that are known now; of those that ended, the ones remembered.",
                    &labels,
                )?);
            }
        }
        let gauge =
            |state: usize, priority: usize| tasks[state * Priority::COUNT + priority].clone();
        Ok(Self {
            series: series.collect::<Result<_, _>>()?,
            tasks: std::array::from_fn(|state| {
                std::array::from_fn(|priority| gauge(state, priority))
            }),
            concurrency: registry.gauge(
                "tidemill_scheduler_concurrency",
                "Tasks that may run at once at the moment.",
                &[],
            )?,
            callback_panics: registry.counter(
                "tidemill_scheduler_callback_panics_total",
                "Completion callbacks that panicked.",
                &[],
            )?,
            told: Mutex::new(vec![Default::default(); classes.len()]),
            ends: AtomicU64::new(0),
        })
    }

    /// Records the times of an attempt that ended.
    pub(super) fn ran(&self, done: &Done) {
        let series = &self.series[usize::from(done.start.class.0)][done.start.priority.index()];
        series.queue_seconds.record_duration(done.start.queue_time);
        series.run_seconds.record_duration(done.ran.ended.since(done.ran.began));
        self.ends.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns true when enough happened to bring everything up to date.
    pub(super) fn is_due(&self) -> bool {
        self.ends.load(Ordering::Relaxed) >= REFRESH
    }

    /// Brings gauges and counters up to date.
    pub(super) fn refresh(&self, machine: &Machine<BoxJob>, callback_panics: u64) {
        self.ends.store(0, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = self.series.iter().zip(told.iter_mut()).zip(machine.all_totals());
        for ((series, old), new) in pairs {
            for ((series, old), new) in series.iter().zip(old).zip(new) {
                series.follow(old, new);
            }
        }
        for (gauges, counts) in self.tasks.iter().zip(machine.tasks()) {
            for (gauge, count) in gauges.iter().zip(counts) {
                gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
            }
        }
        self.concurrency.set(i64::try_from(machine.concurrency()).unwrap_or(i64::MAX));
        self.callback_panics.add(callback_panics.saturating_sub(self.callback_panics.value()));
    }
}

impl Series {
    fn all(registry: &Registry, class: &str) -> Result<[Self; Priority::COUNT], Error> {
        let mut all = Vec::with_capacity(Priority::COUNT);
        for priority in Priority::ALL {
            all.push(Self::register(registry, class, priority)?);
        }
        Ok(all.try_into().expect("one for each priority"))
    }

    fn register(registry: &Registry, class: &str, priority: Priority) -> Result<Self, Error> {
        let labels = [("class", class), ("priority", priority.name())];
        let counter = |name, help| registry.counter(name, help, &labels);
        let histogram = |name, help| registry.histogram(name, help, &labels, &BOUNDS);
        let ended = |state: State| {
            let labels = [labels[0], labels[1], ("state", state.name())];
            let help = "Tasks that ended, by how.";
            registry.counter("tidemill_scheduler_ended_total", help, &labels)
        };
        let mut counters = [const { None }; State::COUNT];
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            counters[state.index()] = Some(ended(state)?);
        }
        Ok(Self {
            queue_seconds: histogram(
                "tidemill_scheduler_queue_seconds",
                "Time between ready and started, for each attempt.",
            )?,
            run_seconds: histogram(
                "tidemill_scheduler_run_seconds",
                "Time between started and ended, for each attempt.",
            )?,
            submitted: counter("tidemill_scheduler_submitted_total", "Tasks taken.")?,
            refused: counter("tidemill_scheduler_refused_total", "Tasks refused at submission.")?,
            retried: counter("tidemill_scheduler_retries_total", "Attempts made again.")?,
            ended: counters,
        })
    }

    /// Adds to the counters what the machine counted since `old`.
    fn follow(&self, old: &mut Totals, new: &Totals) {
        if old == new {
            return;
        }
        self.submitted.add(new.submitted - old.submitted);
        self.refused.add(new.refused - old.refused);
        self.retried.add(new.retried - old.retried);
        for (state, counter) in self.ended.iter().enumerate() {
            if let Some(counter) = counter {
                counter.add(new.ended[state] - old.ended[state]);
            }
        }
        old.clone_from(new);
    }
}

/// Ends after which gauges and counters follow.
const REFRESH: u64 = 1_024;

/// Seconds: from a microsecond to a minute and a half, four times as much from one to the next.
const BOUNDS: [f64; 14] =
    [1e-6, 4e-6, 1.6e-5, 6.4e-5, 2.56e-4, 1e-3, 4e-3, 1.6e-2, 6.4e-2, 0.25, 1.0, 4.0, 16.0, 90.0];
