//! Both text formats against golden files, and against Prometheus' own checker.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidemill_metrics::{Buckets, Error, Exemplar, Format, Options, Registry, SummaryOptions};

/// When everything in [`sample`] began.
fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_125)
}

/// One family of each type, with everything that needs escaping.
fn sample() -> Result<Registry, Error> {
    let registry = Registry::new(Options { wall_clock: clock, ..Options::default() });
    let connect = |backend| {
        registry.histogram(
            "tidemill_proxy_connect_seconds",
            "Time to connect to a backend.",
            &[("proxy", "redis"), ("backend", backend)],
            &[0.0005, 0.01, 1.0],
        )
    };
    let first = connect("127.0.0.1:6379")?;
    first.record(0.0005);
    first.record_duration(Duration::from_millis(250));
    first.record(2.25);
    first.record(-1.0);
    first.record(f64::NAN);
    connect("127.0.0.1:6380")?;
    let bytes = |direction| {
        registry.counter(
            "tidemill_proxy_bytes_total",
            "Bytes passed on.",
            &[("proxy", "redis"), ("direction", direction)],
        )
    };
    bytes("upstream")?.add(12);
    bytes("downstream")?.add(u64::MAX);
    let strange = [("proxy", "a \"quoted\" \\ name\nof two lines, é")];
    registry.gauge("tidemill_proxy_connections", "Says \"hi\", \\ and\nmore.", &strange)?.set(-4);
    registry.float_gauge("tidemill_load_ratio", "Load.", &[])?.set(1.5e-7);
    registry.float_gauge("tidemill_skew_ratio", "Skew.", &[])?.set(f64::NEG_INFINITY);
    let trace = Exemplar::new(&[("trace_id", "4bf92f\"")])?;
    let at = clock() + Duration::from_secs(1);
    bytes("upstream")?.add_with_exemplar(3, trace.clone(), at);
    let native = registry.histogram(
        "tidemill_answer_seconds",
        "Time to answer.",
        &[("route", "/")],
        Buckets::log_linear(0.25, 4.0),
    )?;
    [0.1, 0.3, 0.31, 0.9, 1.0].into_iter().for_each(|value| native.record(value));
    native.record_with_exemplar(3.0, trace.clone(), at);
    native.record_with_exemplar(100.0, trace, at);
    let options = SummaryOptions { quantiles: vec![0.5, 1.0], ..SummaryOptions::default() };
    let summary = registry.summary("tidemill_queue_seconds", "Time waited.", &[], &options)?;
    (1..=9).for_each(|value| summary.record(f64::from(value)));
    registry.counter("tidemill_requests_total", "Requests.", &[])?.add(7);
    registry.set_unit("tidemill_requests_total", "requests")?;
    Ok(registry)
}

#[test]
fn prometheus_text_is_the_golden_file() -> Result<(), Error> {
    golden("prometheus.txt", sample()?.render_prometheus().as_bytes());
    Ok(())
}

#[test]
fn openmetrics_text_is_the_golden_file() -> Result<(), Error> {
    golden("openmetrics.txt", sample()?.render_openmetrics().as_bytes());
    Ok(())
}

/// What Prometheus makes of these bytes is asked in `real_prometheus.rs`.
#[test]
fn protobuf_is_the_golden_file() -> Result<(), Error> {
    golden("families.binpb", &sample()?.render(Format::Protobuf));
    Ok(())
}

/// Holds bytes against a file; `UPDATE_SNAPSHOTS=1` writes it anew.
#[track_caller]
fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    #[expect(clippy::disallowed_methods, reason = "the one switch of the snapshots")]
    let is_update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    if is_update {
        std::fs::write(&path, bytes).expect("the file can be written");
    }
    let stored = std::fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    assert!(stored == bytes, "{name} is stale; run with UPDATE_SNAPSHOTS=1 and look:\n{text}");
}

#[test]
fn a_counter_beside_a_gauge_of_its_base_name_keeps_its_own_name() -> Result<(), Error> {
    let registry = Registry::default();
    registry.gauge("c", "Now.", &[])?.set(1);
    registry.counter("c_total", "So far.", &[])?.add(2);
    let prometheus = "# HELP c Now.\n# TYPE c gauge\nc 1\n\
                      # HELP c_total So far.\n# TYPE c_total counter\nc_total 2\n";
    assert_eq!(registry.render_prometheus(), prometheus);
    // `unknown` has no `_created`.
    let openmetrics = prometheus.replace("c_total counter", "c_total unknown") + "# EOF\n";
    assert_eq!(registry.render_openmetrics(), openmetrics);
    Ok(())
}

#[test]
fn an_empty_registry_renders_nothing() {
    assert_eq!(Registry::default().render_prometheus(), "");
    assert_eq!(Registry::default().render_openmetrics(), "# EOF\n");
}

#[test]
fn promtool_accepts_the_text() -> Result<(), Error> {
    let text = sample()?.render_prometheus();
    let Some(promtool) = testkit::require("promtool") else { return Ok(()) };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there");
    let mut stdin = child.stdin.take().expect("piped above");
    stdin.write_all(text.as_bytes()).expect("promtool reads all of it");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
    Ok(())
}
