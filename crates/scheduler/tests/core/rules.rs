//! What the rules promise, each by an example or for every order of events.

use std::time::Duration;

use proptest::prelude::*;
use tidemill_scheduler::core::{
    AGING_SHARE, Limits, Machine, Moment, Order, Outcome, Priority, Ran, Spec, State, TaskId,
};

fn machine(limits: Limits) -> Machine<u32> {
    Machine::new(limits, Order::Told).expect("limits are right")
}

fn spec(priority: Priority) -> Spec {
    Spec { priority, ..Spec::default() }
}

fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

fn complete(machine: &mut Machine<u32>, id: TaskId, now: Moment) {
    machine.finish(id, Outcome::Completed, None, Ran { began: now, ended: now }, 0);
}

#[test]
fn an_emergency_finds_a_slot_while_all_others_are_taken() {
    let mut machine = machine(Limits::new(4));
    for number in 0..10 {
        machine.submit(&spec(Priority::Critical), number, at(0)).expect("room");
    }
    let started = std::iter::from_fn(|| machine.start_next(at(0))).count();
    assert_eq!(started, 3, "one slot is kept");
    machine.submit(&spec(Priority::Emergency), 99, at(1)).expect("room");
    assert_eq!(machine.start_next(at(1)).expect("its slot").payload, 99);
    machine.submit(&spec(Priority::Emergency), 100, at(1)).expect("room");
    assert!(machine.start_next(at(1)).is_none());
}

#[test]
fn a_full_queue_refuses_by_name_and_still_takes_an_emergency() {
    let mut machine = machine(Limits { queue: 2, queue_emergency: 1, ..Limits::new(4) });
    for number in 0..2 {
        machine.submit(&spec(Priority::Low), number, at(0)).expect("room");
    }
    let (rejection, payload) =
        machine.submit(&spec(Priority::High), 7, at(0)).expect_err("no room");
    assert_eq!(payload, 7);
    assert!(rejection.to_string().contains("queue is full: 2 tasks"), "{rejection}");
    machine.submit(&spec(Priority::Emergency), 8, at(0)).expect("its own room");
    machine.submit(&spec(Priority::Emergency), 9, at(0)).expect_err("no more of that");
    assert_eq!(machine.statistics().total().refused, 2);
}

#[test]
fn a_diamond_of_dependencies_fails_once() {
    let mut machine = machine(Limits::new(4));
    let root = machine.submit(&spec(Priority::Normal), 0, at(0)).expect("room");
    let after = |ids: &[TaskId]| Spec { after: ids.to_vec(), ..Spec::default() };
    let left = machine.submit(&after(&[root]), 1, at(0)).expect("room");
    let last = machine.submit(&after(&[root, left]), 2, at(0)).expect("room");
    let start = machine.start_next(at(0)).expect("the root");
    let ran = Ran { began: at(0), ended: at(1) };
    machine.finish(start.id, Outcome::Failed("it broke".into()), None, ran, 0);
    for id in [left, last] {
        let record = machine.record(id).expect("remembered");
        assert_eq!(record.state, State::Rejected);
        assert!(record.reason.expect("given").contains("failed"));
    }
    assert_eq!(machine.take_dropped().len(), 2);
    assert_eq!(machine.pending(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The stated bound: an overdue task that `older` ones wait before starts after at most
    /// `AGING_SHARE * (older + 1)` further starts, whatever else is submitted.
    #[test]
    fn nothing_starves(
        older in 0_usize..20,
        slots in 1_usize..6,
        urgent in prop::collection::vec((1_usize..5, any::<bool>()), 1..30),
    ) {
        let aging = Duration::from_millis(10);
        let mut machine = machine(Limits { aging, queue: 10_000, ..Limits::new(slots + 1) });
        for number in 0..older {
            machine.submit(&spec(Priority::Low), number as u32, at(0)).expect("room");
        }
        let mine = machine.submit(&spec(Priority::Low), 1_000, at(0)).expect("room");
        let mut starts = 0;
        let mut running = Vec::new();
        let mut now = 10; // everything is overdue from now on
        'outer: loop {
            for (priority, has_deadline) in &urgent {
                // More is submitted than can start, all of it more urgent.
                let deadline = has_deadline.then(|| at(now));
                let priority = Priority::ALL[*priority];
                let spec = Spec { priority, deadline, ..Spec::default() };
                for _ in 0..slots + 1 {
                    if machine.submit(&spec, 2_000, at(now)).is_err() {
                        break;
                    }
                }
                while let Some(start) = machine.start_next(at(now)) {
                    if start.id == mine {
                        break 'outer;
                    }
                    // Emergencies in the reserved slot are not in the bound.
                    starts += usize::from(start.priority != Priority::Emergency);
                    running.push(start.id);
                }
                prop_assert!(starts <= AGING_SHARE as usize * (older + 1), "{starts} starts");
                running.drain(..).for_each(|id| complete(&mut machine, id, at(now)));
                now += 1;
            }
        }
    }

    /// Whatever is started, limits and reserves hold.
    #[test]
    fn limits_hold(
        concurrency in 4_usize..10,
        class in 1_usize..4,
        tasks in prop::collection::vec((0_usize..5, 0_u8..2), 1..60),
    ) {
        let mut limits = Limits::new(concurrency);
        limits.reserve[Priority::High.index()] = 1;
        limits.classes = vec![usize::MAX, class];
        let mut machine = machine(limits);
        for (number, (priority, class)) in tasks.iter().enumerate() {
            let class = tidemill_scheduler::core::Class(*class);
            let spec = Spec { priority: Priority::ALL[*priority], class, ..Spec::default() };
            machine.submit(&spec, number as u32, at(0)).expect("room");
        }
        let started: Vec<_> = std::iter::from_fn(|| machine.start_next(at(0))).collect();
        let count = |test: &dyn Fn(&tidemill_scheduler::core::Start<u32>) -> bool| {
            started.iter().filter(|start| test(start)).count()
        };
        prop_assert!(started.len() <= concurrency);
        prop_assert!(count(&|start| start.priority < Priority::High) <= concurrency - 2);
        prop_assert!(count(&|start| start.priority < Priority::Emergency) < concurrency);
        let held = |start: &tidemill_scheduler::core::Start<u32>| {
            start.class.0 == 1 && start.priority < Priority::Emergency
        };
        prop_assert!(count(&held) <= class);
    }
}
