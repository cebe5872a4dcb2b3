//! The adaptive mode beside the static one, in a simulation of the core.

mod simulation;

use simulation::{loads, simulate};

#[test]
fn learning_is_never_worse_by_more_than_five_percent() {
    let mut worse = Vec::new();
    for (name, load) in (5..8).flat_map(loads) {
        let (told, learned) = (simulate(&load, false), simulate(&load, true));
        let (mean, p99) = (learned.mean / told.mean, learned.p99 / told.p99);
        println!("{name}: mean {mean:.3}, p99 {p99:.3} of the static mode's");
        if mean > 1.05 || p99 > 1.05 {
            worse.push(format!("{name}: mean {mean:.3}, p99 {p99:.3}"));
        }
    }
    assert!(worse.is_empty(), "{worse:?}");
}

#[test]
fn learning_pays_where_short_and_long_tasks_wait_together() {
    let loads = loads(5);
    let (_, load) = loads.iter().find(|(name, _)| *name == "bursts").expect("it is there");
    let (told, learned) = (simulate(load, false), simulate(load, true));
    assert!(learned.mean < told.mean * 0.8, "{} and {}", learned.mean, told.mean);
}

#[test]
fn a_simulation_repeats_itself() {
    let (_, load) = &loads(5)[1];
    let (one, two) = (simulate(load, true), simulate(load, true));
    assert_eq!((one.mean, one.p99), (two.mean, two.p99));
}
