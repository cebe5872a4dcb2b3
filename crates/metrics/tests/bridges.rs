//! What other crates measure, through the `metrics` facade and `tracing`, is in the registry.

use tidemill_metrics::{Error, FacadeRecorder, Registry, SpanTimes};
use tracing_subscriber::layer::SubscriberExt as _;

#[test]
fn the_facade_s_macros_write_to_the_registry() -> Result<(), Error> {
    let registry = Registry::default();
    let recorder = FacadeRecorder::new(&registry)?;
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_counter!("http.requests", "Requests served.");
        metrics::counter!("http.requests", "http.method" => "GET").increment(2);
        metrics::counter!("http.requests", "http.method" => "GET").increment(1);
        metrics::counter!("seen_total").absolute(7);
        metrics::counter!("seen_total").absolute(5);
        metrics::gauge!("load").set(1.5);
        metrics::gauge!("load").decrement(0.25);
        metrics::histogram!("wait_seconds").record(0.25);
        metrics::histogram!("9 lives\u{e9}").record(3.0);
        // Does not fit: the family has another label.
        metrics::counter!("http.requests", "status" => "200").increment(1);
    });
    let text = registry.render_prometheus();
    for line in [
        "# HELP http_requests_total Requests served.",
        "http_requests_total{http_method=\"GET\"} 3",
        "seen_total 7",
        "load 1.25",
        "wait_seconds_sum 0.25",
        "wait_seconds_bucket{le=\"0.25\"} 1",
        "_9_lives__sum 3",
        "tidemill_metrics_bridge_refused_total 1",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in:\n{text}");
    }
    Ok(())
}

#[test]
fn spans_are_timed_from_making_to_close() {
    let registry = Registry::default();
    let subscriber = tracing_subscriber::registry().with(SpanTimes::new(&registry));
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..3 {
            let span = tracing::info_span!("answer");
            let _inner = span.in_scope(|| tracing::info_span!("inner"));
        }
        let open = tracing::info_span!("open");
        let text = registry.render_prometheus();
        let count = |span: &str| {
            let line =
                format!("tidemill_span_seconds_count{{span=\"{span}\",target=\"bridges\"}} ");
            let found = text.lines().find_map(|it| it.strip_prefix(&line));
            found.unwrap_or_else(|| panic!("no {line} in:\n{text}")).to_owned()
        };
        assert_eq!([count("answer"), count("inner"), count("open")], ["3", "3", "0"]);
        drop(open);
    });
    let closed = "tidemill_span_seconds_count{span=\"open\",target=\"bridges\"} 1\n";
    assert!(registry.render_prometheus().contains(closed));
}
