//! The choices with which a scheduler starts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidemill_metrics::Registry;

use super::executor::{Executor, Tokio};
use super::instruments::Instruments;
use super::job::EveryEnd;
use super::scheduler::Scheduler;
use super::shared::{Parts, Shared};
use super::{timekeeper, worker};
use crate::core::{Class, Gradient, Learned, Limits, Machine, Order, Priority, Record};
use crate::error::{BuildError, Kind};

/// Builds a [`Scheduler`].
///
/// # Defaults
///
/// As many workers as the executor polls at the same time, 1,024 tasks at once, one class called
/// `default`, the static mode, 5 s of grace, no metrics; the rest as in [`Limits`].
pub struct Builder {
    limits: Limits,
    classes: Vec<String>,
    executor: Option<Arc<dyn Executor>>,
    workers: Option<usize>,
    registry: Option<Registry>,
    adaptive: bool,
    grace: Duration,
    on_end: Option<EveryEnd>,
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut limits = Limits::new(CONCURRENCY);
        limits.classes.clear();
        Self {
            limits,
            classes: Vec::new(),
            executor: None,
            workers: None,
            registry: None,
            adaptive: false,
            grace: Duration::from_secs(5),
            on_end: None,
        }
    }

    /// Sets how many tasks run at once, the reserves included.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.limits.concurrency = concurrency;
        self
    }

    /// Keeps slots for a priority and those above it.
    #[must_use]
    pub fn reserve(mut self, priority: Priority, slots: usize) -> Self {
        self.limits.reserve[priority.index()] = slots;
        self
    }

    /// Adds a class of tasks, of which this many run at once; the first one added has number 0 and
    /// is what a task gets that names none.
    #[must_use]
    pub fn class(mut self, name: impl Into<String>, concurrency: usize) -> Self {
        self.classes.push(name.into());
        self.limits.classes.push(concurrency);
        self
    }

    /// Sets how many tasks may wait; [`Limits::queue_emergency`] may do so beyond it.
    #[must_use]
    pub fn queue(mut self, tasks: usize) -> Self {
        self.limits.queue = tasks;
        self
    }

    /// Sets after which time a task is overdue; see [`AGING_SHARE`](crate::core::AGING_SHARE).
    #[must_use]
    pub fn aging(mut self, aging: Duration) -> Self {
        self.limits.aging = aging;
        self
    }

    /// Sets how many finished tasks are remembered, and how long.
    #[must_use]
    pub fn finished(mut self, tasks: usize, age: Duration) -> Self {
        self.limits.finished = tasks;
        self.limits.finished_age = age;
        self
    }

    /// Learns run times and the best concurrency, up to the one that was set.
    #[must_use]
    pub fn adaptive(mut self) -> Self {
        self.adaptive = true;
        self
    }

    /// Sets how long a task that looks at its token may take to stop.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Calls this on a worker with every task that ends; it should be quick. A panic in it is
    /// counted and goes no further.
    #[must_use]
    pub fn on_end(mut self, callback: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Box::new(callback));
        self
    }

    /// Registers the scheduler's metrics.
    #[must_use]
    pub fn metrics(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Names the executor; without one it is the tokio runtime that [`build`](Self::build) is
    /// called in.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.executor = Some(Arc::new(executor));
        self
    }

    /// Sets how many workers poll futures.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers.max(1));
        self
    }

    /// Starts the scheduler.
    ///
    /// # Errors
    ///
    /// When the limits contradict each other, a class is named twice, the metrics exist already,
    /// or there is no executor.
    pub fn build(mut self) -> Result<Scheduler, BuildError> {
        if self.classes.is_empty() {
            self = self.class("default", usize::MAX);
        }
        for (number, class) in self.classes.iter().enumerate() {
            if self.classes[..number].contains(class) {
                return Err(Kind::ClassTwice(class.clone()).into());
            }
        }
        let executor = match self.executor {
            Some(executor) => executor,
            None => Arc::new(Tokio::current().ok_or(Kind::NoRuntime)?),
        };
        let count = self.classes.len();
        let order = if self.adaptive {
            let most = self.limits.concurrency;
            let least = self.limits.reserve.iter().sum::<usize>() + 1;
            let gradient = Gradient::new(most, least.min(most), most, count);
            Order::Learned(Box::new(Learned::new(count, Some(gradient))))
        } else {
            Order::Told
        };
        let machine = Machine::new(self.limits, order)?;
        let instruments = match &self.registry {
            Some(registry) => Some(Instruments::register(registry, &self.classes)?),
            None => None,
        };
        let workers = self.workers.unwrap_or_else(|| executor.parallelism());
        let shared = Arc::new(Shared::new(Parts {
            executor,
            machine,
            classes: self.classes,
            workers,
            grace: self.grace,
            instruments,
            on_end: self.on_end,
        }));
        for number in 0..workers {
            shared.executor.spawn(Box::pin(worker::work(Arc::clone(&shared), number)));
        }
        shared.executor.spawn(Box::pin(timekeeper::keep(Arc::clone(&shared))));
        Ok(Scheduler::start(shared))
    }

    /// Returns the number of a class that was added.
    pub fn class_number(&self, name: &str) -> Option<Class> {
        let number = self.classes.iter().position(|class| class == name)?;
        u8::try_from(number).ok().map(Class)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("classes", &self.classes)
            .field("adaptive", &self.adaptive)
            .finish_non_exhaustive()
    }
}

const CONCURRENCY: usize = 1_024;
