//! The machine's rules written down naively: one list, searched from end to end each time.

use std::collections::VecDeque;
use std::time::Duration;

use tidemill_scheduler::core::{AGING_SHARE, Limits, Moment, Priority, State};

/// One task; its place in the list is its name.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) state: State,
    pub(crate) priority: Priority,
    pub(crate) class: u8,
    pub(crate) deadline: Option<Moment>,
    pub(crate) not_before: Option<Moment>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) after: Vec<usize>,
    pub(crate) key: Option<u8>,
    pub(crate) attempts_max: u32,
    pub(crate) every: Option<Duration>,
    pub(crate) attempts: u32,
    /// When it became ready.
    pub(crate) ready: Option<Moment>,
    /// Its place in the order of coming, drawn when submitted and when ready.
    pub(crate) order: u64,
    pub(crate) started: Option<Moment>,
    pub(crate) asked_at: Option<Moment>,
    pub(crate) ended: Option<(Moment, u64)>,
    pub(crate) forgotten: bool,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) limits: Limits,
    pub(crate) tasks: Vec<Entry>,
    order: u64,
    ended_count: u64,
    since_overdue: u32,
}

pub(crate) const GRACE: Duration = Duration::from_millis(20);

impl Model {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, tasks: Vec::new(), order: 0, ended_count: 0, since_overdue: 0 }
    }

    /// Returns the word for why a task is refused, or its name.
    pub(crate) fn submit(&mut self, entry: Entry, now: Moment) -> Result<usize, &'static str> {
        self.forget_surplus();
        if usize::from(entry.class) >= self.limits.classes.len() {
            return Err("class");
        }
        let known = |task: &Entry| !task.forgotten;
        if entry.key.is_some() && self.tasks.iter().any(|task| known(task) && task.key == entry.key)
        {
            return Err("duplicate");
        }
        for on in &entry.after {
            match self.tasks.get(*on).filter(|task| known(task)).map(|task| task.state) {
                None => return Err("unknown"),
                Some(State::Pending | State::Running | State::Completed) => {}
                Some(_) => return Err("failed"),
            }
        }
        let mut limit = self.limits.queue;
        if entry.priority == Priority::Emergency {
            limit += self.limits.queue_emergency;
        }
        if self.tasks.iter().filter(|task| task.state == State::Pending).count() >= limit {
            return Err("full");
        }
        self.order += 1;
        self.tasks.push(Entry { order: self.order, ..entry });
        let name = self.tasks.len() - 1;
        self.look(name, now);
        Ok(name)
    }

    pub(crate) fn depend(&mut self, task: usize, on: usize) -> Result<(), &'static str> {
        if self.tasks[task].forgotten || self.tasks[task].state != State::Pending {
            return Err("begun");
        }
        match &self.tasks[on] {
            on if on.forgotten => return Err("unknown"),
            on if on.state == State::Completed => return Ok(()),
            on if on.state.is_final() => return Err("failed"),
            _ => {}
        }
        if self.waits_for(on, task) {
            return Err("cyclic");
        }
        self.tasks[task].after.push(on);
        self.tasks[task].ready = None;
        Ok(())
    }

    /// Returns true when `a` is `b`, or waits for it.
    fn waits_for(&self, a: usize, b: usize) -> bool {
        a == b || self.open(a).into_iter().any(|on| self.waits_for(on, b))
    }

    /// Returns what a task still waits for.
    fn open(&self, name: usize) -> Vec<usize> {
        let task = &self.tasks[name];
        let open = |on: &usize| !self.tasks[*on].state.is_final();
        if task.state != State::Pending {
            return Vec::new();
        }
        task.after.iter().copied().filter(open).collect()
    }

    pub(crate) fn start(&mut self, now: Moment) -> Option<usize> {
        let name = self.choose(now)?;
        let task = &mut self.tasks[name];
        task.state = State::Running;
        task.attempts += 1;
        task.started = Some(now);
        Some(name)
    }

    fn choose(&mut self, now: Moment) -> Option<usize> {
        let running = |test: &dyn Fn(&Entry) -> bool| {
            self.tasks.iter().filter(|task| task.state == State::Running && test(task)).count()
        };
        let free = self.limits.concurrency - running(&|_| true);
        let kept_for = |priority: Priority| {
            let used = running(&|task| task.priority == priority);
            self.limits.reserve[priority.index()].saturating_sub(used)
        };
        let kept_above = |priority: Priority| -> usize {
            Priority::ALL.iter().filter(|other| **other > priority).map(|p| kept_for(*p)).sum()
        };
        let has_room = |task: &Entry| {
            let class = usize::from(task.class);
            running(&|other| other.class == task.class) < self.limits.classes[class]
        };
        let ready = |name: &usize| {
            let task = &self.tasks[*name];
            task.state == State::Pending && task.ready.is_some()
        };
        let names: Vec<usize> = (0..self.tasks.len()).filter(ready).collect();
        let is_general = free > kept_above(Priority::Low);
        if is_general && self.since_overdue >= AGING_SHARE - 1 {
            let oldest = names
                .iter()
                .copied()
                .filter(|name| has_room(&self.tasks[*name]))
                .min_by_key(|name| self.tasks[*name].order);
            let overdue = |name: &usize| {
                let ready = self.tasks[*name].ready.expect("filtered");
                now.since(ready) >= self.limits.aging
            };
            if let Some(name) = oldest.filter(overdue) {
                self.since_overdue = 0;
                return Some(name);
            }
        }
        for priority in Priority::ALL.into_iter().rev() {
            if free <= kept_above(priority) {
                return None;
            }
            let first = names
                .iter()
                .copied()
                .filter(|name| {
                    let task = &self.tasks[*name];
                    task.priority == priority && (priority == Priority::Emergency || has_room(task))
                })
                .min_by_key(|name| {
                    let task = &self.tasks[*name];
                    (task.deadline.unwrap_or(Moment::NEVER), task.order)
                });
            if let Some(name) = first {
                self.since_overdue += 1;
                return Some(name);
            }
        }
        None
    }

    /// Ends an attempt; returns how the task ended, or `None` when it runs again.
    pub(crate) fn finish(
        &mut self,
        name: usize,
        state: State,
        repeats: bool,
        pause: Duration,
        now: Moment,
    ) -> Option<State> {
        self.forget_surplus();
        let task = &mut self.tasks[name];
        let started = task.started.expect("it runs");
        if task.asked_at.is_some() {
            self.end(name, State::Cancelled, now);
            return Some(State::Cancelled);
        }
        let again = if repeats && state != State::Completed && task.attempts < task.attempts_max {
            Some(now + pause)
        } else if repeats && let Some(every) = task.every {
            task.attempts = 0;
            let mut at = started + every;
            while at <= now {
                at = at + every;
            }
            Some(at)
        } else {
            None
        };
        let Some(again) = again else {
            self.end(name, state, now);
            return Some(state);
        };
        let task = &mut self.tasks[name];
        task.state = State::Pending;
        task.ready = None;
        task.not_before = Some(again);
        self.look(name, now);
        None
    }

    pub(crate) fn cancel(&mut self, name: usize, now: Moment) -> &'static str {
        let task = &mut self.tasks[name];
        match task.state {
            _ if task.forgotten => "late",
            State::Pending => {
                self.end(name, State::Cancelled, now);
                "ended"
            }
            State::Running => {
                task.asked_at.get_or_insert(now);
                "asked"
            }
            _ => "late",
        }
    }

    /// Moves time on; returns the running tasks that are to be broken off, sorted.
    pub(crate) fn poll(&mut self, now: Moment) -> Vec<usize> {
        self.forget_surplus();
        for task in &mut self.tasks {
            let old = |(at, _): (Moment, u64)| now.since(at) >= self.limits.finished_age;
            task.forgotten |= task.ended.is_some_and(old);
        }
        // What becomes ready does so in the order of its time, then of coming.
        let mut due: Vec<(Moment, u64, usize)> = Vec::new();
        for (name, task) in self.tasks.iter().enumerate() {
            let waits = task.state == State::Pending && task.ready.is_none();
            if let Some(at) = task.not_before.filter(|at| *at <= now)
                && waits
                && self.open(name).is_empty()
            {
                due.push((at, task.order, name));
            }
        }
        due.sort_unstable();
        for (at, _, name) in due {
            self.make_ready(name, at);
        }
        let over = |task: &Entry| {
            let limit = task.started? + task.timeout?;
            (limit <= now).then_some(())
        };
        let due = |task: &Entry| match task.asked_at {
            Some(at) => at + GRACE <= now,
            None => over(task).is_some(),
        };
        let running = |task: &Entry| task.state == State::Running;
        let names = 0..self.tasks.len();
        names.filter(|name| running(&self.tasks[*name]) && due(&self.tasks[*name])).collect()
    }

    /// Makes a task ready when nothing keeps it any more.
    fn look(&mut self, name: usize, now: Moment) {
        if self.open(name).is_empty() && self.tasks[name].not_before.is_none_or(|at| at <= now) {
            self.make_ready(name, now);
        }
    }

    fn make_ready(&mut self, name: usize, at: Moment) {
        self.order += 1;
        self.tasks[name].ready = Some(at);
        self.tasks[name].order = self.order;
    }

    /// Ends a task, then what waited for it, then what waited for that.
    fn end(&mut self, name: usize, state: State, now: Moment) {
        let mut open = VecDeque::from([(name, state)]);
        while let Some((name, state)) = open.pop_front() {
            if self.tasks[name].state.is_final() {
                continue;
            }
            let mut dependents: Vec<usize> =
                (0..self.tasks.len()).filter(|other| self.open(*other).contains(&name)).collect();
            dependents.sort_unstable_by_key(|other| self.tasks[*other].order);
            self.tasks[name].state = state;
            self.tasks[name].ended = Some((now, self.ended_count));
            self.ended_count += 1;
            for other in dependents {
                if state == State::Completed {
                    self.look(other, now);
                } else {
                    open.push_back((other, State::Rejected));
                }
            }
        }
    }

    /// Keeps only as many ended tasks as are remembered.
    fn forget_surplus(&mut self) {
        let mut ended: Vec<(u64, usize)> = self
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| !task.forgotten)
            .filter_map(|(name, task)| Some((task.ended?.1, name)))
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(self.limits.finished);
        for (_, name) in ended.into_iter().take(surplus) {
            self.tasks[name].forgotten = true;
        }
    }
}
