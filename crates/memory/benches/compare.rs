//! Ours and the peers in turn, in one run; one line of JSON for each measurement.
//!
//! `{"case", "subject", "unit", "better", "value", "runs"}`: `value` is the median of `runs`. Rounds go
//! through all subjects before the next begins, so that a slow moment hits them alike. Run it with
//! nothing else on the machine; `--quick` does a tenth of the work.
#![expect(unsafe_code, reason = "calls allocators directly")]
#![expect(clippy::print_stdout, reason = "the measurements are its output")]
#![expect(clippy::disallowed_methods, reason = "measures time")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

#[path = "compare/space.rs"]
mod space;
#[path = "compare/speed.rs"]
mod speed;
#[path = "compare/subjects.rs"]
mod subjects;
#[path = "../tests/trace/mod.rs"]
mod trace;

use speed::Pattern;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if quick { 10 } else { 1 };
    speed::run("4 KiB alloc+free, one thread", 4096, Pattern::OneThread, 4_000_000 / scale);
    speed::run("4 KiB alloc+free, two threads", 4096, Pattern::TwoThreads, 2_000_000 / scale);
    speed::run("4 KiB replace, 256 live", 4096, Pattern::Live, 2_000_000 / scale);
    speed::run("4 KiB cross-thread", 4096, Pattern::CrossThread, 1_000_000 / scale);
    speed::run("64 B cross-thread", 64, Pattern::CrossThread, 2_000_000 / scale);
    speed::hand_over_alone(2_000_000 / scale);
    subjects::mixed_sizes(1_000_000 / scale);
    speed::latencies(200_000 / scale);
    space::resident();
    space::clean_steps();
    space::hit_rate();
}

/// Prints one measurement.
fn report(case: &str, subject: &str, unit: &str, better: &str, runs: &mut [f64]) {
    runs.sort_by(f64::total_cmp);
    let value = runs[runs.len() / 2];
    let runs: Vec<_> = runs.iter().map(|run| format!("{run:.3}")).collect();
    println!(
        r#"{{"case": "{case}", "subject": "{subject}", "unit": "{unit}", "better": "{better}", "value": {value:.3}, "runs": [{}]}}"#,
        runs.join(", ")
    );
}

const RUNS: usize = 5;
