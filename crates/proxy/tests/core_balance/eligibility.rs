//! A backend of weight 0 is never chosen, and somebody is whenever somebody can be.

use std::cell::Cell;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use tidemill_proxy::core::balance::{Balancer, Fleet, Load};
use tidemill_proxy::core::settings::Policy;

use crate::fleet::{TestFleet, Xorshift, client};

/// Loads of which about half cannot be chosen, extreme ones included.
fn load() -> impl Strategy<Value = Load> {
    let weight = prop_oneof![5 => Just(0), 4 => 1..100_000_u32, 1 => Just(u32::MAX)];
    let connections = prop_oneof![Just(0), 0..100_u32, Just(u32::MAX)];
    let ewma_us = prop_oneof![Just(0), 1..100_000_u32, Just(u32::MAX)];
    (weight, connections, ewma_us).prop_map(|(weight, connections, ewma_us)| Load {
        weight,
        connections,
        ewma_us,
    })
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(client),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()))
    ]
}

fn with_loads(loads: Vec<Load>) -> TestFleet {
    let mut fleet = TestFleet::of(&vec![1; loads.len()]);
    fleet.loads = loads;
    fleet
}

proptest! {
    // A table costs milliseconds in a debug build.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn weight_zero_is_never_chosen_and_none_means_all_zero(
        tables in vec(load(), 0..12),
        moments in vec((vec(load(), 0..12), address(), any::<u64>()), 1..8),
    ) {
        let table = with_loads(tables).table();
        for (_, policy) in Policy::ALL {
            let mut balancer = Balancer::new(policy);
            for (loads, client, random) in &moments {
                let fleet = with_loads(loads.clone());
                for table in [None, Some(&table)] {
                    let picked = balancer.pick(&fleet, table, *client, *random);
                    let eligible = |index: usize| fleet.loads[index].weight > 0;
                    prop_assert_eq!(picked.is_some(), (0..fleet.len()).any(eligible));
                    prop_assert!(picked.is_none_or(eligible), "{} chose {picked:?}", policy.name());
                }
            }
        }
    }

    #[test]
    fn a_retry_meets_each_backend_once(loads in vec(load(), 0..12), client in address()) {
        let table = with_loads(loads.clone()).table();
        for (_, policy) in Policy::ALL {
            let mut fleet = with_loads(loads.clone());
            let mut balancer = Balancer::new(policy);
            let mut random = Xorshift::seeded();
            let mut met = Vec::new();
            while let Some(index) = balancer.pick(&fleet, Some(&table), client, random.next()) {
                fleet.loads[index].weight = 0;
                met.push(index);
            }
            met.sort_unstable();
            let eligible = (0..loads.len()).filter(|index| loads[*index].weight > 0);
            prop_assert_eq!(met, eligible.collect::<Vec<_>>(), "{}", policy.name());
        }
    }
}

/// Backends whose loads are others at each look, as those of a fleet under way can be.
struct Flickering {
    count: usize,
    state: Cell<u64>,
}

impl Fleet for Flickering {
    fn len(&self) -> usize {
        self.count
    }

    fn id(&self, index: usize) -> u64 {
        index as u64
    }

    fn load(&self, _index: usize) -> Load {
        let mut state = self.state.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state.set(state);
        let weight = if state.is_multiple_of(3) { 0 } else { (state >> 40) as u32 };
        Load {
            weight,
            connections: u32::from((state >> 32) as u8),
            ewma_us: u32::from((state >> 8) as u16),
        }
    }
}

#[test]
fn loads_that_change_during_a_pick_do_no_harm() {
    for (_, policy) in Policy::ALL {
        let fleet = Flickering { count: 5, state: Cell::new(0x9e37_79b9_7f4a_7c15) };
        let mut balancer = Balancer::new(policy);
        let mut random = Xorshift::seeded();
        let mut counts = [0; 5];
        for number in 0..10_000 {
            if let Some(index) = balancer.pick(&fleet, None, client(number), random.next()) {
                counts[index] += 1;
            }
        }
        assert!(counts.iter().all(|count| *count > 1_000), "{}: {counts:?}", policy.name());
    }
}
