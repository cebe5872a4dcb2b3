//! From a plan to steps: topology, strategy and number of workers become dependencies.
//!
//! Steps are kept in an order in which each comes after what it waits for (the root, which waits
//! for everything, stands first). Every added dependency points back in that order, so none closes
//! a circle. `workers_max` deals the steps to so many lanes; within a lane each waits for the one
//! before, so at most so many are ready at once.

use std::collections::BTreeMap;

use super::{Plan, PlanTask, Step, Strategy, Topology};
use crate::model::Priority;

/// Returns the steps of a plan that was read, whose names are known and go in no circle.
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let mut layout = Layout::new(plan);
    for place in order(&plan.tasks) {
        layout.add(&plan.tasks[place]);
    }
    let is_chain = plan.topology == Topology::Ring || plan.strategy == Strategy::Sequential;
    layout.limit(if is_chain { 1 } else { plan.workers_max });
    if plan.strategy == Strategy::CriticalPath {
        layout.lift_critical();
    }
    layout.finish()
}

/// Returns the tasks' places in an order of their dependencies, as written among equals; what goes
/// in a circle is left out.
pub(super) fn order(tasks: &[PlanTask]) -> Vec<usize> {
    let mut done: Vec<usize> = Vec::with_capacity(tasks.len());
    loop {
        let next = (0..tasks.len()).find(|place| {
            let is_done = |name: &String| done.iter().any(|place| tasks[*place].name == *name);
            !done.contains(place) && tasks[*place].depends_on.iter().all(is_done)
        });
        match next {
            Some(place) => done.push(place),
            None => return done,
        }
    }
}

struct Layout<'a> {
    plan: &'a Plan,
    /// The root first.
    steps: Vec<Step>,
    /// Which step stands for a task to those that wait for it.
    exits: BTreeMap<&'a str, usize>,
    entries: BTreeMap<&'a str, usize>,
}

impl<'a> Layout<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut layout =
            Self { plan, steps: Vec::new(), exits: BTreeMap::new(), entries: BTreeMap::new() };
        let mut body = plan.description.clone();
        if !plan.roles.is_empty() {
            body.push_str("\n\n| role | does |\n|---|---|\n");
            for (role, does) in &plan.roles {
                body.push_str(&format!("| {role} | {does} |\n"));
            }
        }
        layout.push(layout.coordination("root", plan.title.clone(), body), Vec::new());
        if matches!(plan.topology, Topology::Hierarchical | Topology::Star) {
            let title = format!("Hand out: {}", plan.title);
            let body =
                "Read the plan, settle what is open, and give each role what it needs to begin.";
            layout.push(layout.coordination("hand-out", title, body.to_owned()), Vec::new());
        }
        layout
    }

    fn add(&mut self, task: &'a PlanTask) {
        let mut after: Vec<_> = task
            .depends_on
            .iter()
            .filter_map(|name| self.exits.get(name.as_str()))
            .copied()
            .collect();
        if after.is_empty() && self.has_hand_out() {
            after.push(1);
        }
        let place = self.push(task.clone(), after);
        self.entries.insert(&task.name, place);
        let is_awaited = self.plan.tasks.iter().any(|other| other.depends_on.contains(&task.name));
        let exit = if self.plan.topology == Topology::Star && is_awaited {
            let title = format!("Hand over: {}", task.title);
            let body = "Check the result and pass it on to those who wait for it.".to_owned();
            let name = format!("hand-over-{}", task.name);
            self.push(self.coordination(&name, title, body), vec![place])
        } else {
            place
        };
        self.exits.insert(&task.name, exit);
    }

    /// Deals the steps to lanes: to one whose last step it waits for anyway, else to the shortest.
    fn limit(&mut self, workers_max: usize) {
        let first = if self.has_hand_out() { 2 } else { 1 };
        let mut lanes: Vec<Vec<usize>> = vec![Vec::new(); workers_max.max(1)];
        for place in first..self.steps.len() {
            let waits = |lane: &Vec<usize>| {
                lane.last().is_some_and(|last| self.steps[place].after.contains(last))
            };
            let shortest = (0..lanes.len()).min_by_key(|lane| lanes[*lane].len()).unwrap_or(0);
            let lane = lanes.iter().position(waits).unwrap_or(shortest);
            if let Some(last) = lanes[lane].last().copied()
                && !self.steps[place].after.contains(&last)
            {
                self.steps[place].after.push(last);
            }
            lanes[lane].push(place);
        }
    }

    /// Lifts what lies on a longest chain of dependencies.
    fn lift_critical(&mut self) {
        let count = self.steps.len();
        let mut before = vec![1_usize; count];
        for place in 1..count {
            let longest = self.steps[place].after.iter().map(|other| before[*other]).max();
            before[place] = longest.map_or(1, |longest| longest + 1);
        }
        let mut behind = vec![1_usize; count];
        for place in (1..count).rev() {
            for other in self.steps[place].after.clone() {
                behind[other] = behind[other].max(behind[place] + 1);
            }
        }
        let longest = (1..count).map(|place| before[place] + behind[place]).max();
        for place in 1..count {
            if Some(before[place] + behind[place]) == longest {
                let priority = &mut self.steps[place].task.priority;
                *priority = (*priority).max(Priority::High);
            }
        }
    }

    /// Gives each step its parent, and has the root wait for all.
    fn finish(mut self) -> Vec<Step> {
        for place in 1..self.steps.len() {
            let parent = self.steps[place].task.parent.as_deref();
            let parent = parent.and_then(|name| self.entries.get(name)).copied();
            self.steps[place].parent_step = Some(parent.unwrap_or(0));
        }
        let count = self.steps.len();
        let is_awaited =
            |place: &usize| self.steps[1..].iter().any(|step| step.after.contains(place));
        self.steps[0].after = (1..count).filter(|place| !is_awaited(place)).collect();
        for step in &mut self.steps {
            step.after.sort_unstable();
            step.after.dedup();
        }
        self.steps
    }

    fn has_hand_out(&self) -> bool {
        matches!(self.plan.topology, Topology::Hierarchical | Topology::Star)
    }

    fn push(&mut self, task: PlanTask, after: Vec<usize>) -> usize {
        self.steps.push(Step { task, parent_step: None, after });
        self.steps.len() - 1
    }

    fn coordination(&self, name: &str, title: String, body: String) -> PlanTask {
        PlanTask {
            name: name.to_owned(),
            title,
            body,
            role: self.plan.coordinator.clone(),
            priority: Priority::Normal,
            labels: vec!["coordination".to_owned()],
            parent: None,
            depends_on: Vec::new(),
        }
    }
}
