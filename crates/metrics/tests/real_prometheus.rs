//! Debian's Prometheus scrapes a registry that is being written to, and is asked what it has.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testkit::http::try_request;
use testkit::{Launch, free_address, require, wait_for};
use tidemill_metrics::{Buckets, Error, Exemplar, Format, Registry, SummaryOptions};

/// Serves `registry` as the node does and keeps every `Accept` it saw.
fn serve(registry: Registry) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let accepts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&accepts);
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut accept = String::new();
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                if let Some(value) = line.strip_prefix("Accept: ") {
                    value.clone_into(&mut accept);
                }
                if line.is_empty() {
                    break;
                }
            }
            let format = Format::negotiate(&accept);
            let body = registry.render(format);
            let (kind, length) = (format.content_type(), body.len());
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            // A scraper that breaks off scrapes again.
            let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
            seen.lock().expect("no panic").push(accept);
        }
    });
    (address, accepts)
}

/// A running Prometheus that scrapes `target` each second.
struct Prometheus {
    address: SocketAddr,
    process: testkit::Process,
    _folder: TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr, features: &str) -> Option<Self> {
        let program = require("prometheus")?;
        let folder = TempDir::new().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: ours\n  \
             static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        fs::write(&config, text).expect("written");
        let address = free_address();
        let process = Launch::new(program)
            .args([format!("--config.file={}", config.display())])
            .args([format!("--storage.tsdb.path={}", folder.path().join("data").display())])
            .args([format!("--web.listen-address={address}")])
            .args([format!("--enable-feature={features}")])
            .start();
        Some(Self { address, process, _folder: folder })
    }

    /// The one value of a query, once there is one.
    fn value(&self, query: &str) -> f64 {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/query?query={encoded}");
        let what = format!("an answer to {query} from {}", self.process);
        wait_for(what, Duration::from_secs(60), || {
            let response = try_request(self.address, "GET", &path, &[], "").ok()?;
            let answer: Value = serde_json::from_str(&response.body).ok()?;
            answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
        })
    }
}

fn close(found: f64, want: f64, share: f64) {
    assert!((found - want).abs() <= want * share, "{found} instead of {want}");
}

fn check(features: &str, wanted: &str) -> Result<(), Error> {
    let registry = Registry::default();
    registry.counter("sent_bytes_total", "Sent.", &[("to", "a \"b\"\\\n")])?.add(12);
    registry.gauge("open", "Open.", &[])?.set(-3);
    let trace = Exemplar::new(&[("trace_id", "4bf92f")])?;
    let wait = registry.histogram("wait_seconds", "Waited.", &[], Buckets::seconds())?;
    (1..=1000).for_each(|ms| wait.record(f64::from(ms) / 1000.0));
    wait.record_with_exemplar(0.5, trace, std::time::UNIX_EPOCH);
    let summary = registry.summary("lag_seconds", "Lag.", &[], &SummaryOptions::default())?;
    (1..=100).for_each(|value| summary.record(f64::from(value)));
    let busy = registry.histogram("busy", "Written to all the time.", &[], &[1.0, 2.0])?;
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            while !is_over.load(Ordering::Relaxed) {
                busy.record(2.0);
            }
        }
    });

    let (target, accepts) = serve(registry);
    if let Some(prometheus) = Prometheus::start(target, features) {
        assert_eq!(prometheus.value("up"), 1.0);
        assert_eq!(prometheus.value(r#"sent_bytes_total{to="a \"b\"\\\n"}"#), 12.0);
        assert_eq!(prometheus.value("open"), -3.0);
        assert_eq!(prometheus.value("lag_seconds_count"), 100.0);
        close(prometheus.value(r#"lag_seconds{quantile="0.5"}"#), 50.0, 0.01);
        let is_native = features.contains("native");
        if is_native {
            assert_eq!(prometheus.value("histogram_count(wait_seconds)"), 1001.0);
            close(prometheus.value("histogram_sum(wait_seconds)"), 501.0, 1e-9);
            // A bucket is 9 % wide, and a value may be one half of a finer one beside its own.
            for q in [0.1, 0.5, 0.9, 0.99] {
                let found = prometheus.value(&format!("histogram_quantile({q}, wait_seconds)"));
                close(found, q, 0.09 + 0.032);
            }
        } else {
            assert_eq!(prometheus.value("wait_seconds_count"), 1001.0);
            assert_eq!(prometheus.value(r#"wait_seconds_bucket{le="0.5"}"#), 501.0);
            close(prometheus.value("wait_seconds_sum"), 501.0, 1e-9);
        }
        // Every scrape while writing is whole: sum, count and buckets of the same records.
        let torn = "count_over_time(((busy_sum != 2 * busy_count) or (busy_count != ignoring(le) \
                    busy_bucket{le=\"+Inf\"}))[1m:1s]) or vector(0)";
        assert!(prometheus.value("busy_count") > 0.0);
        assert_eq!(prometheus.value(torn), 0.0);
        let accepts = accepts.lock().expect("no panic");
        assert!(accepts.iter().all(|accept| accept.starts_with(wanted)), "{accepts:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    writer.join().expect("no panic");
    Ok(())
}

#[test]
fn prometheus_reads_openmetrics() -> Result<(), Error> {
    check("exemplar-storage", "application/openmetrics-text")
}

/// Since 2.40 it reads native histograms from protobuf, where the feature is switched on.
#[test]
fn prometheus_reads_native_histograms() -> Result<(), Error> {
    check("native-histograms", "application/vnd.google.protobuf")
}
