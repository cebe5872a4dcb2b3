//! Who has to change the backend when the fleet changes.

use tidemill_proxy::core::balance::{Balancer, Maglev, backend_id, shares};
use tidemill_proxy::core::settings::Policy;

use crate::fleet::{TestFleet, client};

const CLIENTS: u32 = 20_000;

/// Returns the id of each client's backend.
fn assign(policy: Policy, fleet: &TestFleet, table: Option<&Maglev>) -> Vec<u64> {
    let mut balancer = Balancer::new(policy);
    (0..CLIENTS)
        .map(|number| {
            let index = balancer.pick(fleet, table, client(number), 0);
            fleet.ids[index.expect("somebody is eligible")]
        })
        .collect()
}

/// Returns the part of the clients that were not at backend `except` and have moved.
fn moved(before: &[u64], after: &[u64], except: u64) -> f64 {
    let others: Vec<_> = before.iter().zip(after).filter(|(id, _)| **id != except).collect();
    let moved = others.iter().filter(|(before, after)| before != after).count();
    moved as f64 / others.len() as f64
}

/// Takes backend 1 out of `weights` and returns the part of the others' clients that move.
fn moved_when_one_leaves(policy: Policy, weights: &[u32]) -> f64 {
    let mut fleet = TestFleet::of(weights);
    let before = assign(policy, &fleet, Some(&fleet.table()));
    let gone = fleet.ids[1];
    assert!(before.contains(&gone));
    fleet.remove(1);
    let after = assign(policy, &fleet, Some(&fleet.table()));
    moved(&before, &after, gone)
}

#[test]
fn source_hash_moves_no_client_of_the_others() {
    assert_eq!(moved_when_one_leaves(Policy::SourceHash, &[1; 10]), 0.0);
    assert_eq!(moved_when_one_leaves(Policy::SourceHash, &[7, 3, 2, 1]), 0.0);
}

#[test]
fn maglev_moves_few_clients_of_the_others() {
    for (weights, moved_max) in
        [(vec![1; 3], 0.02), (vec![1; 10], 0.02), (vec![1; 100], 0.02), (vec![7, 3, 2, 1], 0.02)]
    {
        let part = moved_when_one_leaves(Policy::Maglev, &weights);
        assert!(part <= moved_max, "{} backends: {part}", weights.len());
    }
}

#[test]
fn a_backend_that_is_out_disturbs_nobody_else_and_gets_its_clients_back() {
    for policy in [Policy::Maglev, Policy::SourceHash] {
        let mut fleet = TestFleet::of(&[1; 10]);
        let table = fleet.table();
        let before = assign(policy, &fleet, Some(&table));
        let weight = std::mem::take(&mut fleet.loads[4].weight);
        let out = assign(policy, &fleet, Some(&table));
        assert_eq!(moved(&before, &out, fleet.ids[4]), 0.0, "{}", policy.name());
        assert!(!out.contains(&fleet.ids[4]), "{}", policy.name());
        // Its clients are spread: every other one has more than before.
        for id in fleet.ids.iter().filter(|id| **id != fleet.ids[4]) {
            let count = |ids: &[u64]| ids.iter().filter(|other| *other == id).count();
            assert!(count(&out) > count(&before), "{}", policy.name());
        }
        fleet.loads[4].weight = weight;
        assert_eq!(assign(policy, &fleet, Some(&table)), before, "{}", policy.name());
    }
}

#[test]
fn slow_start_brings_a_backends_clients_back_step_by_step() {
    for policy in [Policy::Maglev, Policy::SourceHash] {
        let mut fleet = TestFleet::of(&[1; 10]);
        let table = fleet.table();
        let full = assign(policy, &fleet, Some(&table));
        let mut last = 0;
        for weight in [25, 64, 128, 256] {
            fleet.loads[4].weight = weight;
            let now = assign(policy, &fleet, Some(&table));
            assert_eq!(moved(&full, &now, fleet.ids[4]), 0.0, "{}", policy.name());
            let count = now.iter().filter(|id| **id == fleet.ids[4]).count();
            let want = f64::from(CLIENTS) * shares(policy, &fleet, Some(&table))[4];
            let error = (count as f64 - want).abs() / want;
            assert!(error < 0.15, "{} at {weight}: {count}", policy.name());
            assert!(count > last, "{} at {weight}: {count}", policy.name());
            last = count;
        }
    }
}

#[test]
fn nodes_agree_whatever_the_order_of_their_lists() {
    for policy in [Policy::Maglev, Policy::SourceHash] {
        let fleet = TestFleet::of(&[1, 1, 2, 3, 5]);
        let mut other = fleet.clone();
        other.ids.reverse();
        other.loads.reverse();
        assert_eq!(
            assign(policy, &fleet, Some(&fleet.table())),
            assign(policy, &other, Some(&other.table())),
            "{}",
            policy.name()
        );
    }
}

#[test]
fn a_table_of_other_backends_is_not_believed() {
    let table = TestFleet::of(&[1; 10]).table();
    let mut fleet = TestFleet::of(&[1; 10]);
    fleet.ids.rotate_left(3);
    let by_hash = assign(Policy::SourceHash, &fleet, None);
    assert_eq!(assign(Policy::Maglev, &fleet, Some(&table)), by_hash);
    let few = TestFleet { ids: fleet.ids[..2].to_vec(), loads: fleet.loads[..2].to_vec() };
    let by_hash = assign(Policy::SourceHash, &few, None);
    assert_eq!(assign(Policy::Maglev, &few, Some(&table)), by_hash);
}

/// Versions of the program that run side by side have to agree, so these numbers never change.
/// They come from a second implementation, written in Python from the descriptions alone.
#[test]
fn hashes_are_the_same_in_every_version() {
    let id = |address: &str| backend_id(address.parse().unwrap());
    assert_eq!(id("127.0.0.1:6379"), 339_820_623_544_843_314);
    assert_eq!(id("[::ffff:127.0.0.1]:6379"), id("127.0.0.1:6379"));
    assert_eq!(id("[2001:db8::1]:6379"), 9_541_242_673_370_582_090);
    assert_ne!(id("[fe80::1%1]:6379"), id("[fe80::1%2]:6379"));
    let fleet = TestFleet::of(&[1; 8]);
    let table = fleet.table();
    for (policy, want) in
        [(Policy::Maglev, [0, 0, 6, 4, 1, 6]), (Policy::SourceHash, [1, 1, 7, 7, 7, 0])]
    {
        let mut balancer = Balancer::new(policy);
        let clients = ["192.0.2.1", "192.0.2.2", "10.1.2.3", "::1", "2001:db8::7", "2001:db8::8"];
        let got = clients.map(|client| {
            balancer.pick(&fleet, Some(&table), client.parse().unwrap(), 0).expect("all eligible")
        });
        assert_eq!(got, want, "{}", policy.name());
    }
}
