//! What the registry accepts, refuses and forgets.

use tidemill_metrics::{Error, Options, Registry};

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
    let registry = Registry::new(Options { series_max: 2, ..Options::default() });
    registry.counter("a_total", "A.", &[("x", "1")])?;
    registry.counter("a_total", "A.", &[("x", "2")])?;
    let error = registry.counter("a_total", "A.", &[("x", "3")]).expect_err("full");
    assert!(error.is_full() && !error.is_conflict() && !error.is_invalid());
    registry.counter("a_total", "A.", &[("x", "2")])?;
    assert!(registry.remove("a_total", &[("x", "1")]));
    registry.counter("a_total", "A.", &[("x", "3")])?;
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
