//! A fixed amount of work: a million values counted and recorded, and two hundred readings of all.
//!
//! `tidemill tune gate` holds it to the budget in `tune.toml` at the root of the workspace.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what a workload has to tell")]

use std::error::Error;

use tidemill_metrics::{Options, Registry};

fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::new(Options::default());
    let mut counters = Vec::new();
    for backend in 0..100 {
        let labels = [("backend", format!("b{backend}"))];
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        counters.push(registry.counter("requests_total", "Requests answered.", &labels)?);
    }
    let bounds = [0.001, 0.01, 0.1, 1.0, 10.0];
    let seconds = registry.histogram("request_seconds", "Time to answer.", &[], &bounds)?;
    for value in 0..VALUES {
        counters[(value % 100) as usize].inc();
        seconds.record(f64::from(value % 10_007) / 1_000.0);
    }
    let bytes: usize = (0..READINGS).map(|_| registry.render_prometheus().len()).sum();
    println!("{} {bytes}", counters.iter().map(|counter| counter.value()).sum::<u64>());
    eprintln!("tune operations {VALUES}");
    Ok(())
}

const VALUES: u32 = 1_000_000;
const READINGS: u32 = 200;
