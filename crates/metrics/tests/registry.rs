//! What the registry accepts, refuses and forgets.

use tidemill_metrics::{Buckets, Error, Exemplar, Options, Overflow, Registry, SummaryOptions};

const LE: [f64; 2] = [0.1, 1.0];

#[test]
fn same_name_and_labels_are_the_same_instrument() -> Result<(), Error> {
    let registry = Registry::default();
    registry.counter("a_total", "A.", &[("x", "1"), ("y", "2")])?.add(3);
    let again = registry.clone().counter("a_total", "A.", &[("y", "2"), ("x", "1")])?;
    again.inc();
    assert_eq!(again.value(), 4, "also when the labels come in another order");
    assert_eq!(registry.counter("a_total", "A.", &[("x", "1"), ("y", "3")])?.value(), 0);
    Ok(())
}

#[test]
fn gauges_go_up_and_down() -> Result<(), Error> {
    let registry = Registry::default();
    let gauge = registry.gauge("a", "A.", &[])?;
    gauge.set(5);
    gauge.add(2);
    gauge.sub(10);
    assert_eq!(registry.gauge("a", "A.", &[])?.value(), -3);
    let ratio = registry.float_gauge("b", "B.", &[])?;
    ratio.set(0.25);
    assert_eq!(registry.float_gauge("b", "B.", &[])?.value().to_bits(), 0.25f64.to_bits());
    Ok(())
}

#[test]
fn malformed_names_are_refused() {
    let registry = Registry::default();
    let long_tail = "a_total_total";
    for name in ["", "_total", "1a_total", "a-b_total", "a:b_total", "ä_total", "a", long_tail] {
        let error = registry.counter(name, "A.", &[]).expect_err(name);
        assert!(error.is_invalid(), "{error}");
    }
    for name in ["", "1a", "a b", "a_total", "a_bucket", "a_count", "a_sum", "a_created"] {
        assert!(registry.gauge(name, "A.", &[]).expect_err(name).is_invalid());
        assert!(registry.histogram(name, "A.", &[], &LE).expect_err(name).is_invalid());
    }
    assert_eq!(registry.render_prometheus(), "");
}

#[test]
fn malformed_labels_are_refused() {
    let registry = Registry::default();
    for label in ["", "1a", "a-b", "a:b", "__a", "le", "quantile", "ä"] {
        let error = registry.gauge("a", "A.", &[(label, "x")]).expect_err(label);
        assert!(error.is_invalid(), "{error}");
    }
    let twice = [("a", "1"), ("b", "1"), ("a", "2")];
    assert_eq!(
        registry.gauge("a", "A.", &twice).expect_err("twice").to_string(),
        "label \"a\" of metric \"a\" is not valid: it is given twice"
    );
}

#[test]
fn malformed_bounds_are_refused() {
    let registry = Registry::default();
    let too_many: Vec<f64> = (0..1001).map(f64::from).collect();
    let nan = [0.1, f64::NAN];
    let infinite = [0.1, f64::INFINITY];
    for bounds in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[-1.0, 1.0], &nan, &infinite, &too_many] {
        let error = registry.histogram("a", "A.", &[], bounds).expect_err("bounds");
        assert!(error.is_invalid(), "{error}");
    }
}

#[test]
fn a_family_is_of_one_type_help_label_set_and_bounds() -> Result<(), Error> {
    let registry = Registry::default();
    registry.counter("a_total", "A.", &[("x", "1")])?;
    registry.gauge("a", "A.", &[("x", "1")])?;
    registry.histogram("h", "H.", &[], &LE)?;
    let errors = [
        registry.float_gauge("a", "A.", &[("x", "1")]).map(drop),
        registry.histogram("a", "A.", &[("x", "1")], &LE).map(drop),
        registry.counter("a_total", "B.", &[("x", "1")]).map(drop),
        registry.counter("a_total", "A.", &[("y", "1")]).map(drop),
        registry.counter("a_total", "A.", &[]).map(drop),
        registry.histogram("h", "H.", &[], &[0.1, 2.0]).map(drop),
        registry.float_gauge("h", "H.", &[]).map(drop),
    ]
    .map(|result| result.expect_err("conflict"));
    assert!(errors.iter().all(Error::is_conflict));
    assert_eq!(errors[2].to_string(), "metric \"a_total\" is registered with another help");
    Ok(())
}

#[test]
fn a_full_family_refuses_the_next_series_until_one_is_removed() -> Result<(), Error> {
    let registry =
        Registry::new(Options { series_max: 2, overflow: Overflow::Error, ..Options::default() });
    registry.counter("a_total", "A.", &[("x", "1")])?;
    registry.counter("a_total", "A.", &[("x", "2")])?;
    let error = registry.counter("a_total", "A.", &[("x", "3")]).expect_err("full");
    assert!(error.to_string().contains("remove some"), "{error}");
    assert!(error.is_full() && !error.is_conflict() && !error.is_invalid());
    registry.counter("a_total", "A.", &[("x", "2")])?;
    assert!(registry.remove("a_total", &[("x", "1")]));
    registry.counter("a_total", "A.", &[("x", "3")])?;
    Ok(())
}

#[test]
fn series_past_the_bound_are_one_visible_series() -> Result<(), Error> {
    let registry = Registry::new(Options { series_max: 2, ..Options::default() });
    registry.show_own()?;
    for who in ["1", "2", "3", "4", "2", "3"] {
        registry.counter("a_total", "A.", &[("x", who)])?.inc();
    }
    let text = registry.render_prometheus();
    for line in ["a_total{x=\"1\"} 1", "a_total{x=\"2\"} 2", "a_total{x=\"overflow\"} 3"] {
        assert!(text.contains(&format!("\n{line}\n")), "no {line} in:\n{text}");
    }
    assert_eq!(text.matches("\na_total{").count(), 3);
    assert!(text.contains("\ntidemill_metrics_overflow_total 3\n"), "{text}");
    assert_eq!(registry.overflowed(), 3);
    Ok(())
}

#[test]
fn refused_values_are_counted_where_they_are_seen() -> Result<(), Error> {
    let registry = Registry::default();
    registry.show_own()?;
    let histogram = registry.histogram("h", "H.", &[], Buckets::seconds())?;
    let summary = registry.summary("s", "S.", &[], &SummaryOptions::default())?;
    for refused in [f64::NAN, -1.0, -f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY] {
        histogram.record(refused);
        summary.record(refused);
    }
    histogram.record(-0.0);
    assert_eq!((histogram.refused(), summary.refused(), histogram.read().count()), (5, 5, 1));
    let text = registry.render_prometheus();
    assert!(text.contains("\ntidemill_metrics_refused_values_total 10\n"), "{text}");
    Ok(())
}

#[test]
fn a_registry_that_is_off_hands_out_instruments_that_do_nothing() -> Result<(), Error> {
    let registry = Registry::new(Options { is_on: false, ..Options::default() });
    let counter = registry.counter("a_total", "A.", &[])?;
    let gauge = registry.gauge("g", "G.", &[])?;
    let float = registry.float_gauge("f", "F.", &[])?;
    let histogram = registry.histogram("h", "H.", &[], Buckets::seconds())?;
    counter.inc();
    gauge.set(3);
    gauge.add(3);
    float.set(1.0);
    float.add(1.0);
    histogram.record(1.0);
    assert_eq!((counter.value(), gauge.value(), float.value() as u64), (0, 0, 0));
    assert_eq!((histogram.read().count(), histogram.read().sum() as u64), (0, 0));
    assert!(registry.counter("a", "A.", &[]).is_err(), "mistakes are told all the same");
    Ok(())
}

#[test]
fn a_counter_goes_on_from_what_is_carried_once() -> Result<(), Error> {
    use std::time::{Duration, UNIX_EPOCH};
    use tidemill_metrics::Carried;

    let registry = Registry::default();
    let created = UNIX_EPOCH + Duration::from_secs(5);
    let carried = Carried { value: 40, created };
    registry.carry([("a_total{x=\"1\",y=\"\\\"\"}".to_owned(), carried)]);
    let labels = [("y", "\""), ("x", "1")];
    let counter = registry.counter("a_total", "A.", &labels)?;
    counter.add(2);
    assert_eq!(registry.counter("a_total", "A.", &labels)?.value(), 42);
    assert!(registry.render_openmetrics().contains("a_created{x=\"1\",y=\"\\\"\"} 5\n"));
    assert!(registry.remove("a_total", &labels));
    assert_eq!(registry.counter("a_total", "A.", &labels)?.value(), 0);
    Ok(())
}

#[test]
fn malformed_units_summaries_and_exemplars_are_refused() -> Result<(), Error> {
    let registry = Registry::default();
    registry.counter("a_requests_total", "A.", &[])?;
    registry.set_unit("a_requests_total", "requests")?;
    for (name, unit) in [("a_requests_total", "total"), ("a_requests_total", ""), ("b_x", "x")] {
        assert!(registry.set_unit(name, unit).expect_err(name).is_invalid());
    }
    let default = SummaryOptions::default;
    for options in [
        SummaryOptions { quantiles: vec![1.1], ..default() },
        SummaryOptions { quantiles: vec![0.5, 0.5], ..default() },
        SummaryOptions { quantiles: vec![f64::NAN], ..default() },
        SummaryOptions { relative_error: 0.0, ..default() },
        SummaryOptions { relative_error: f64::NAN, ..default() },
        SummaryOptions { min: 0.0, ..default() },
        SummaryOptions { min: 2.0, max: 1.0, ..default() },
        SummaryOptions { max: f64::INFINITY, ..default() },
        SummaryOptions { window: std::time::Duration::ZERO, ..default() },
    ] {
        let error = registry.summary("s", "S.", &[], &options).expect_err("malformed");
        assert!(error.is_invalid(), "{error}");
    }
    assert!(Exemplar::new(&[("1", "x")]).expect_err("a digit").is_invalid());
    assert!(Exemplar::new(&[("trace", &"x".repeat(124))]).expect_err("129").is_invalid());
    assert!(Exemplar::new(&[("trace", &"x".repeat(123))]).is_ok());
    let twice = Exemplar::new(&[("a", "1"), ("b", "2"), ("a", "3")]).expect_err("a is twice");
    assert!(twice.is_invalid() && twice.to_string().contains("twice"), "{twice}");
    Ok(())
}

#[test]
fn a_removed_series_is_gone_and_begins_again_at_zero() -> Result<(), Error> {
    let registry = Registry::default();
    let kept = registry.counter("a_total", "A.", &[("x", "1"), ("y", "1")])?;
    kept.inc();
    assert!(!registry.remove("a_total", &[("x", "2"), ("y", "1")]));
    assert!(!registry.remove("a_total", &[("x", "1")]));
    assert!(!registry.remove("a", &[("x", "1"), ("y", "1")]));
    assert!(!registry.remove("b", &[]));
    assert!(registry.remove("a_total", &[("y", "1"), ("x", "1")]));
    assert!(!registry.remove("a_total", &[("y", "1"), ("x", "1")]));
    assert_eq!(registry.render_prometheus(), "");
    kept.inc();
    assert_eq!(kept.value(), 2);
    registry.gauge("a", "Another type is welcome now.", &[])?;
    Ok(())
}
