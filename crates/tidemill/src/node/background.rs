//! The node's own work, on its scheduler: probes before clean-up, both counted and bounded.

use std::time::Duration;

use tidemill_metrics::Registry;
use tidemill_proxy::{Background, BackgroundFuture, BackgroundWork};
use tidemill_scheduler::Scheduler;
use tidemill_scheduler::core::{Class, Priority};

use crate::command::Failure;

/// The node's scheduler.
#[derive(Clone, Debug)]
pub(super) struct NodeWork(Scheduler);

impl NodeWork {
    /// Starts it on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// When its metrics exist already.
    pub(super) fn start(registry: &Registry) -> Result<Self, Failure> {
        let scheduler = Scheduler::builder()
            .concurrency(PROBES + CLEAN_UPS)
            .class("probe", PROBES)
            .class("clean-up", CLEAN_UPS)
            .metrics(registry)
            .build()
            .map_err(|error| Failure::outside(error.to_string()))?;
        Ok(Self(scheduler))
    }

    /// Ends it; what still runs is broken off.
    pub(super) async fn stop(&self) {
        self.0.shutdown(Duration::ZERO).await;
    }
}

impl Background for NodeWork {
    fn run(&self, work: BackgroundWork, future: BackgroundFuture) {
        let (class, priority) = match work {
            BackgroundWork::Probe => (Class(0), Priority::High),
            BackgroundWork::CleanUp => (Class(1), Priority::Low),
        };
        if let Err(rejection) = self.0.task().class(class).priority(priority).submit(future) {
            tracing::warn!("background work was left out: {rejection}");
        }
    }
}

/// Probes at once: most of their time they wait for an answer.
const PROBES: usize = 512;

/// Clean-ups at once: each waits until connections have drained.
const CLEAN_UPS: usize = 512;
