//! Durable jobs over real nats-servers: the store's rules, and a cluster under faults.

mod cluster;
mod relay;
mod store;

use std::time::Duration;

use tidemill_scheduler::durable::nats::{NatsOptions, NatsStore};

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn options(servers: impl IntoIterator<Item = String>, replicas: usize) -> NatsOptions {
    let lease = Duration::from_secs(3);
    NatsOptions { replicas, lease, ..NatsOptions::new(servers) }
}

async fn connect(options: NatsOptions) -> NatsStore {
    NatsStore::connect(options).await.expect("the servers let us in")
}
