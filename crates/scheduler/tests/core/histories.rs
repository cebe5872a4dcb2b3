//! Random histories: the machine and the naive model are told the same and have to agree.
//!
//! A history is a seed. Each step submits, makes dependent, starts, ends, cancels or lets time
//! pass; after it every task's state, attempts and the order of starts are compared. A failing
//! seed is printed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidemill_scheduler::core::{
    Backoff, Cancel, Class, Due, Finish, Limits, Machine, Moment, Order, Outcome, Priority, Ran,
    Rejection, Retry, Spec, State, TaskId,
};

use crate::model::{Entry, GRACE, Model};

const HISTORIES: u64 = 10_000;
const STEPS: u32 = 60;

#[test]
fn ten_thousand_histories_agree_with_the_naive_model() {
    for seed in 0..HISTORIES {
        History::new(seed).run();
    }
}

/// Both sides of a history, and its dice.
struct History {
    seed: u64,
    dice: fastrand::Rng,
    machine: Machine<usize>,
    model: Model,
    ids: Vec<TaskId>,
    names: HashMap<TaskId, usize>,
    running: Vec<usize>,
    now: Moment,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut limits = Limits::new(dice.usize(3..8));
        limits.reserve[Priority::High.index()] = dice.usize(0..2);
        limits.classes = vec![usize::MAX, dice.usize(1..4), 1];
        limits.queue = dice.usize(4..30);
        limits.queue_emergency = dice.usize(0..3);
        limits.aging = Duration::from_millis(dice.u64(5..60));
        limits.finished = dice.usize(2..40);
        limits.finished_age = Duration::from_millis(dice.u64(50..500));
        let machine = Machine::new(limits.clone(), Order::Told).expect("limits are right");
        let model = Model::new(limits);
        let (ids, names, running) = Default::default();
        Self { seed, dice, machine, model, ids, names, running, now: Moment::ORIGIN }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            match self.dice.u32(0..100) {
                0..35 => self.submit(),
                35..65 => self.start(),
                65..85 => self.finish(),
                85..90 => self.cancel(),
                90..93 => self.depend(),
                _ => self.pass(),
            }
            self.compare();
        }
    }

    fn submit(&mut self) {
        let dice = &mut self.dice;
        let ms = |ms: u64| Duration::from_millis(ms);
        let mut maybe = |percent: u32| dice.u32(0..100) < percent;
        let (deadline, delay, timeout, key, every, retries, after) =
            (maybe(20), maybe(20), maybe(20), maybe(15), maybe(8), maybe(20), maybe(25));
        let priority = Priority::ALL[self.dice.usize(0..Priority::COUNT)];
        let classes = if self.dice.u8(0..20) == 0 { 4 } else { 3 };
        let class = self.dice.u8(0..classes);
        let mut on = Vec::new();
        if after && !self.ids.is_empty() {
            for _ in 0..self.dice.usize(1..3) {
                // The recent ones: the others are mostly forgotten.
                let least = self.ids.len().saturating_sub(12);
                on.push(self.dice.usize(least..self.ids.len()));
            }
        }
        let entry = Entry {
            state: State::Pending,
            priority,
            class,
            deadline: deadline.then(|| self.now + ms(self.dice.u64(0..50))),
            not_before: delay.then(|| self.now + ms(self.dice.u64(0..50))),
            timeout: timeout.then(|| ms(self.dice.u64(1..40))),
            after: on,
            key: key.then(|| self.dice.u8(0..6)),
            attempts_max: if retries { self.dice.u32(1..4) } else { 1 },
            every: every.then(|| ms(self.dice.u64(1..30))),
            attempts: 0,
            ready: None,
            order: 0,
            started: None,
            asked_at: None,
            ended: None,
            forgotten: false,
        };
        let spec = Spec {
            priority,
            class: Class(class),
            deadline: entry.deadline,
            not_before: entry.not_before,
            timeout: entry.timeout,
            retry: Retry { attempts_max: entry.attempts_max, backoff: backoff() },
            every: entry.every,
            after: entry.after.iter().map(|name| self.ids[*name]).collect(),
            key: entry.key.map(|key| Arc::from(key.to_string())),
        };
        let name = self.ids.len();
        let found = self.machine.submit(&spec, name, self.now);
        let wanted = self.model.submit(entry, self.now);
        match (found, wanted) {
            (Ok(id), Ok(_)) => {
                self.ids.push(id);
                self.names.insert(id, name);
            }
            (Err((rejection, payload)), Err(word)) => {
                assert_eq!((word_of(&rejection), payload), (word, name), "seed {}", self.seed);
            }
            (found, wanted) => panic!("seed {}: {found:?}, not {wanted:?}", self.seed),
        }
    }

    fn start(&mut self) {
        let found = self.machine.start_next(self.now);
        let wanted = self.model.start(self.now);
        assert_eq!(found.as_ref().map(|start| start.payload), wanted, "seed {}", self.seed);
        self.running.extend(wanted);
    }

    fn finish(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let name = self.running.swap_remove(self.dice.usize(0..self.running.len()));
        let state = match self.dice.u32(0..10) {
            0..6 => State::Completed,
            6..9 => State::Failed,
            _ => State::TimedOut,
        };
        self.end(name, state);
    }

    fn end(&mut self, name: usize, state: State) {
        let repeats = self.dice.bool();
        let outcome = match state {
            State::Completed => Outcome::Completed,
            State::Failed => Outcome::Failed("because".into()),
            State::Cancelled => Outcome::Cancelled,
            _ => Outcome::TimedOut,
        };
        let began = self.model.tasks[name].started.expect("it runs");
        let pause = backoff().delay(self.model.tasks[name].attempts, 0);
        let ran = Ran { began, ended: self.now };
        let payload = repeats.then_some(name);
        let (found, back) = self.machine.finish(self.ids[name], outcome, payload, ran, 0);
        let wanted = match self.model.finish(name, state, repeats, pause, self.now) {
            Some(state) => Finish::Ended(state),
            None => Finish::Again,
        };
        assert_eq!(found, wanted, "seed {}", self.seed);
        let comes_back = repeats && found != Finish::Again;
        assert_eq!(back, comes_back.then_some(name), "seed {}", self.seed);
    }

    fn cancel(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let name = self.dice.usize(self.ids.len().saturating_sub(15)..self.ids.len());
        let found = match self.machine.cancel(self.ids[name], self.now, GRACE) {
            Cancel::Ended => "ended",
            Cancel::Asked => "asked",
            Cancel::TooLate => "late",
        };
        assert_eq!(found, self.model.cancel(name, self.now), "seed {}", self.seed);
    }

    fn depend(&mut self) {
        if self.ids.len() < 2 {
            return;
        }
        let least = self.ids.len().saturating_sub(12);
        let (task, on) =
            (self.dice.usize(least..self.ids.len()), self.dice.usize(least..self.ids.len()));
        let found = self.machine.depend(self.ids[task], self.ids[on]);
        let wanted = self.model.depend(task, on);
        let found = found.as_ref().map_err(word_of).copied();
        assert_eq!(found, wanted, "seed {}: {task} on {on}", self.seed);
    }

    fn pass(&mut self) {
        self.now = self.now + Duration::from_micros(self.dice.u64(100..40_000));
        let mut due = Vec::new();
        while let Some(next) = self.machine.poll(self.now) {
            due.push(match next {
                Due::TimedOut(id) => (self.names[&id], State::TimedOut),
                Due::Abort(id) => (self.names[&id], State::Cancelled),
            });
        }
        due.sort_unstable_by_key(|(name, _)| *name);
        let names: Vec<usize> = due.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, self.model.poll(self.now), "seed {}", self.seed);
        for (name, state) in due {
            self.running.retain(|running| *running != name);
            self.end(name, state);
        }
    }

    fn compare(&mut self) {
        for dropped in self.machine.take_dropped() {
            let name = dropped.payload.expect("it had one");
            assert_eq!(dropped.record.state, self.model.tasks[name].state, "seed {}", self.seed);
        }
        let mut tasks = [[0; Priority::COUNT]; State::COUNT];
        for (name, id) in self.ids.iter().enumerate() {
            let wanted = &self.model.tasks[name];
            let found = self.machine.record(*id);
            assert_eq!(found.is_none(), wanted.forgotten, "seed {}: task {name}", self.seed);
            let Some(found) = found else { continue };
            tasks[wanted.state.index()][wanted.priority.index()] += 1;
            assert_eq!(
                (found.state, found.attempts, found.ended),
                (wanted.state, wanted.attempts, wanted.ended.map(|(at, _)| at)),
                "seed {}: task {name}: {found:?}, {wanted:?}",
                self.seed
            );
        }
        assert_eq!(*self.machine.tasks(), tasks, "seed {}", self.seed);
    }
}

fn backoff() -> Backoff {
    let ms = Duration::from_millis;
    Backoff { initial: ms(3), factor: 2.0, max: ms(20), jitter: 0.0 }
}

fn word_of(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::QueueFull { .. } => "full",
        Rejection::Duplicate { .. } => "duplicate",
        Rejection::UnknownDependency { .. } => "unknown",
        Rejection::DependencyFailed { .. } => "failed",
        Rejection::Cyclic { .. } => "cyclic",
        Rejection::UnknownClass { .. } => "class",
        Rejection::NotPending { .. } => "begun",
        _ => "other",
    }
}
