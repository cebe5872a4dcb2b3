//! How much runs at once, how much waits, how much is remembered.

use std::time::Duration;

use super::priority::Priority;
use super::task::CLASSES_MAX;

/// The bounds of one scheduler.
///
/// # Defaults
///
/// [`Limits::new`]: one slot reserved for Emergency, 65,536 waiting tasks and 1,024 more for
/// Emergency, aging after a second, 1,024 finished records for ten minutes, one class without a
/// limit of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that run at once, reserves included.
    pub concurrency: usize,
    /// Slots, out of `concurrency`, that are kept for a priority and those above it.
    pub reserve: [usize; Priority::COUNT],
    /// Tasks of each class that run at once; Emergency is counted and not held back.
    pub classes: Vec<usize>,
    /// Tasks that wait.
    pub queue: usize,
    /// Emergency tasks that may wait when `queue` is full.
    pub queue_emergency: usize,
    /// A task that could have run for this long is overdue.
    pub aging: Duration,
    /// Finished tasks that are remembered.
    pub finished: usize,
    /// How long they are.
    pub finished_age: Duration,
}

/// One start in so many goes to the oldest overdue task, when there is one.
///
/// So a task that is overdue and that `n` older ones wait before is started after at most
/// `AGING_SHARE * (n + 1)` further starts in slots that are not reserved; tasks of a class that is
/// at its limit wait for their class.
pub const AGING_SHARE: u32 = 8;

/// Contradictory limits; the text says which and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLimits(pub(crate) String);

impl Limits {
    /// Returns the default limits with this concurrency.
    pub fn new(concurrency: usize) -> Self {
        let mut reserve = [0; Priority::COUNT];
        reserve[Priority::Emergency.index()] = 1;
        Self {
            concurrency,
            reserve,
            classes: vec![usize::MAX],
            queue: 65_536,
            queue_emergency: 1_024,
            aging: Duration::from_secs(1),
            finished: 1_024,
            finished_age: Duration::from_mins(10),
        }
    }

    /// Checks that everything that may wait can run at some time.
    ///
    /// # Errors
    ///
    /// When no slot is left beside the reserves, none is reserved for Emergency, a class may run
    /// nothing, there are no classes or too many, or a table would be too large to number.
    pub fn check(&self) -> Result<(), InvalidLimits> {
        let reserved = self.reserve.iter().fold(0_usize, |sum, slots| sum.saturating_add(*slots));
        let problem = if self.reserve[Priority::Emergency.index()] == 0 {
            "no slot is reserved for Emergency; reserve at least one".to_owned()
        } else if self.concurrency <= reserved {
            format!(
                "concurrency is {} and {reserved} slots are reserved; Low needs one more than \
                 that (for one task at a time, limit its class)",
                self.concurrency
            )
        } else if self.classes.is_empty() || self.classes.len() > CLASSES_MAX {
            format!("there are {} classes; 1 to {CLASSES_MAX} are allowed", self.classes.len())
        } else if let Some(number) = self.classes.iter().position(|limit| *limit == 0) {
            format!("class {number} may run 0 tasks; allow at least one")
        } else if self.tasks().is_none_or(|tasks| tasks > TASKS_MAX) {
            format!("queue, concurrency and finished together exceed {TASKS_MAX}; lower one")
        } else {
            return Ok(());
        };
        Err(InvalidLimits(problem))
    }

    /// Returns how many tasks are in the table at most.
    fn tasks(&self) -> Option<usize> {
        [self.queue_emergency, self.concurrency, self.finished]
            .iter()
            .try_fold(self.queue, |sum, more| sum.checked_add(*more))
    }
}

/// Places in the table are 32-bit numbers, one of which means none.
const TASKS_MAX: usize = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(limits: &Limits, because: &str) {
        let error = limits.check().expect_err(because).to_string();
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn limits_leave_room_for_everybody() {
        assert_eq!(Limits::new(2).check(), Ok(()));
        refused(&Limits::new(1), "Low needs one more");
        refused(&Limits { reserve: [0; 5], ..Limits::new(8) }, "Emergency");
        refused(&Limits { reserve: [1, 0, 0, 0, usize::MAX], ..Limits::new(8) }, "reserved");
        refused(&Limits { classes: vec![], ..Limits::new(8) }, "0 classes");
        refused(&Limits { classes: vec![1; 65], ..Limits::new(8) }, "65 classes");
        refused(&Limits { classes: vec![1, 0], ..Limits::new(8) }, "class 1");
        refused(&Limits { queue: usize::MAX, ..Limits::new(8) }, "exceed");
    }
}
