//! Tasks that could run now, in the order in which they may.
//!
//! For each priority and class there is one queue: first what has a deadline, the nearest first,
//! then the rest by age. Sets of classes are bit masks, so a class at its limit is passed over in
//! one instruction. A second list per class keeps all its tasks by age, for those that waited too
//! long.

use std::collections::BTreeSet;

use super::moment::Moment;
use super::priority::Priority;
use super::table::{Link, List, NONE, Slot, Table};

#[derive(Debug)]
pub(super) struct Ready {
    /// By priority, then class.
    queues: [Vec<Queue>; Priority::COUNT],
    /// By priority: the classes with a task.
    masks: [u64; Priority::COUNT],
    /// By class: its tasks by age.
    ages: Vec<List>,
    age_mask: u64,
    next_order: u64,
}

#[derive(Debug, Clone)]
struct Queue {
    /// Deadline, order, slot.
    deadlines: BTreeSet<(Moment, u64, u32)>,
    rest: List,
}

impl Ready {
    pub(super) fn new(classes: usize) -> Self {
        let queue = Queue { deadlines: BTreeSet::new(), rest: List::EMPTY };
        Self {
            queues: std::array::from_fn(|_| vec![queue.clone(); classes]),
            masks: [0; Priority::COUNT],
            ages: vec![List::EMPTY; classes],
            age_mask: 0,
            next_order: 0,
        }
    }

    /// Draws the next number of the order in which tasks come.
    pub(super) fn next_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// Appends a task; it is the youngest.
    pub(super) fn insert<P>(&mut self, table: &mut Table<P>, index: u32) {
        let order = self.next_order();
        let slot = table.slot_mut(index);
        slot.order = order;
        let (priority, class) = (slot.priority.index(), usize::from(slot.class.0));
        let deadline = slot.deadline();
        let queue = &mut self.queues[priority][class];
        match deadline {
            Some(deadline) => {
                queue.deadlines.insert((deadline, order, index));
            }
            None => table.push_back(&mut queue.rest, turn, index),
        }
        self.masks[priority] |= 1 << class;
        table.push_back(&mut self.ages[class], age, index);
        self.age_mask |= 1 << class;
    }

    /// Takes a task out, wherever it stands.
    pub(super) fn remove<P>(&mut self, table: &mut Table<P>, index: u32) {
        let slot = table.slot(index);
        let (priority, class) = (slot.priority.index(), usize::from(slot.class.0));
        let (order, deadline) = (slot.order, slot.deadline());
        let queue = &mut self.queues[priority][class];
        match deadline {
            Some(deadline) => {
                queue.deadlines.remove(&(deadline, order, index));
            }
            None => table.unlink(&mut queue.rest, turn, index),
        }
        if queue.first().is_none() {
            self.masks[priority] &= !(1 << class);
        }
        table.unlink(&mut self.ages[class], age, index);
        if self.ages[class].first == NONE {
            self.age_mask &= !(1 << class);
        }
    }

    /// Returns the first task of a priority in each of these classes that has one.
    pub(super) fn heads(&self, priority: Priority, classes: u64) -> impl Iterator<Item = u32> {
        let queues = &self.queues[priority.index()];
        let mask = self.masks[priority.index()] & classes;
        bits(mask).map(|class| queues[class].first().expect("the mask has classes with a task"))
    }

    /// Returns the task of these classes that has been ready for the longest time.
    pub(super) fn oldest<P>(&self, table: &Table<P>, classes: u64) -> Option<u32> {
        let heads = bits(self.age_mask & classes).map(|class| self.ages[class].first);
        heads.min_by_key(|index| table.slot(*index).order)
    }

    pub(super) fn has(&self, priority: Priority) -> bool {
        self.masks[priority.index()] != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.age_mask == 0
    }
}

impl Queue {
    fn first(&self) -> Option<u32> {
        if let Some((_, _, index)) = self.deadlines.first() {
            return Some(*index);
        }
        (self.rest.first != NONE).then_some(self.rest.first)
    }
}

pub(super) fn turn<P>(slot: &mut Slot<P>) -> &mut Link {
    &mut slot.turn
}

fn age<P>(slot: &mut Slot<P>) -> &mut Link {
    &mut slot.age
}

/// Returns the numbers of the bits that are set.
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let bit = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(bit)
    })
}
