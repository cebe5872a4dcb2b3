//! Ours and the peers in turn, in one run; one line of JSON for each measurement.
//!
//! `{"case", "quantity", "subject", "value"}`: the value is the median of a few passes, and every
//! pass goes through all subjects before the next begins, so that a slow moment hits them alike.
//! `cargo xtask compare memory` runs it once a round, knows the units and makes the table. Run it
//! with nothing else on the machine; `--quick` does a tenth of the work.
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
    let page = "4 KiB take+give";
    speed::run(page, "one thread", 4096, Pattern::OneThread, 4_000_000 / scale);
    speed::run(page, "two threads", 4096, Pattern::TwoThreads, 2_000_000 / scale);
    speed::run(page, "256 live", 4096, Pattern::Live, 2_000_000 / scale);
    let across = "taken here, given there";
    speed::run(across, "4 KiB", 4096, Pattern::CrossThread, 1_000_000 / scale);
    speed::run(across, "64 B", 64, Pattern::CrossThread, 2_000_000 / scale);
    speed::hand_over_alone(across, 2_000_000 / scale);
    let gives = "4 KiB give alone";
    speed::run(gives, "on its thread", 4096, Pattern::GiveHere, 400_000 / scale);
    speed::run(gives, "on another", 4096, Pattern::GiveThere, 400_000 / scale);
    subjects::mixed_sizes(1_000_000 / scale);
    speed::latencies(200_000 / scale);
    space::resident();
    space::clean_steps();
    space::hit_rates();
}

/// Prints one measurement, the median of `passes`.
fn report(case: &str, quantity: &str, subject: &str, passes: &mut [f64]) {
    passes.sort_by(f64::total_cmp);
    let value = passes[passes.len() / 2];
    let name = format!(r#""case": "{case}", "quantity": "{quantity}", "subject": "{subject}""#);
    println!(r#"{{{name}, "value": {value:.3}}}"#);
}

const PASSES: usize = 5;
