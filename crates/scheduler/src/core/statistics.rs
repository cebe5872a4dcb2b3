//! What was counted, by class and priority.

use std::time::Duration;

use super::priority::Priority;
use super::state::State;

/// Counts and times of the tasks of one class and priority since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tasks taken.
    pub submitted: u64,
    /// Tasks refused at submission.
    pub refused: u64,
    /// Attempts begun.
    pub started: u64,
    /// Attempts made again after a failure.
    pub retried: u64,
    /// Tasks that ended, by [`State::index`].
    pub ended: [u64; State::COUNT],
    /// Sum of the times between ready and started, over all attempts.
    pub queue_time: Duration,
    /// The longest of them.
    pub queue_time_max: Duration,
    /// Sum of the times between start and end, over all attempts.
    pub run_time: Duration,
    /// The longest of them.
    pub run_time_max: Duration,
}

/// A reading of everything that is counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Tasks that are known now, by [`State::index`] and [`Priority::index`]; of those that
    /// ended, the ones that are remembered.
    pub tasks: [[usize; Priority::COUNT]; State::COUNT],
    /// By class, then by [`Priority::index`].
    pub totals: Vec<[Totals; Priority::COUNT]>,
    /// How many tasks may run at once at the moment.
    pub concurrency: usize,
    /// By class: what its run times look like, where that is learned and enough was seen.
    pub estimates: Vec<Option<super::estimate::Estimate>>,
}

impl Statistics {
    /// Returns how many tasks are in this state now.
    pub fn count(&self, state: State) -> usize {
        self.tasks[state.index()].iter().sum()
    }

    /// Returns the totals of all classes and priorities together.
    pub fn total(&self) -> Totals {
        let mut sum = Totals::default();
        for totals in self.totals.iter().flatten() {
            sum.submitted += totals.submitted;
            sum.refused += totals.refused;
            sum.started += totals.started;
            sum.retried += totals.retried;
            for (sum, ended) in sum.ended.iter_mut().zip(totals.ended) {
                *sum += ended;
            }
            sum.queue_time += totals.queue_time;
            sum.queue_time_max = sum.queue_time_max.max(totals.queue_time_max);
            sum.run_time += totals.run_time;
            sum.run_time_max = sum.run_time_max.max(totals.run_time_max);
        }
        sum
    }
}
