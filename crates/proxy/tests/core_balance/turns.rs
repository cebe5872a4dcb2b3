//! Smooth weighted round-robin: the exact sequence, and its memory over changes of the fleet.

use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use tidemill_proxy::core::balance::{Balancer, WEIGHT_ONE};
use tidemill_proxy::core::settings::Policy;

use crate::fleet::TestFleet;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn pick(balancer: &mut Balancer, fleet: &TestFleet) -> Option<usize> {
    balancer.pick(fleet, None, CLIENT, 0)
}

/// Runs a script against backends `a`, `b`, `c` …: a word like `5.1` says which of them there are
/// from now on and their weights (here `a` and `c`), and a word of letters is what the next picks
/// have to give (`-` for nobody).
#[track_caller]
fn check(worker: usize, script: &str) {
    let mut balancer = Balancer::for_worker(Policy::RoundRobin, worker);
    let mut fleet = TestFleet::of(&[]);
    let mut letters = Vec::new();
    for word in script.split_whitespace() {
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            let weights: Vec<u32> = word.chars().map(|c| c.to_digit(10).unwrap_or(0)).collect();
            fleet = TestFleet::of(&weights);
            letters = ('a'..).take(weights.len()).collect();
            for index in (0..weights.len()).rev().filter(|index| &word[*index..=*index] == ".") {
                fleet.remove(index);
                letters.remove(index);
            }
            continue;
        }
        let got: String = word
            .chars()
            .map(|_| match pick(&mut balancer, &fleet) {
                Some(index) => letters[index],
                None => '-',
            })
            .collect();
        assert_eq!(got, word, "in {script:?}");
    }
}

#[test]
fn heavy_backends_do_not_come_in_a_row() {
    check(0, "511 aabacaa aabacaa");
    check(0, "11 abababab");
    check(0, "123 cbacbc cbacbc");
}

#[test]
fn nobody_is_chosen_when_all_are_out() {
    check(0, "00 -- 01 bb 00 - 11 ab");
}

#[test]
fn a_backend_keeps_its_turn_while_others_come_and_go() {
    check(0, "111 a 1.1 cca caca");
    check(0, "111 a 1111 bcda");
    check(0, "511 aa 5.1 ca 511 aabaaca");
}

#[test]
fn a_backend_that_was_out_does_not_catch_up() {
    check(0, "111 abc 011 bcbcbcbc 111 abcabc");
}

#[test]
fn workers_begin_at_different_backends() {
    check(0, "111 abcabc");
    check(1, "111 bcabca");
    check(5, "111 cabcab");
}

#[test]
fn light_backends_do_not_wait_for_debts_to_a_heavy_one_that_is_gone() {
    let mut balancer = Balancer::new(Policy::RoundRobin);
    let mut fleet = TestFleet::of(&[65_535, 1, 1]);
    // Past the turns of the light ones, long before the end of the cycle.
    for _ in 0..45_000 {
        pick(&mut balancer, &fleet);
    }
    fleet.loads[0].weight = WEIGHT_ONE;
    let mut counts = [0; 3];
    for _ in 0..30 {
        counts[pick(&mut balancer, &fleet).expect("all are eligible")] += 1;
    }
    assert!(counts.iter().all(|count: &u32| count.abs_diff(10) <= 5), "{counts:?}");
}

proptest! {
    #[test]
    fn each_cycle_is_exact(weights in vec(1..=20_u32, 1..12)) {
        let fleet = TestFleet::of(&weights);
        let mut balancer = Balancer::new(Policy::RoundRobin);
        for _ in 0..3 {
            let mut counts = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[pick(&mut balancer, &fleet).expect("all are eligible")] += 1;
            }
            prop_assert_eq!(&counts, &weights);
        }
    }

    #[test]
    fn any_past_is_made_up_for_within_five_connections(
        past in vec((vec(0..=60_000_u32, 1..8), 0..40_u32), 0..8),
        weights in vec(1..=20_u32, 1..8),
    ) {
        let mut balancer = Balancer::new(Policy::RoundRobin);
        for (weights, picks) in past {
            let fleet = TestFleet::of(&weights);
            for _ in 0..picks {
                pick(&mut balancer, &fleet);
            }
        }
        let fleet = TestFleet::of(&weights);
        let mut counts = vec![0; weights.len()];
        for _ in 0..20 * weights.iter().sum::<u32>() {
            counts[pick(&mut balancer, &fleet).expect("all are eligible")] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert!((20 * weight).abs_diff(*count) <= 5, "{counts:?} for {weights:?}");
        }
    }
}
