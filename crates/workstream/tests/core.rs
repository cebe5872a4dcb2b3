//! The core by property: whatever the order of delivery, states converge, and history is a naive
//! model's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::prelude::*;
use tidemill_workstream::core::{
    Action, Arrival, Bases, HybridClock, Inbox, MemoryState, MemoryWrite, Operation, Stamp,
    TaskState, VectorClock, Write,
};
use tidemill_workstream::model::{
    ActorId, MemoryKey, OperationId, Priority, Status, Task, TaskId, Timestamp,
};

/// A replica in memory: everything that the store does with an operation, without a database.
#[derive(Debug, Clone)]
struct Replica {
    actor: ActorId,
    hybrid: HybridClock,
    applied: VectorClock,
    known: BTreeMap<ActorId, VectorClock>,
    inbox: Inbox,
    log: Vec<Logged>,
    tasks: BTreeMap<TaskId, TaskState>,
    memory: BTreeMap<MemoryKey, MemoryState>,
}

#[derive(Debug, Clone)]
struct Logged {
    operation: Operation,
    height: u64,
}

/// What a replica shows; equal on replicas that applied the same operations.
type Shown = (Vec<(Task, bool, usize)>, Vec<(String, u64, bool)>, VectorClock);

impl Replica {
    fn new(number: u8) -> Self {
        Self {
            actor: ActorId::from_bytes([number; 16]),
            hybrid: HybridClock::default(),
            applied: VectorClock::default(),
            known: BTreeMap::new(),
            inbox: Inbox::new(usize::MAX),
            log: Vec::new(),
            tasks: BTreeMap::new(),
            memory: BTreeMap::new(),
        }
    }

    fn write(&mut self, action: Action, now: Timestamp) {
        let actor = self.actor;
        let known = self.known.entry(actor).or_default();
        let news =
            self.applied.iter().filter(|(other, n)| *other != actor && *n > known.get(*other));
        let operation = Operation {
            id: OperationId { actor, sequence: self.applied.get(actor) + 1 },
            time: self.hybrid.tick(now),
            seen: news.collect(),
            author: "somebody".to_owned(),
            action,
        };
        self.apply(operation);
    }

    fn receive(&mut self, bytes: &[u8], now: Timestamp) {
        let operation = Operation::decode(bytes).expect("what was encoded can be decoded");
        assert_eq!(operation.encode(), bytes, "an encoding is stable");
        if let Arrival::Ready(operation) = self.inbox.take(operation, &self.applied) {
            self.hybrid.observe(operation.time, now);
            self.apply(operation);
        }
        while let Some(operation) = self.inbox.next_ready(&self.applied) {
            self.apply(operation);
        }
    }

    fn apply(&mut self, operation: Operation) {
        let OperationId { actor, sequence } = operation.id;
        let mut seen = self.known.get(&actor).cloned().unwrap_or_default();
        seen.join(&operation.seen);
        let height = seen.total() + 1;
        self.log.push(Logged { operation: operation.clone(), height });
        let stamp = Stamp { id: operation.id, time: operation.time, seen: &seen };
        match &operation.action {
            Action::Task { task, writes } => {
                self.tasks.entry(*task).or_default().apply(stamp, writes);
                self.store_and_read(*task);
            }
            Action::DeleteTask { task } => self.tasks.entry(*task).or_default().delete(stamp),
            Action::Memory { key, writes } => {
                self.memory.entry(key.clone()).or_default().apply(stamp, writes);
            }
            Action::DeleteMemory { key } => {
                self.memory.entry(key.clone()).or_default().delete(stamp);
            }
            Action::Unknown { .. } => {}
        }
        seen.advance(actor, sequence);
        self.known.insert(actor, seen);
        self.applied.advance(actor, sequence);
    }

    /// What the store does between two operations must change nothing.
    fn store_and_read(&mut self, id: TaskId) {
        let state = &self.tasks[&id];
        let Ok(task) = state.view(id, &self.bases(id));
        let read = TaskState::decode(&state.encode(), &task.body).expect("its own encoding");
        assert_eq!(*state, read);
        self.tasks.insert(id, read);
    }

    fn bases(&self, id: TaskId) -> LogBases<'_> {
        LogBases { log: &self.log, subject: Ok(id) }
    }

    fn show(&self) -> Shown {
        let tasks = self.tasks.iter().map(|(id, state)| {
            let bases = self.bases(*id);
            let Ok(task) = state.view(*id, &bases);
            let Ok(conflicts) = state.conflicts(&bases);
            (task, state.is_there(), conflicts.len())
        });
        let memory = self.memory.iter().map(|(key, state)| {
            let bases = LogBases { log: &self.log, subject: Err(key) };
            let Ok(entry) = state.view(key, &bases);
            (entry.value, entry.conflicts, state.is_there())
        });
        (tasks.collect(), memory.collect(), self.applied.clone())
    }
}

struct LogBases<'a> {
    log: &'a [Logged],
    subject: Result<TaskId, &'a MemoryKey>,
}

impl Bases for LogBases<'_> {
    type Error = Infallible;

    fn newest_within(&self, known: &VectorClock) -> Result<Option<String>, Infallible> {
        let text = |action: &Action| match (action, self.subject) {
            (Action::Task { task, writes }, Ok(id)) if *task == id => {
                writes.iter().rev().find_map(|write| match write {
                    Write::Body(body) => Some(body.clone()),
                    _ => None,
                })
            }
            (Action::Memory { key, writes }, Err(wanted)) if key == wanted => {
                writes.iter().rev().find_map(|write| match write {
                    MemoryWrite::Value(value) => Some(value.clone()),
                    _ => None,
                })
            }
            _ => None,
        };
        let versions = self.log.iter().filter(|logged| known.covers(logged.operation.id));
        let versions = versions.filter_map(|logged| {
            Some(((logged.height, logged.operation.id), text(&logged.operation.action)?))
        });
        Ok(versions.max_by_key(|(rank, _)| *rank).map(|(_, text)| text))
    }
}

/// One step of a story: somebody does something, or hears of what others did.
#[derive(Debug, Clone)]
enum Step {
    Act(usize, Action),
    Hear { who: usize, from: usize },
    Wait(u64),
}

fn actions() -> impl Strategy<Value = Action> {
    let task = (0..3_u64).prop_map(|n| TaskId::new(1_000 + n, 7));
    let key = (0..2_u8).prop_map(|n| MemoryKey::new("s", format!("k{n}")));
    let line = prop::sample::select(vec!["a\n", "b\n", "c\n", "d\n", ""]);
    let text = prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat());
    let word = prop::sample::select(vec!["x", "y", "z"]).prop_map(str::to_owned);
    let write = prop_oneof![
        word.clone().prop_map(Write::Title),
        text.clone().prop_map(Write::Body),
        prop::sample::select(Status::ALL.to_vec()).prop_map(Write::Status),
        prop::sample::select(Priority::ALL.to_vec()).prop_map(Write::Priority),
        prop::option::of(word.clone()).prop_map(Write::Assignee),
        word.clone().prop_map(Write::AddLabel),
        word.clone().prop_map(Write::RemoveLabel),
        task.clone().prop_map(Write::AddDependency),
        task.clone().prop_map(Write::RemoveDependency),
        word.clone().prop_map(Write::Comment),
        word.prop_map(|title| Write::Keep(Box::new(Write::Title(title)))),
        Just(Write::Unknown(900, vec![1, 2, 3])),
    ];
    let writes = prop::collection::vec(write, 1..4);
    prop_oneof![
        8 => (task.clone(), writes).prop_map(|(task, writes)| Action::Task { task, writes }),
        1 => task.prop_map(|task| Action::DeleteTask { task }),
        3 => (key.clone(), text).prop_map(|(key, text)| {
            Action::Memory { key, writes: vec![MemoryWrite::Value(text)] }
        }),
        1 => key.prop_map(|key| Action::DeleteMemory { key }),
        1 => Just(Action::Unknown { kind: 77, payload: vec![9; 4] }),
    ]
}

fn stories() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..ACTORS, actions()).prop_map(|(who, action)| Step::Act(who, action)),
        2 => (0..ACTORS, 0..ACTORS).prop_map(|(who, from)| Step::Hear { who, from }),
        1 => (0..3_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// Lets a story happen and returns the replicas as they are at its end.
fn happen(story: &[Step]) -> Vec<Replica> {
    let mut replicas: Vec<_> = (0..ACTORS).map(|n| Replica::new(n as u8 + 1)).collect();
    let mut now = 1_000_000;
    for step in story {
        match step {
            Step::Act(who, action) => {
                replicas[*who].write(action.clone(), Timestamp::from_unix_ms(now));
            }
            Step::Hear { who, from } => {
                let log: Vec<_> =
                    replicas[*from].log.iter().map(|logged| logged.operation.encode()).collect();
                for bytes in log {
                    replicas[*who].receive(&bytes, Timestamp::from_unix_ms(now));
                }
            }
            Step::Wait(ms) => now += ms,
        }
    }
    replicas
}

/// Every operation of a story, once.
fn all_operations(replicas: &[Replica]) -> Vec<Vec<u8>> {
    let all: BTreeMap<_, _> = replicas
        .iter()
        .flat_map(|replica| &replica.log)
        .map(|logged| (logged.operation.id, logged.operation.encode()))
        .collect();
    all.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_order_of_delivery_makes_the_same(
        story in stories(),
        seed in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let replicas = happen(&story);
        let operations = all_operations(&replicas);
        let mut reader = Replica::new(100);
        for bytes in &operations {
            reader.receive(bytes, Timestamp::from_unix_ms(2_000_000));
        }
        prop_assert!(reader.inbox.is_empty(), "nothing waits when everything is there");
        let want = reader.show();

        // In another order, with repetitions.
        let mut other = Replica::new(101);
        let mut left: Vec<_> = operations.clone();
        for index in &seed {
            if left.is_empty() {
                break;
            }
            let place = index.index(left.len());
            let bytes = left.swap_remove(place);
            other.receive(&bytes, Timestamp::from_unix_ms(2_000_000));
            other.receive(&operations[index.index(operations.len())], Timestamp::from_unix_ms(1));
        }
        for bytes in left.iter().chain(&operations) {
            other.receive(bytes, Timestamp::from_unix_ms(2_000_000));
        }
        prop_assert_eq!(other.show(), want.clone());

        // The actors themselves, who have a part already.
        for mut replica in replicas {
            for bytes in operations.iter().rev() {
                replica.receive(bytes, Timestamp::from_unix_ms(2_000_000));
            }
            prop_assert_eq!(replica.show(), want.clone());
        }
    }

    #[test]
    fn one_actor_alone_is_a_map_of_last_writes(
        actions in prop::collection::vec(actions(), 1..40),
    ) {
        let story: Vec<_> = actions.iter().map(|action| Step::Act(0, action.clone())).collect();
        let replica = happen(&story).swap_remove(0);
        let model = RefCell::new(BTreeMap::<TaskId, Naive>::new());
        for action in &actions {
            match action {
                Action::Task { task, writes } => {
                    let mut model = model.borrow_mut();
                    let naive = model.entry(*task).or_default();
                    naive.is_there = true;
                    naive.version += 1;
                    writes.iter().for_each(|write| naive.write(write));
                }
                Action::DeleteTask { task } => {
                    let mut model = model.borrow_mut();
                    let naive = model.entry(*task).or_default();
                    naive.is_there = false;
                    naive.version += 1;
                }
                _ => {}
            }
        }
        for (id, naive) in model.into_inner() {
            let state = &replica.tasks[&id];
            let Ok(task) = state.view(id, &replica.bases(id));
            let shown = Naive {
                is_there: state.is_there(),
                version: task.version,
                title: task.title,
                body: task.body,
                status: task.status,
                assignee: task.assignee,
                labels: task.labels.into_iter().collect(),
                depends_on: task.depends_on.into_iter().collect(),
                comments: task.comments,
            };
            prop_assert_eq!(shown, naive);
            prop_assert!(!task.is_revived, "nothing was concurrent");
        }
    }

    #[test]
    fn any_bytes_are_an_operation_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(operation) = Operation::decode(&bytes) {
            let again = Operation::decode(&operation.encode());
            prop_assert_eq!(again, Ok(operation));
        }
    }

    #[test]
    fn a_damaged_operation_is_an_operation_or_an_error(
        action in actions(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let replica = happen(&[Step::Act(0, action)]).swap_remove(0);
        let mut bytes = replica.log[0].operation.encode();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(operation) = Operation::decode(&bytes) {
            let again = Operation::decode(&operation.encode());
            prop_assert_eq!(again, Ok(operation));
        }
        prop_assert!(Operation::decode(&bytes[..place]).is_err(), "a part is no operation");
    }
}

/// A task as a plain record.
#[derive(Debug, Default, PartialEq)]
struct Naive {
    is_there: bool,
    version: u64,
    title: String,
    body: String,
    status: Status,
    assignee: Option<String>,
    labels: BTreeSet<String>,
    depends_on: BTreeSet<TaskId>,
    comments: u64,
}

impl Naive {
    fn write(&mut self, write: &Write) {
        match write {
            Write::Title(title) => self.title = title.clone(),
            Write::Body(body) => self.body = body.clone(),
            Write::Status(status) => self.status = *status,
            Write::Assignee(assignee) => self.assignee = assignee.clone(),
            Write::AddLabel(label) => drop(self.labels.insert(label.clone())),
            Write::RemoveLabel(label) => drop(self.labels.remove(label)),
            Write::AddDependency(task) => drop(self.depends_on.insert(*task)),
            Write::RemoveDependency(task) => drop(self.depends_on.remove(task)),
            Write::Comment(_) => self.comments += 1,
            _ => {}
        }
    }
}

#[test]
fn bytes_of_an_operation_never_change() {
    let operation = golden();
    let hex: String = operation.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("golden/operation.hex").trim());
    assert_eq!(Operation::decode(&operation.encode()), Ok(operation));
}

/// An operation with every kind of write.
fn golden() -> Operation {
    let other = TaskId::new(1_795_253_400_001, 2);
    let lease = tidemill_workstream::model::Lease {
        holder: "agent".to_owned(),
        until: Timestamp::from_unix_ms(1_795_253_460_000),
    };
    let actor = ActorId::from_bytes([0x11; 16]);
    Operation {
        id: OperationId { actor, sequence: 300 },
        time: tidemill_workstream::core::HybridTime::from_bits(1_795_253_400_000 << 16 | 5),
        seen: VectorClock::from_iter([(ActorId::from_bytes([0x22; 16]), 7)]),
        author: "anna".to_owned(),
        action: Action::Task {
            task: TaskId::new(1_795_253_400_000, 1),
            writes: vec![
                Write::Title("Turn the mill".to_owned()),
                Write::Body("By hand.\n".to_owned()),
                Write::Status(Status::Doing),
                Write::Priority(Priority::High),
                Write::Role(Some("miller".to_owned())),
                Write::Assignee(None),
                Write::Parent(Some(other)),
                Write::Lease(Some(lease)),
                Write::AddLabel("tide".to_owned()),
                Write::RemoveLabel("ebb".to_owned()),
                Write::AddDependency(other),
                Write::RemoveDependency(other),
                Write::Comment("why?".to_owned()),
                Write::Keep(Box::new(Write::Title("Stop the mill".to_owned()))),
                Write::Restore,
                Write::Unknown(99, vec![1, 2]),
            ],
        },
    }
}

const ACTORS: usize = 4;
