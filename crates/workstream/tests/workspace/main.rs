//! A workspace through its facade: what people, agents and other stores can see of it.

mod claiming;
mod exchanging;
mod faults;
mod finding;
mod remembering;
mod tasks;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_workstream::model::{NewTask, Task, Timestamp};
use tidemill_workstream::{Clock, Options, Workstream};

/// A clock that moves when it is told to.
#[derive(Debug, Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_795_253_400_000)))
    }

    fn forward(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let hands = self.0.clone();
        Clock::from_fn(move || Timestamp::from_unix_ms(hands.load(Ordering::Relaxed)))
    }
}

async fn open(path: &Path) -> Workstream {
    Workstream::open(path, Options::default()).await.expect("the workspace opens")
}

async fn open_at(path: &Path, hands: &Hands) -> Workstream {
    let options = Options { clock: hands.clock(), ..Options::default() };
    Workstream::open(path, options).await.expect("the workspace opens")
}

fn titled(title: &str) -> NewTask {
    NewTask { title: title.to_owned(), ..NewTask::default() }
}

async fn add(workspace: &Workstream, title: &str) -> Task {
    workspace.create("anna", titled(title)).await.expect("the task is good")
}
