//! Each policy spreads connections by weight, as closely as it promises.

use std::collections::VecDeque;

use tidemill_proxy::core::balance::{Balancer, shares};
use tidemill_proxy::core::settings::Policy;

use crate::fleet::{TestFleet, Xorshift, client};

const CONNECTIONS: u32 = 50_000;
/// Connections open at a time; each ends when that many came after it.
const OPEN: usize = 400;

/// Sends [`CONNECTIONS`] from as many clients, and compares each backend's part with its weight.
#[track_caller]
fn check(policy: Policy, weights: &[u32], error_max: f64) {
    let mut fleet = TestFleet::of(weights);
    let table = fleet.table();
    let mut balancer = Balancer::new(policy);
    let mut random = Xorshift::seeded();
    let mut counts = vec![0; weights.len()];
    let mut open = VecDeque::new();
    for number in 0..CONNECTIONS {
        let index = balancer
            .pick(&fleet, Some(&table), client(number), random.next())
            .expect("every backend is eligible");
        counts[index] += 1;
        fleet.loads[index].connections += 1;
        open.push_back(index);
        if open.len() > OPEN {
            let ended = open.pop_front().expect("one was just pushed");
            fleet.loads[ended].connections -= 1;
        }
    }
    let total: u32 = weights.iter().sum();
    for (count, weight) in counts.iter().zip(weights) {
        let want = f64::from(CONNECTIONS) * f64::from(*weight) / f64::from(total);
        let error = (f64::from(*count) - want).abs() / want;
        let name = policy.name();
        assert!(error <= error_max, "{name} {weights:?}: off by {error:.4}, counts {counts:?}");
    }
}

#[test]
fn round_robin_is_exact() {
    check(Policy::RoundRobin, &[1, 1, 1, 1, 1], 0.0);
    check(Policy::RoundRobin, &[10, 5, 3, 2], 0.0);
    check(Policy::RoundRobin, &[7], 0.0);
}

#[test]
fn random_is_within_four_percent() {
    check(Policy::Random, &[1, 1, 1, 1, 1], 0.04);
    check(Policy::Random, &[10, 5, 3, 2], 0.04);
}

/// Weights this small occur only in slow start, but show a draw that is off by one.
#[test]
fn draws_are_fair_down_to_the_lightest() {
    let mut fleet = TestFleet::of(&[1; 3]);
    fleet.loads.iter_mut().for_each(|load| load.weight = 1);
    let mut balancer = Balancer::new(Policy::Random);
    let mut random = Xorshift::seeded();
    let mut counts = [0; 3];
    for number in 0..30_000 {
        let picked = balancer.pick(&fleet, None, client(number), random.next());
        counts[picked.expect("every backend is eligible")] += 1;
    }
    assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
}

#[test]
fn least_connections_is_within_two_percent() {
    check(Policy::LeastConnections, &[1, 1, 1, 1, 1], 0.02);
    check(Policy::LeastConnections, &[10, 5, 3, 2], 0.02);
}

#[test]
fn p2c_is_within_five_percent_where_latencies_are_equal() {
    check(Policy::P2cEwma, &[1, 1, 1, 1, 1], 0.05);
    check(Policy::P2cEwma, &[10, 5, 3, 2], 0.05);
}

#[test]
fn maglev_is_within_four_percent_over_these_clients() {
    check(Policy::Maglev, &[1, 1, 1, 1, 1], 0.04);
    check(Policy::Maglev, &[10, 5, 3, 2], 0.04);
}

#[test]
fn source_hash_is_within_four_percent_over_these_clients() {
    check(Policy::SourceHash, &[1, 1, 1, 1, 1], 0.04);
    check(Policy::SourceHash, &[10, 5, 3, 2], 0.04);
}

#[test]
fn maglev_shares_its_table_out_within_one_percent() {
    for weights in [vec![1; 3], vec![1; 655], vec![1; 2_000], vec![5, 1, 1, 30]] {
        let fleet = TestFleet::of(&weights);
        let total: u32 = weights.iter().sum();
        let got = shares(Policy::Maglev, &fleet, Some(&fleet.table()));
        for (share, weight) in got.iter().zip(&weights) {
            let want = f64::from(*weight) / f64::from(total);
            assert!((share / want - 1.0).abs() < 0.01, "{} backends: {share}", weights.len());
        }
    }
}

#[test]
fn maglev_gives_every_backend_a_slot_however_light() {
    let mut weights = vec![65_535; 600];
    weights.push(1);
    let fleet = TestFleet::of(&weights);
    let got = shares(Policy::Maglev, &fleet, Some(&fleet.table()));
    assert!(got[600] > 0.0);
}

#[test]
fn an_idle_fleet_is_used_by_weight_and_not_from_the_top() {
    for policy in [Policy::LeastConnections, Policy::P2cEwma] {
        let fleet = TestFleet::of(&[3, 1]);
        let mut random = Xorshift::seeded();
        let mut balancer = Balancer::new(policy);
        let light = (0..10_000)
            .filter(|number| balancer.pick(&fleet, None, client(*number), random.next()) == Some(1))
            .count();
        assert!((2_400..2_600).contains(&light), "{}: {light} of 10,000", policy.name());
    }
}

/// Counts how often each backend is chosen by p2c-ewma out of 10,000, nothing changing meanwhile.
/// Backends are given as (connections, ewma in us).
fn p2c_counts(backends: &[(u32, u32)]) -> Vec<u32> {
    let mut fleet = TestFleet::of(&vec![1; backends.len()]);
    for (load, (connections, ewma_us)) in fleet.loads.iter_mut().zip(backends) {
        (load.connections, load.ewma_us) = (*connections, *ewma_us);
    }
    let mut balancer = Balancer::new(Policy::P2cEwma);
    let mut random = Xorshift::seeded();
    let mut counts = vec![0; backends.len()];
    for number in 0..10_000 {
        let picked = balancer.pick(&fleet, None, client(number), random.next());
        counts[picked.expect("every backend is eligible")] += 1;
    }
    counts
}

#[test]
fn p2c_never_chooses_the_worst_of_all() {
    // Slow; busy; both in balance with the rest: 500 us * (3 + 1) = 200 us * (9 + 1).
    assert_eq!(p2c_counts(&[(0, 500), (0, 500), (0, 9_000)])[2], 0);
    assert_eq!(p2c_counts(&[(1, 500), (1, 500), (2, 500)])[2], 0);
    let even = p2c_counts(&[(3, 500), (9, 200)]);
    assert!(even.iter().all(|count| (4_700..5_300).contains(count)), "{even:?}");
}

#[test]
fn p2c_tries_an_unmeasured_backend_but_does_not_flood_it() {
    // Drawn with 3 others it is in half of the pairs.
    let tried = p2c_counts(&[(5, 100), (5, 100), (5, 100), (0, 0)])[3];
    assert!((4_700..5_300).contains(&tried), "{tried} of 10,000");
    let under_way = p2c_counts(&[(5, 100), (5, 100), (5, 100), (1, 0)])[3];
    assert_eq!(under_way, 0);
    // With nothing but unmeasured ones it is the fewest connections that count.
    assert_eq!(p2c_counts(&[(1, 0), (2, 0)]), [10_000, 0]);
}
