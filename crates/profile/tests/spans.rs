//! Spans and counts: what a report says of what was measured.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_metrics::{Options, Registry};
use tidemill_profile::spans::{Profiler, SpanRow};

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Records times and returns the row.
fn row(times: &[Duration]) -> SpanRow {
    let profiler = Profiler::new();
    let span = profiler.span("work");
    times.iter().for_each(|time| span.record(*time));
    profiler.report().spans.remove(0)
}

#[test]
fn exact_figures_are_exact_and_percentiles_near() {
    let times: Vec<_> = (1..=100).map(milliseconds).collect();
    let row = row(&times);
    assert_eq!((row.count, row.min, row.max), (100, milliseconds(1), milliseconds(100)));
    let near = |got: Duration, want: f64| {
        let off = (got.as_secs_f64() * 1000.0 - want).abs() / want;
        assert!(off <= 0.033, "{got:?} for {want} ms");
    };
    near(row.total, 5050.0);
    near(row.mean, 50.5);
    near(row.p50, 50.0);
    near(row.p95, 95.0);
    near(row.p99, 99.0);
}

#[test]
fn a_span_is_recorded_on_every_way_out_but_discarded_only_on_request() {
    let profiler = Profiler::new();
    let early = |stop: bool| {
        let _guard = profiler.enter("early");
        if stop {
            return 1;
        }
        2
    };
    assert_eq!((early(true), early(false)), (1, 2));
    let panicking = AssertUnwindSafe(|| profiler.measure("early", || panic!("on purpose")));
    assert!(catch_unwind(panicking).is_err());
    profiler.enter("early").discard();
    assert_eq!(profiler.measure("outer", || profiler.measure("inner", || 7)), 7);
    let report = profiler.report();
    let count = |name: &str| report.spans.iter().find(|row| row.name == name).map(|row| row.count);
    assert_eq!((count("early"), count("outer"), count("inner")), (Some(3), Some(1), Some(1)));
    let total = |name: &str| report.spans.iter().find(|row| row.name == name).map(|row| row.total);
    assert!(total("outer") >= total("inner"));
}

#[test]
fn threads_add_to_one_span_and_one_count() {
    let profiler = Profiler::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    profiler.measure("shared", || ());
                    profiler.count("turns", 2);
                }
            });
        }
    });
    let report = profiler.report();
    assert_eq!((report.spans[0].count, report.counts[0].count), (4000, 8000));
}

#[test]
fn names_without_end_share_a_row() {
    let profiler = Profiler::new();
    for index in 0..1100 {
        profiler.span(&format!("span {index:04}")).record(milliseconds(1));
        profiler.count(&format!("count {index:04}"), 1);
    }
    let report = profiler.report();
    assert_eq!((report.spans.len(), report.counts.len()), (1025, 1025));
    let other = report.spans.iter().find(|row| row.name == "(other)").expect("the shared row");
    assert_eq!(other.count, 76);
}

#[test]
fn a_report_is_a_table_json_and_markdown() {
    let profiler = Profiler::new();
    profiler.span("a|b").record(Duration::from_micros(1500));
    profiler.span("longer name").record(Duration::from_nanos(250));
    profiler.count("rows", 12);
    let report = profiler.report();
    let table = "\
span         count    total     mean      min      max      p50      p95      p99
a|b              1  1.50 ms  1.50 ms  1.50 ms  1.50 ms  1.50 ms  1.50 ms  1.50 ms
longer name      1   250 ns   250 ns   250 ns   250 ns   250 ns   250 ns   250 ns

event  count
rows      12
";
    assert_eq!(report.table(), table);
    let markdown = report.markdown();
    assert!(markdown.starts_with("| span | count | total |"), "{markdown}");
    assert!(markdown.contains("|---|---:|---:|"), "{markdown}");
    assert!(markdown.contains("| a\\|b | 1 | 1.50 ms |"), "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    assert_eq!(json["spans"][0]["name"], "a|b");
    assert_eq!(json["spans"][0]["max_seconds"], 0.0015);
    assert_eq!(json["counts"][0]["count"], 12);
}

#[test]
fn a_registry_from_outside_shows_the_same_numbers() {
    let registry = Registry::new(Options::default());
    let profiler = Profiler::with_registry(&registry);
    profiler.span("load").record(milliseconds(3));
    profiler.count("rows", 5);
    let text = registry.render_prometheus();
    assert!(text.contains("tidemill_profile_span_seconds_count{span=\"load\"} 1"), "{text}");
    assert!(text.contains("tidemill_profile_events_total{event=\"rows\"} 5"), "{text}");
}

proptest! {
    #[test]
    fn figures_are_in_order(times in prop::collection::vec(0_u64..10_000_000_000, 1..200)) {
        let times: Vec<_> = times.into_iter().map(Duration::from_nanos).collect();
        let row = row(&times);
        prop_assert_eq!(Some(&row.min), times.iter().min());
        prop_assert_eq!(Some(&row.max), times.iter().max());
        prop_assert!(row.min <= row.p50 && row.p50 <= row.p95);
        prop_assert!(row.p95 <= row.p99 && row.p99 <= row.max);
    }
}
