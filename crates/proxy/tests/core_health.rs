//! Health: transitions after rise and fall, and when probes are due.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tidemill_proxy::core::health::{Health, Step, Transition};
use tidemill_proxy::core::settings::HealthSettings;

#[expect(clippy::disallowed_methods, reason = "an Instant comes from nowhere else")]
fn start() -> Instant {
    Instant::now()
}

/// Feeds outcomes (`ok`, `fail`) and compares what each says (`up`, `down`, `.` for nothing) and
/// the opinion it leaves.
#[track_caller]
fn check(start_up: bool, rise: u32, fall: u32, outcomes: &str, want: &str) {
    let settings = HealthSettings { start_up, rise, fall, ..HealthSettings::default() };
    let now = start();
    let mut health = Health::new(&settings, now, 0);
    let mut healthy = start_up;
    assert_eq!(health.is_healthy(), healthy, "before the first probe");
    let mut got = Vec::new();
    for outcome in outcomes.split_whitespace() {
        let transition = health.record(now, outcome == "ok", 0);
        got.push(match transition {
            Some(Transition::Up) => "up",
            Some(Transition::Down) => "down",
            None => ".",
        });
        healthy = transition.map_or(healthy, |transition| transition == Transition::Up);
        assert_eq!(health.is_healthy(), healthy, "after {got:?}");
    }
    assert_eq!(got.join(" "), want, "rise {rise}, fall {fall}: {outcomes}");
}

#[test]
fn it_takes_rise_successes_in_a_row_to_come_up() {
    check(false, 1, 2, "ok ok fail fail", "up . . down");
    check(false, 2, 2, "ok ok ok", ". up .");
    check(false, 3, 1, "ok ok fail ok ok ok", ". . . . . up");
}

#[test]
fn it_takes_fall_failures_in_a_row_to_go_down() {
    check(true, 1, 1, "fail ok fail", "down up down");
    check(true, 2, 2, "fail ok fail fail fail", ". . . down .");
    check(true, 2, 3, "fail fail ok fail fail fail ok ok", ". . . . . down . up");
}

#[test]
fn a_count_begins_anew_after_a_transition() {
    check(true, 2, 2, "fail fail ok fail ok ok fail fail", ". down . . . up . down");
}

/// Returns how long to wait from `now` on, zero when a probe is due.
fn wait(health: &Health, now: Instant) -> Duration {
    match health.poll(now) {
        Step::Probe => Duration::ZERO,
        Step::WaitUntil(at) => at - now,
    }
}

#[test]
fn a_probe_is_due_from_its_moment_on_until_an_outcome_is_recorded() {
    let now = start();
    let mut health = Health::new(&HealthSettings::default(), now, u64::MAX / 2);
    let first = wait(&health, now);
    assert_eq!(wait(&health, now + first - Duration::from_nanos(1)), Duration::from_nanos(1));
    for late in [Duration::ZERO, Duration::from_secs(9)] {
        assert_eq!(health.poll(now + first + late), Step::Probe);
    }
    let ended = now + first + Duration::from_secs(9);
    health.record(ended, true, u64::MAX / 2);
    let next = wait(&health, ended);
    assert!(next.abs_diff(Duration::from_secs(2)) < Duration::from_micros(1), "{next:?}");
}

#[test]
fn first_probes_are_spread_over_an_interval_or_a_second() {
    for (interval_ms, first_max_ms) in [(200, 200), (2_000, 1_000), (3_600_000, 1_000)] {
        let interval = Duration::from_millis(interval_ms);
        let settings = HealthSettings { interval, ..HealthSettings::default() };
        let now = start();
        let first = |random| wait(&Health::new(&settings, now, random), now);
        let first_max = Duration::from_millis(first_max_ms);
        assert_eq!(first(0), Duration::ZERO);
        assert_eq!(first(1 << 63), first_max / 2);
        assert!(first(u64::MAX) > first_max.mul_f64(0.99) && first(u64::MAX) <= first_max);
    }
}

proptest! {
    #[test]
    fn waits_keep_within_the_jitter_and_use_all_of_it(
        interval_ms in 1..100_000_u64,
        jitter_percent in 0..=100_u8,
        random: u64,
    ) {
        let interval = Duration::from_millis(interval_ms);
        let settings = HealthSettings { interval, jitter_percent, ..HealthSettings::default() };
        let now = start();
        let next = |random| {
            let mut health = Health::new(&settings, now, 0);
            health.record(now, true, random);
            wait(&health, now)
        };
        let jitter = interval.mul_f64(f64::from(jitter_percent) / 100.0);
        let rounding = Duration::from_micros(1);
        prop_assert!(next(random).abs_diff(interval) <= jitter + rounding);
        prop_assert!(next(0).abs_diff(interval - jitter) <= rounding);
        prop_assert!(next(u64::MAX).abs_diff(interval + jitter) <= rounding);
    }
}
