//! A proxy's buffers come from warm memory, also while the clean-up runs.

mod trace;

use std::time::Instant;

use trace::Step;

#[test]
fn a_recorded_proxy_hits_warm_memory_more_than_95_times_in_100() {
    // Ten seconds with two silences longer than twice the time-to-live.
    assert_mostly_hits(&trace::recorded(), 15_900);
}

#[test]
fn a_generated_proxy_hits_warm_memory_more_than_95_times_in_100() {
    // Ten seconds: five busy and five quiet periods, so that the clean-up has something to do.
    assert_mostly_hits(&trace::generated(1000), 500_000);
}

#[expect(clippy::disallowed_methods, reason = "time begins somewhere; the rest is counted")]
fn assert_mostly_hits(steps: &[Step], takings_min: u64) {
    let replay = trace::replay(steps, Instant::now());
    assert!(replay.hit_rate > 0.95, "hit rate {}", replay.hit_rate);
    assert!(replay.takings >= takings_min, "all of it ran: {}", replay.takings);
    assert!(replay.released > 0, "the clean-up was at work too");
}
