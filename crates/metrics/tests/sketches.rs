//! Merge laws, stated errors, sliding windows; another implementation of DDSketch as the oracle.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use sketches_ddsketch::{Config, DDSketch};
use tidemill_metrics::{Buckets, Distribution, Registry, SummaryOptions};

fn read(buckets: Buckets, values: &[f64]) -> Distribution {
    let histogram = Registry::default().histogram("h", "H.", &[], buckets).expect("buckets");
    values.iter().for_each(|value| histogram.record(*value));
    histogram.read()
}

fn sketch(values: &[f64]) -> Distribution {
    let registry = Registry::default();
    let summary = registry.summary("s", "S.", &[], &SummaryOptions::default()).expect("defaults");
    values.iter().for_each(|value| summary.record(*value));
    summary.window(now())
}

#[expect(clippy::disallowed_methods, reason = "a test may know the time")]
fn now() -> Instant {
    Instant::now()
}

/// The value at DDSketch's rank.
fn exact(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(q * (sorted.len() - 1) as f64).floor() as usize]
}

/// Whole numbers of milliseconds, so that sums are exact in any order.
fn times() -> impl Strategy<Value = Vec<f64>> {
    vec((1u32..60_000).prop_map(|ms| f64::from(ms) / 1024.0), 1..200)
}

proptest! {
    #[test]
    fn quantiles_are_within_the_stated_error(values in times(), q in 0.0..=1.0f64) {
        let want = exact(&values, q);
        for (found, error) in [
            (read(Buckets::seconds(), &values), 0.03125),
            (sketch(&values), 0.01),
        ] {
            prop_assert_eq!(found.relative_error(), Some(error));
            let found = found.quantile(q).expect("there are values");
            let off = (found - want).abs();
            prop_assert!(off <= want * error * 1.000_001, "{} for {}", found, want);
        }
    }

    #[test]
    fn the_oracle_finds_nearly_the_same(values in times(), q in 0.0..=1.0f64) {
        let mut oracle = DDSketch::new(Config::new(0.01, 2048, 1e-6));
        values.iter().for_each(|value| oracle.add(*value));
        let theirs = oracle.quantile(q).expect("a quantile").expect("there are values");
        let ours = sketch(&values).quantile(q).expect("there are values");
        // Each is within 1 % of the same value.
        prop_assert!((ours - theirs).abs() <= 0.021 * theirs, "{} and {}", ours, theirs);
    }

    #[test]
    fn merging_is_counting_together(a in times(), b in times(), c in times()) {
        for make in [|values: &[f64]| read(Buckets::seconds(), values), sketch] {
            let merge = |mut left: Distribution, right: &Distribution| {
                left.merge(right).expect("the same buckets");
                left
            };
            let all = make(&[&a[..], &b, &c].concat());
            let (a, b, c, none) = (make(&a), make(&b), make(&c), make(&[]));
            let left = merge(merge(a.clone(), &b), &c);
            let right = merge(a.clone(), &merge(b.clone(), &c));
            prop_assert_eq!(&left, &right, "associative");
            prop_assert_eq!(&left, &all, "as if recorded in one");
            prop_assert_eq!(merge(a.clone(), &b), merge(b, &a), "commutative");
            prop_assert_eq!(&merge(a.clone(), &none), &a, "neutral");
        }
    }
}

#[test]
fn different_buckets_do_not_merge() {
    let mut ours = read(Buckets::seconds(), &[1.0]);
    let before = ours.clone();
    let error = ours.merge(&read(Buckets::explicit(&[1.0]), &[1.0])).expect_err("different");
    assert!(error.is_conflict() && error.to_string().contains("different buckets"), "{error}");
    assert_eq!(ours, before);
}

#[test]
fn a_quantile_of_nothing_or_outside_is_none() {
    assert_eq!(read(Buckets::seconds(), &[]).quantile(0.5), None);
    let one = read(Buckets::seconds(), &[1.0]);
    assert_eq!((one.quantile(1.1), one.quantile(f64::NAN)), (None, None));
    assert!(one.quantile(0.5).is_some());
}

#[test]
fn a_summary_forgets_what_is_older_than_its_window() {
    let options = SummaryOptions { window: Duration::from_secs(60), ..SummaryOptions::default() };
    let registry = Registry::default();
    let summary = registry.summary("s", "S.", &[], &options).expect("good options");
    let start = now();
    let median_at = |second| summary.read(start + Duration::from_secs(second)).quantiles[0].1;
    let is = |found: Option<f64>, want: f64| (found.expect("values") - want).abs() <= want * 0.01;
    (0..100).for_each(|_| summary.record(1.0));
    assert!((0..60).all(|second| is(median_at(second), 1.0)));
    (0..10).for_each(|_| summary.record(5.0));
    // The window moves by a sixth of itself.
    assert!(is(median_at(70), 5.0), "the first hundred are more than a minute old");
    assert!((71..115).all(|second| is(median_at(second), 5.0)));
    assert!((130..140).all(|second| median_at(second).is_none()), "nothing came for a minute");
    let reading = summary.read(start + Duration::from_secs(140));
    assert_eq!((reading.count, reading.sum), (110, 150.0), "of all time");
}
