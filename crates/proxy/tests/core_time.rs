//! What passing time does: slow start, drains, averages of latency.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tidemill_proxy::core::drain::close_at;
use tidemill_proxy::core::ewma::Ewma;
use tidemill_proxy::core::settings::Drain;
use tidemill_proxy::core::slow_start::effective_weight;

#[track_caller]
fn check_weight(weight: u16, since_up_s: u64, ramp_s: u64, want: u32) {
    let got =
        effective_weight(weight, Duration::from_secs(since_up_s), Duration::from_secs(ramp_s));
    assert_eq!(got, want, "weight {weight} after {since_up_s} s of {ramp_s} s");
}

#[test]
fn slow_start_grows_from_a_tenth_to_all() {
    check_weight(10, 0, 30, 256);
    check_weight(10, 15, 30, 1_408);
    check_weight(10, 30, 30, 2_560);
    check_weight(10, 900, 30, 2_560);
    check_weight(1, 0, 30, 25);
    check_weight(0, 15, 30, 0);
    check_weight(65_535, 0, 0, 16_776_960);
}

proptest! {
    #[test]
    fn slow_start_never_shrinks_and_never_shuts_out(
        weight in 1..=u16::MAX,
        ramp_ms in 0..1_000_000_u64,
        mut moments_ms in proptest::collection::vec(0..2_000_000_u64, 2..10),
    ) {
        moments_ms.sort_unstable();
        let weights: Vec<u32> = moments_ms
            .into_iter()
            .map(|ms| {
                let since_up = Duration::from_millis(ms);
                effective_weight(weight, since_up, Duration::from_millis(ramp_ms))
            })
            .collect();
        prop_assert!(weights.is_sorted(), "{weights:?}");
        prop_assert!(weights[0] > 0);
        prop_assert!(weights.iter().all(|given| *given <= u32::from(weight) * 256));
    }
}

/// Returns when a connection is closed, in milliseconds from the start of the drain.
fn close_ms(deadline_ms: u64, jitter_ms: u64, random: u64) -> u128 {
    #[expect(clippy::disallowed_methods, reason = "an Instant comes from nowhere else")]
    let start = Instant::now();
    let drain = Drain {
        deadline: Duration::from_millis(deadline_ms),
        jitter: Duration::from_millis(jitter_ms),
    };
    (close_at(start, drain, random) - start).as_millis()
}

#[test]
fn drains_end_between_deadline_minus_jitter_and_deadline() {
    for (random, want) in [(0, 30_000), (1 << 62, 27_500), (1 << 63, 25_000), (u64::MAX, 20_000)] {
        assert_eq!(close_ms(30_000, 10_000, random), want);
    }
}

#[test]
fn a_jitter_beyond_the_deadline_counts_as_the_deadline() {
    assert_eq!(close_ms(1_000, 9_000, 1 << 63), 500);
    assert_eq!(close_ms(1_000, 9_000, 0), 1_000);
    assert_eq!(close_ms(0, 9_000, u64::MAX), 0);
    assert_eq!(close_ms(30_000, 0, u64::MAX), 30_000);
}

#[test]
fn absurd_durations_end_after_a_year() {
    let year_ms = 365 * 24 * 3_600 * 1_000;
    assert_eq!(close_ms(u64::MAX, 0, 0), year_ms);
}

/// Feeds samples, each given as (second, microseconds), and compares the average at a second.
#[track_caller]
fn check_ewma(samples: &[(u64, u64)], at_s: u64, want: u32) {
    let mut ewma = Ewma::default();
    for (second, sample_us) in samples {
        ewma.observe(second * 1_000_000, *sample_us);
    }
    assert_eq!(ewma.value(at_s * 1_000_000), want, "{samples:?} at {at_s} s");
}

#[test]
fn without_a_sample_there_is_no_average() {
    check_ewma(&[], 100, 0);
}

#[test]
fn a_peak_counts_at_once() {
    check_ewma(&[(0, 500)], 0, 500);
    check_ewma(&[(0, 500), (0, 80_000)], 0, 80_000);
    check_ewma(&[(0, 500), (9, 80_000)], 9, 80_000);
}

#[test]
fn good_news_counts_over_time() {
    check_ewma(&[(0, 80_000), (0, 500)], 0, 80_000);
    // 1/e of the past is left after 10 s: 80,000 / e + 500 * (1 - 1/e).
    check_ewma(&[(0, 80_000), (10, 500)], 10, 29_746);
    check_ewma(&[(0, 80_000), (60, 500)], 60, 500);
}

#[test]
fn silence_lets_the_average_fall_but_not_to_unknown() {
    check_ewma(&[(0, 80_000)], 10, 29_430);
    check_ewma(&[(0, 80_000)], 20, 10_826);
    check_ewma(&[(0, 80_000)], 3_600, 1);
    check_ewma(&[(0, 0)], 0, 1);
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    check_ewma(&[(50, 80_000), (20, 500)], 20, 80_000);
    check_ewma(&[(50, 500), (20, 80_000)], 50, 80_000);
}

#[test]
fn averages_beyond_the_range_are_the_largest() {
    check_ewma(&[(0, u64::MAX)], 0, u32::MAX);
}
