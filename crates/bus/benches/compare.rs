//! Queues and router against their peers, in turn in one run; one JSON line per measurement.
//!
//! `cargo bench --package tidemill-bus --bench compare [-- --quick --turns=COUNT --case=PART
//! --subject=NAME,NAME]`. A line is `{"case", "subject", "ours", "unit", "better", "median",
//! "runs"}`; within a case the subjects take turns, so that a slow moment of the machine hits all
//! of them. Threads are pinned: producers from the first processor on, consumers from the last one
//! back. Spinning subjects spin alike.
#![cfg(not(loom))]
#![expect(clippy::print_stdout, reason = "the lines are what the program is for")]

#[path = "compare/harness.rs"]
mod harness;
#[path = "compare/latency.rs"]
mod latency;
#[path = "compare/routers.rs"]
mod routers;
#[path = "compare/throughput.rs"]
mod throughput;

use harness::Plan;

fn main() {
    let plan = Plan::from_arguments(std::env::args().skip(1));
    throughput::run::<1>(&plan, "8 B");
    throughput::run::<8>(&plan, "64 B");
    routers::run(&plan);
    latency::run(&plan);
}
