//! What `explain` says is what a balancer does.

use proptest::collection::vec;
use proptest::prelude::*;
use tidemill_proxy::core::balance::{Balancer, Fleet, Load, Prediction, predict, shares};
use tidemill_proxy::core::settings::Policy;

use crate::fleet::{TestFleet, Xorshift, client};

/// Writes a prediction as `a`, `a or b`, `nobody`.
#[track_caller]
fn check(policy: Policy, loads: &[(u32, u32, u32)], want: &str) {
    let mut fleet = TestFleet::of(&vec![1; loads.len()]);
    for (load, (weight, connections, ewma_us)) in fleet.loads.iter_mut().zip(loads) {
        *load = Load { weight: *weight, connections: *connections, ewma_us: *ewma_us };
    }
    let letter = |index: usize| char::from(b'a' + index as u8).to_string();
    let got = match predict(policy, &fleet, Some(&fleet.table()), client(0)) {
        Prediction::Certain(index) => letter(index),
        Prediction::OneOf(indices) => {
            indices.into_iter().map(letter).collect::<Vec<_>>().join(" or ")
        }
        Prediction::Nowhere => "nobody".to_owned(),
    };
    assert_eq!(got, want, "{} {loads:?}", policy.name());
}

#[test]
fn all_out_is_nowhere() {
    for (_, policy) in Policy::ALL {
        check(policy, &[], "nobody");
        check(policy, &[(0, 0, 0), (0, 5, 100)], "nobody");
    }
}

#[test]
fn the_only_one_is_certain() {
    for (_, policy) in Policy::ALL {
        check(policy, &[(0, 0, 0), (256, 5, 100)], "b");
    }
}

#[test]
fn turns_and_draws_name_everyone_eligible() {
    for policy in [Policy::RoundRobin, Policy::Random] {
        check(policy, &[(256, 0, 0), (0, 0, 0), (512, 9, 100)], "a or c");
    }
}

#[test]
fn least_connections_names_the_least_for_their_weight() {
    check(Policy::LeastConnections, &[(256, 3, 0), (256, 2, 0), (256, 4, 0)], "b");
    check(Policy::LeastConnections, &[(256, 3, 0), (512, 4, 0), (0, 0, 0)], "b");
    check(Policy::LeastConnections, &[(256, 2, 0), (512, 4, 0), (256, 3, 0)], "a or b");
}

#[test]
fn p2c_leaves_out_the_worst() {
    check(Policy::P2cEwma, &[(256, 0, 500), (256, 0, 900), (256, 0, 400)], "a or c");
    check(Policy::P2cEwma, &[(256, 0, 500), (256, 0, 900)], "a");
    check(Policy::P2cEwma, &[(256, 0, 500), (256, 0, 500)], "a or b");
}

fn fleet() -> impl Strategy<Value = TestFleet> {
    let load = (prop_oneof![Just(0), 1..1_000_u32], 0..3_u32, 0..3_u32);
    vec(load, 1..6).prop_map(|loads| {
        let mut fleet = TestFleet::of(&vec![1; loads.len()]);
        for (load, (weight, connections, ewma_us)) in fleet.loads.iter_mut().zip(loads) {
            *load = Load { weight, connections, ewma_us };
        }
        fleet
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_balancer_does_what_was_predicted(fleet in fleet(), number: u32) {
        let table = fleet.table();
        for (_, policy) in Policy::ALL {
            let prediction = predict(policy, &fleet, Some(&table), client(number));
            let possible = match prediction {
                Prediction::Certain(index) => vec![index],
                Prediction::OneOf(indices) => indices,
                Prediction::Nowhere => vec![],
            };
            let mut balancer = Balancer::new(policy);
            let mut random = Xorshift::seeded();
            for _ in 0..50 {
                let picked = balancer.pick(&fleet, Some(&table), client(number), random.next());
                prop_assert_eq!(picked.is_none(), possible.is_empty());
                prop_assert!(picked.is_none_or(|index| possible.contains(&index)));
            }
        }
    }

    #[test]
    fn shares_are_the_frequencies_of_picks(fleet in fleet(), seen in 0..1_000_u32) {
        // Slow start: the table was built for another weight of the first backend.
        let mut full = fleet.clone();
        full.loads[0].weight = full.loads[0].weight.max(seen);
        let table = full.table();
        for (_, policy) in Policy::ALL {
            // Its shares are those in the long run; `spread` looks at them.
            if policy == Policy::LeastConnections {
                continue;
            }
            let shares = shares(policy, &fleet, Some(&table));
            let mut balancer = Balancer::new(policy);
            let mut random = Xorshift::seeded();
            let mut counts = vec![0.0; fleet.len()];
            for number in 0..4_000 {
                if let Some(index) =
                    balancer.pick(&fleet, Some(&table), client(number), random.next())
                {
                    counts[index] += 1.0 / 4_000.0;
                }
            }
            for (share, count) in shares.iter().zip(&counts) {
                prop_assert!(
                    (share - count).abs() < 0.04,
                    "{}: said {shares:?}, was {counts:?}", policy.name()
                );
            }
        }
    }
}
