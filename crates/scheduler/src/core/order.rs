//! Which of several ready tasks of one priority is next, and how many run at once: as told, or as
//! learned.
//!
//! [`Order::Told`] takes the one that was ready first, and the limit that was configured.
//!
//! [`Order::Learned`] knows the mean run time of each class and prefers short work, which lowers
//! the mean time to completion (L. Schrage, "A Proof of the Optimality of the Shortest Remaining
//! Processing Time Discipline", 1968; nothing is interrupted here, so what remains of a task that
//! waits is all of it). Of the first tasks of each class the one with the highest
//! `(wait + run) / run^`[`PREFERENCE`] is taken: a tempered form of the highest response ratio
//! (P. Brinch Hansen, 1971), so the longer a long task waits, the sooner it is next. The plain
//! ratio lowers the mean further, and makes the slowest tasks up to 30 % slower near full load;
//! that is given up. Tasks with deadlines stay in the order of those, before the rest. How many run
//! is found by [`Gradient`].

use std::time::Duration;

use super::estimate::{Estimate, RunTimes};
use super::gradient::Gradient;
use super::moment::Moment;
use super::table::Table;

/// How the next task of a priority is chosen, and how many run.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the two modes that the product defines")]
pub enum Order {
    /// First ready, first started.
    Told,
    /// By what was learned.
    Learned(Box<Learned>),
}

/// What was learned about each class, and about how much may run.
#[derive(Debug)]
pub struct Learned {
    classes: Vec<RunTimes>,
    gradient: Option<Gradient>,
}

impl Learned {
    /// Returns what knows nothing yet about `classes` classes. Without a gradient the limit stays
    /// what it is.
    pub fn new(classes: usize, gradient: Option<Gradient>) -> Self {
        Self { classes: vec![RunTimes::new(); classes], gradient }
    }

    fn expected(&self, class: usize) -> f64 {
        let known = self.classes[class].mean();
        // What is not known yet is taken for short, so that it becomes known.
        known.unwrap_or(0.0).max(SHORTEST)
    }
}

impl Order {
    /// Chooses among the first tasks of several classes; `None` of none.
    pub(super) fn choose<P>(
        &self,
        table: &Table<P>,
        mut heads: impl Iterator<Item = u32>,
        now: Moment,
    ) -> Option<u32> {
        let first = heads.next()?;
        let Some(second) = heads.next() else { return Some(first) };
        let all = [first, second].into_iter().chain(heads);
        let age = |index: u32| {
            let slot = table.slot(index);
            (slot.deadline().unwrap_or(Moment::NEVER), slot.order)
        };
        match self {
            Self::Told => all.min_by_key(|index| age(*index)),
            Self::Learned(learned) => {
                let rank = |index: u32| {
                    let slot = table.slot(index);
                    let expected = learned.expected(usize::from(slot.class.0));
                    let waited = now.since(slot.ready).as_secs_f64();
                    (
                        slot.deadline().unwrap_or(Moment::NEVER),
                        -(waited + expected) / expected.powf(PREFERENCE),
                    )
                };
                all.min_by(|a, b| {
                    let ((deadline_a, ratio_a), (deadline_b, ratio_b)) = (rank(*a), rank(*b));
                    let ratios = ratio_a.total_cmp(&ratio_b);
                    deadline_a.cmp(&deadline_b).then(ratios).then(age(*a).cmp(&age(*b)))
                })
            }
        }
    }

    /// Learns that a task of `class` ran this long, while `running` did.
    pub(super) fn record(&mut self, class: usize, time: Duration, running: usize) {
        let Self::Learned(learned) = self else { return };
        learned.classes[class].record(time);
        if let Some(gradient) = &mut learned.gradient {
            gradient.record(class, time.as_secs_f64(), running);
        }
    }

    /// Returns how many may run, where that is learned.
    pub(super) fn limit(&self) -> Option<usize> {
        match self {
            Self::Told => None,
            Self::Learned(learned) => learned.gradient.as_ref().map(Gradient::limit),
        }
    }

    pub(super) fn estimates(&self, classes: usize) -> Vec<Option<Estimate>> {
        match self {
            Self::Told => vec![None; classes],
            Self::Learned(learned) => learned.classes.iter().map(RunTimes::estimate).collect(),
        }
    }
}

/// How much shortness counts: 0 is first come, first served; 1 the plain response ratio.
const PREFERENCE: f64 = 0.2;

/// Nothing is expected to take less, in seconds.
const SHORTEST: f64 = 1e-7;
