//! Many writers and a reader: nothing is lost, nothing is torn.

use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use tidemill_metrics::{Error, Options, Registry};

const WRITERS: u64 = 4;
const WRITES: u64 = 50_000;

#[test]
fn concurrent_writers_sum_exactly() -> Result<(), Error> {
    for slots in [0, 1, 2, 8] {
        let registry = Registry::new(Options { slots, ..Options::default() });
        let counter = registry.counter("a_total", "A.", &[])?;
        let gauge = registry.gauge("g", "G.", &[])?;
        let histogram = registry.histogram("h", "H.", &[], &[1.0, 2.0])?;
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    for i in 0..WRITES {
                        counter.add(3);
                        gauge.add(2);
                        gauge.sub(1);
                        histogram.record([0.5, 1.5, 2.5, 1.5][i as usize % 4]);
                    }
                });
            }
        });
        let total = WRITERS * WRITES;
        assert_eq!(counter.value(), 3 * total);
        assert_eq!(gauge.value(), total as i64);
        let read = histogram.read();
        let want = [(1.0, total / 4), (2.0, total * 3 / 4), (f64::INFINITY, total)];
        assert_eq!(read.buckets(), want);
        assert_eq!(read.sum().to_bits(), (total as f64 * 1.5).to_bits());
    }
    Ok(())
}

/// Writers with slots and writers without; each value says which bucket it is in, so that the sum
/// can be made from the buckets of the very same reading.
#[test]
fn a_reading_while_writing_has_the_sum_of_its_buckets() -> Result<(), Error> {
    for slots in [0, 2, 8] {
        let registry = Registry::new(Options { slots, ..Options::default() });
        let histogram = registry.histogram("h", "H.", &[], &[1.0, 2.0, 4.0])?;
        thread::scope(|scope| {
            let writers = [1.0, 2.0, 4.0, 8.0].map(|value| {
                let histogram = &histogram;
                scope.spawn(move || (0..4 * WRITES).for_each(|_| histogram.record(value)))
            });
            loop {
                let done = writers.iter().all(thread::ScopedJoinHandle::is_finished);
                let read = histogram.read();
                let (mut before, mut sum) = (0, 0.0);
                for ((_, count), value) in read.buckets().iter().zip([1.0, 2.0, 4.0, 8.0]) {
                    sum += (count - before) as f64 * value;
                    before = *count;
                }
                assert_eq!(read.sum(), sum, "{slots} slots: {read:?}");
                if done {
                    assert_eq!(read.count(), 4 * 4 * WRITES);
                    break;
                }
            }
        });
    }
    Ok(())
}

#[test]
fn a_scrape_while_writing_counts_what_the_last_bucket_counts() -> Result<(), Error> {
    let registry = Registry::default();
    let histogram = registry.histogram("h", "H.", &[], &[1.0, 2.0])?;
    thread::scope(|scope| {
        let writers = [0.5, 1.5, 2.5].map(|value| {
            let histogram = &histogram;
            scope.spawn(move || (0..4 * WRITES).for_each(|_| histogram.record(value)))
        });
        let mut previous = [0; 4];
        loop {
            let done = writers.iter().all(thread::ScopedJoinHandle::is_finished);
            let text = registry.render_prometheus();
            let sample = |name: &str| -> u64 {
                let line = text.lines().find(|line| line.starts_with(name)).expect("rendered");
                line.rsplit(' ').next().expect("a value").parse().expect("a whole number")
            };
            let seen = ["h_bucket{le=\"1\"}", "h_bucket{le=\"2\"}", "h_bucket{le=\"+Inf\"}"];
            let seen = [sample(seen[0]), sample(seen[1]), sample(seen[2]), sample("h_count")];
            assert_eq!(seen[2], seen[3], "the count is the last bucket:\n{text}");
            assert!(seen.is_sorted(), "buckets accumulate:\n{text}");
            assert!(previous.iter().zip(seen).all(|(old, new)| *old <= new), "buckets only grow");
            previous = seen;
            if done {
                break;
            }
        }
        assert_eq!(previous[3], 3 * 4 * WRITES);
    });
    Ok(())
}

/// Values around and on the bounds, and values that are refused.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -2.0..50.0,
        2 => (-3i32..12).prop_map(f64::from),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300]),
    ]
}

proptest! {
    #[test]
    fn buckets_are_those_of_a_naive_count(
        values in vec(value(), 0..200),
        steps in vec(1u32..5, 1..40),
    ) {
        let mut last = -1.0;
        let next = |step: &u32| { last += f64::from(*step); last };
        let bounds: Vec<f64> = steps.iter().map(next).collect();
        let histogram =
            Registry::default().histogram("h", "H.", &[], &bounds).expect("ascending bounds");
        values.iter().for_each(|value| histogram.record(*value));

        let (taken, refused): (Vec<f64>, Vec<f64>) =
            values.iter().partition(|value| **value >= 0.0 && **value < f64::INFINITY);
        let read = histogram.read();
        for (bound, count) in &read.buckets() {
            let want = taken.iter().filter(|value| *value <= bound).count() as u64;
            prop_assert_eq!(*count, want, "le {}", bound);
        }
        prop_assert_eq!(read.buckets().len(), bounds.len() + 1);
        prop_assert_eq!(read.count(), taken.len() as u64);
        prop_assert_eq!(histogram.refused(), refused.len() as u64);
        prop_assert_eq!(read.sum(), taken.iter().sum::<f64>());
    }
}
