//! How a task moves from one place of the machine to another, step by step.
//!
//! Everything here keeps these true: `tasks` counts slots by state and priority; `timers` holds a
//! slot exactly when its extras have a timer; a slot is in `ready` exactly in phase Ready, in
//! `finished` exactly in phase Ended; `waits` holds a pair for each task that one in phase Waiting
//! waits for.

use std::collections::VecDeque;

use super::limits::AGING_SHARE;
use super::machine::{Dropped, Machine, Outcome, Ran};
use super::moment::Moment;
use super::priority::Priority;
use super::ready::turn;
use super::state::State;
use super::statistics::Totals;
use super::table::{NONE, Phase};
use super::task::{DEPENDENCIES_MAX, Rejection, Spec, TaskId};

impl<P> Machine<P> {
    /// Puts a task that nothing speaks against into the table.
    pub(super) fn take(&mut self, spec: &Spec, payload: P, now: Moment) -> TaskId {
        let index = self.table.take(spec, payload, now);
        let id = self.table.id(index);
        self.table.slot_mut(index).order = self.ready.next_order();
        if let Some(key) = &spec.key {
            self.keys.insert(std::sync::Arc::clone(key), id);
        }
        self.tasks[State::Pending.index()][spec.priority.index()] += 1;
        self.totals(index).submitted += 1;
        for on in &spec.after {
            self.wait_for(index, *on);
        }
        if self.table.slot(index).waits == 0 {
            self.release(index, now);
        }
        id
    }

    /// Checks everything that speaks against a new task.
    pub(super) fn admit(&self, spec: &Spec) -> Result<(), Rejection> {
        if self.closed {
            return Err(Rejection::ShuttingDown);
        }
        let count = self.limits.classes.len();
        if usize::from(spec.class.0) >= count {
            return Err(Rejection::UnknownClass { number: spec.class.0, count });
        }
        if let Some(id) = spec.key.as_ref().and_then(|key| self.keys.get(key)) {
            return Err(Rejection::Duplicate { id: *id });
        }
        if spec.after.len() > DEPENDENCIES_MAX {
            return Err(Rejection::TooManyDependencies { count: spec.after.len() });
        }
        for on in &spec.after {
            self.dependency(*on)?;
        }
        let mut limit = self.limits.queue;
        if spec.priority == Priority::Emergency {
            limit += self.limits.queue_emergency;
        }
        if self.pending() >= limit {
            return Err(Rejection::QueueFull { limit });
        }
        Ok(())
    }

    /// Returns whether a dependency has still to be waited for.
    pub(super) fn dependency(&self, on: TaskId) -> Result<bool, Rejection> {
        let Some(index) = self.table.find(on) else {
            return Err(Rejection::UnknownDependency { on });
        };
        match self.table.slot(index).phase {
            Phase::Ended(State::Completed) => Ok(false),
            Phase::Ended(state) => Err(Rejection::DependencyFailed { on, state }),
            _ => Ok(true),
        }
    }

    /// Makes a slot wait for a task that is known, unless that has completed.
    pub(super) fn wait_for(&mut self, index: u32, on: TaskId) {
        let place = on.index();
        let waits = self.dependency(on).expect("it was checked before");
        if waits && self.waits.insert(place, index) {
            self.table.slot_mut(place).dependents += 1;
            let slot = self.table.slot_mut(index);
            slot.waits += 1;
            slot.extras_mut().after.push(on);
        }
    }

    /// Goes on with a task that waits for no other: its time has come, or has to.
    pub(super) fn release(&mut self, index: u32, now: Moment) {
        let extras = self.table.slot(index).extras.as_ref();
        match extras.and_then(|extras| extras.not_before).filter(|at| *at > now) {
            Some(at) => {
                self.table.slot_mut(index).phase = Phase::Delayed;
                self.set_timer(index, Some(at));
            }
            None => self.make_ready(index, now),
        }
    }

    pub(super) fn make_ready(&mut self, index: u32, now: Moment) {
        let slot = self.table.slot_mut(index);
        slot.phase = Phase::Ready;
        slot.ready = now;
        self.ready.insert(&mut self.table, index);
    }

    /// Sets, moves or takes away the one timer of a slot.
    pub(super) fn set_timer(&mut self, index: u32, at: Option<Moment>) {
        let slot = self.table.slot_mut(index);
        let old = match at {
            None => slot.extras.as_mut().and_then(|extras| extras.timer.take()),
            Some(at) => slot.extras_mut().timer.replace(at),
        };
        let order = slot.order;
        if let Some(old) = old {
            self.timers.remove(&(old, order, index));
        }
        if let Some(at) = at {
            self.timers.insert((at, order, index));
        }
    }

    /// Chooses what starts next, as the rules of the machine say.
    pub(super) fn choose(&mut self, now: Moment) -> Option<u32> {
        if self.ready.is_empty() {
            return None;
        }
        let kept = self.kept();
        let is_general = self.has_slot(Priority::Low, &kept, kept[1..].iter().sum());
        if is_general && self.starts_since_overdue >= AGING_SHARE - 1 {
            let oldest = self.ready.oldest(&self.table, self.class_room);
            let overdue =
                |index: &u32| now.since(self.table.slot(*index).ready) >= self.limits.aging;
            if let Some(index) = oldest.filter(overdue) {
                self.starts_since_overdue = 0;
                return Some(index);
            }
        }
        let mut kept_above = 0;
        for priority in Priority::ALL.into_iter().rev() {
            if !self.ready.has(priority) {
                kept_above += kept[priority.index()];
                continue;
            }
            if !self.has_slot(priority, &kept, kept_above) {
                break;
            }
            kept_above += kept[priority.index()];
            let classes = self.classes_for(priority);
            let heads = self.ready.heads(priority, classes);
            if let Some(index) = self.order.choose(&self.table, heads, now) {
                self.starts_since_overdue = self.starts_since_overdue.saturating_add(1);
                return Some(index);
            }
        }
        None
    }

    /// Returns true when [`start_next`](Self::start_next) would start something.
    pub fn can_start(&self) -> bool {
        let kept = self.kept();
        let mut kept_above = 0;
        Priority::ALL.into_iter().rev().any(|priority| {
            let has_slot = self.has_slot(priority, &kept, kept_above);
            kept_above += kept[priority.index()];
            has_slot && self.ready.heads(priority, self.classes_for(priority)).next().is_some()
        })
    }

    /// Returns, by priority, the slots that are reserved for it and not taken by it.
    fn kept(&self) -> [usize; Priority::COUNT] {
        std::array::from_fn(|index| self.limits.reserve[index].saturating_sub(self.running[index]))
    }

    /// Returns true when a task of this priority may start, `kept_above` being kept for higher
    /// ones. A learned limit may fall below what runs; the Emergency reserve holds nevertheless.
    fn has_slot(
        &self,
        priority: Priority,
        kept: &[usize; Priority::COUNT],
        kept_above: usize,
    ) -> bool {
        let running = self.running();
        self.concurrency().saturating_sub(running) > kept_above
            || priority == Priority::Emergency
                && kept[priority.index()] > 0
                && running < self.limits.concurrency
    }

    fn classes_for(&self, priority: Priority) -> u64 {
        if priority == Priority::Emergency { u64::MAX } else { self.class_room }
    }

    /// Returns how many tasks may run at once.
    pub fn concurrency(&self) -> usize {
        self.order.limit().unwrap_or(self.limits.concurrency).min(self.limits.concurrency)
    }

    /// Notes whether a class is below its limit.
    pub(super) fn look_at_class(&mut self, class: usize) {
        if self.running_class[class] < self.limits.classes[class] {
            self.class_room |= 1 << class;
        } else {
            self.class_room &= !(1 << class);
        }
    }

    /// Frees what a running attempt held, and learns from it.
    pub(super) fn leave_running(&mut self, index: u32, outcome: &Outcome, ran: Ran) {
        self.set_timer(index, None);
        let running = self.running();
        let slot = self.table.slot_mut(index);
        slot.started = ran.began;
        let (priority, class) = (slot.priority.index(), usize::from(slot.class.0));
        let time = ran.ended.since(ran.began);
        self.running[priority] -= 1;
        self.running_class[class] -= 1;
        self.look_at_class(class);
        let totals = self.totals(index);
        totals.run_time += time;
        totals.run_time_max = totals.run_time_max.max(time);
        if *outcome == Outcome::Completed {
            // What failed or was broken off says nothing about how long the work takes.
            self.order.record(class, time, running);
        }
    }

    /// Returns when a task runs again, if it does.
    pub(super) fn again_at(
        &mut self,
        index: u32,
        state: State,
        now: Moment,
        random: u64,
    ) -> Option<Moment> {
        let closed = self.closed;
        let slot = self.table.slot_mut(index);
        let (attempts, started) = (slot.attempts, slot.started);
        let extras = slot.extras.as_ref()?;
        if state != State::Completed
            && let Some(pause) = extras.retry.next(attempts, random)
        {
            self.totals(index).retried += 1;
            return Some(now + pause);
        }
        let every = extras.every.filter(|_| !closed)?;
        slot.attempts = 0;
        // The next beat after now; those that passed meanwhile are left out.
        let period = every.as_nanos().max(1);
        let beats = now.since(started).as_nanos() / period + 1;
        let ahead = u64::try_from(beats.saturating_mul(period)).unwrap_or(u64::MAX);
        Some(started + std::time::Duration::from_nanos(ahead))
    }

    /// Ends a task and, when it did not complete, everything that waits for it.
    pub(super) fn end(
        &mut self,
        index: u32,
        state: State,
        rejection: Option<Rejection>,
        now: Moment,
    ) {
        let mut next = Some((index, state, rejection));
        let mut open = VecDeque::new();
        while let Some((index, state, rejection)) = next.take().or_else(|| open.pop_front()) {
            if matches!(self.table.slot(index).phase, Phase::Ended(_)) {
                continue; // it waited for two tasks that did not complete
            }
            let id = self.table.id(index);
            self.stop_waiting(index);
            if let Some(rejection) = &rejection {
                self.table.slot_mut(index).extras_mut().reason = Some(rejection.to_string().into());
            }
            let was_pending = self.table.slot(index).state() == State::Pending;
            self.change(index, Phase::Ended(state));
            self.totals(index).ended[state.index()] += 1;
            let slot = self.table.slot_mut(index);
            slot.ended = now;
            let (payload, dependents) = (slot.payload.take(), slot.dependents);
            if was_pending {
                let record = slot.record(id);
                self.dropped.push(Dropped { record, rejection, payload });
            }
            if dependents > 0 {
                self.tell_dependents(index, id, state, now, &mut open);
            }
            self.table.push_back(&mut self.finished, turn, index);
            self.finished_count += 1;
        }
    }

    /// Forgets what is beyond the number that is remembered. Not done at once with an end, so
    /// that its record can be read right after.
    pub(super) fn forget_surplus(&mut self) {
        while self.finished_count > self.limits.finished {
            self.forget_first();
        }
    }

    pub(super) fn forget_old(&mut self, now: Moment) {
        while self.finished.first != NONE {
            let ended = self.table.slot(self.finished.first).ended;
            if now.since(ended) < self.limits.finished_age {
                break;
            }
            self.forget_first();
        }
    }

    /// Changes a slot's phase, and the counts with it.
    pub(super) fn change(&mut self, index: u32, phase: Phase) {
        let slot = self.table.slot_mut(index);
        let priority = slot.priority.index();
        let old = slot.state();
        slot.phase = phase;
        let new = slot.state();
        self.tasks[old.index()][priority] -= 1;
        self.tasks[new.index()][priority] += 1;
    }

    pub(super) fn totals(&mut self, index: u32) -> &mut Totals {
        let slot = self.table.slot(index);
        let (class, priority) = (usize::from(slot.class.0), slot.priority.index());
        &mut self.totals[class][priority]
    }

    fn tell_dependents(
        &mut self,
        index: u32,
        on: TaskId,
        state: State,
        now: Moment,
        open: &mut VecDeque<(u32, State, Option<Rejection>)>,
    ) {
        let mut waiting: Vec<u32> = self.waits.waiting(index).collect();
        waiting.sort_unstable_by_key(|who| self.table.slot(*who).order);
        for who in waiting {
            if state != State::Completed {
                let rejection = Rejection::DependencyFailed { on, state };
                open.push_back((who, State::Rejected, Some(rejection)));
            }
            self.waits.remove(index, who);
            let slot = self.table.slot_mut(who);
            slot.waits -= 1;
            slot.extras_mut().after.retain(|after| *after != on);
            if state == State::Completed && slot.waits == 0 {
                self.release(who, now);
            }
        }
        self.table.slot_mut(index).dependents = 0;
    }

    /// Takes a slot out of whatever it waits in.
    fn stop_waiting(&mut self, index: u32) {
        match self.table.slot(index).phase {
            Phase::Ready => self.ready.remove(&mut self.table, index),
            Phase::Delayed => self.set_timer(index, None),
            Phase::Waiting => {
                let after = std::mem::take(&mut self.table.slot_mut(index).extras_mut().after);
                for on in after {
                    self.waits.remove(on.index(), index);
                    self.table.slot_mut(on.index()).dependents -= 1;
                }
                self.table.slot_mut(index).waits = 0;
            }
            Phase::Free | Phase::Running | Phase::Ended(_) => {}
        }
    }

    fn forget_first(&mut self) {
        let index = self.finished.first;
        self.table.unlink(&mut self.finished, turn, index);
        self.finished_count -= 1;
        let slot = self.table.slot(index);
        let (state, priority) = (slot.state().index(), slot.priority.index());
        self.tasks[state][priority] -= 1;
        if let Some(key) = slot.extras.as_ref().and_then(|extras| extras.key.as_ref()) {
            self.keys.remove(key);
        }
        self.table.release(index);
    }
}
