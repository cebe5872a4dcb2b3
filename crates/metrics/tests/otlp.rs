//! OTLP over HTTP, received by a collector of this test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point::Value};
use prost::Message as _;
use tidemill_metrics::{Buckets, Error, OtlpExporter, Registry, SummaryOptions};

/// Takes one request and answers with `status`; gives the request's head and body.
fn collector(status: u16) -> (SocketAddr, JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut reader = BufReader::new(&stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a line") > 0, "cut short: {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.and_then(|it| it.parse().ok()).expect("a length")];
        reader.read_exact(&mut body).expect("the whole body");
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        (&stream).write_all(answer.as_bytes()).expect("the client reads");
        (head, body)
    });
    (address, thread)
}

fn exporter(address: SocketAddr) -> OtlpExporter {
    let endpoint = format!("http://{address}/v1/metrics");
    OtlpExporter::new(&endpoint, "shop", Duration::from_secs(5)).expect("an endpoint")
}

#[test]
fn a_collector_gets_every_kind_of_metric() -> Result<(), Error> {
    let registry = Registry::default();
    registry.counter("sent_bytes_total", "Sent.", &[("to", "a")])?.add(12);
    registry.gauge("open", "Open.", &[])?.set(-3);
    registry.float_gauge("load_ratio", "Load.", &[])?.set(0.5);
    let explicit = registry.histogram("size", "Size.", &[], &[1.0, 2.0])?;
    [0.5, 1.5, 1.5, 9.0].into_iter().for_each(|value| explicit.record(value));
    let linear = registry.histogram("wait_seconds", "W.", &[], Buckets::log_linear(0.25, 4.0))?;
    [0.1, 1.0, 1.0, 3.0].into_iter().for_each(|value| linear.record(value));
    let summary = registry.summary("lag_seconds", "Lag.", &[], &SummaryOptions::default())?;
    (1..=100).for_each(|value| summary.record(f64::from(value)));

    let (address, collector) = collector(200);
    exporter(address).export(&registry).expect("the collector is there");
    let (head, body) = collector.join().expect("no panic");
    assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/x-protobuf\r\n"), "{head}");
    let request = ExportMetricsServiceRequest::decode(body.as_slice()).expect("protobuf");
    let [resource] = &request.resource_metrics[..] else { panic!("one resource") };
    let service = &resource.resource.as_ref().expect("a resource").attributes[0];
    assert_eq!(service.key, "service.name");
    let value = service.value.as_ref().and_then(|value| value.value.clone());
    assert_eq!(value, Some(StringValue("shop".to_owned())));
    check(&resource.scope_metrics[0].metrics);
    Ok(())
}

fn check(metrics: &[Metric]) {
    let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    let want = ["lag_seconds", "load_ratio", "open", "sent_bytes_total", "size", "wait_seconds"];
    assert_eq!(names, want);
    let data = |name: &str| {
        let metric = metrics.iter().find(|metric| metric.name == name).expect(name);
        (metric.unit.as_str(), metric.data.clone().expect("data"))
    };
    let ("By", Data::Sum(sent)) = data("sent_bytes_total") else { panic!("a sum in bytes") };
    assert!(sent.is_monotonic && sent.aggregation_temporality == 2);
    assert_eq!(sent.data_points[0].value, Some(Value::AsInt(12)));
    assert_eq!(sent.data_points[0].attributes[0].key, "to");
    let start = sent.data_points[0].start_time_unix_nano;
    assert!(start > 1_600_000_000_000_000_000 && start <= sent.data_points[0].time_unix_nano);
    let ("", Data::Gauge(open)) = data("open") else { panic!("a gauge") };
    assert_eq!(open.data_points[0].value, Some(Value::AsInt(-3)));
    let ("1", Data::Gauge(load)) = data("load_ratio") else { panic!("a ratio") };
    assert_eq!(load.data_points[0].value, Some(Value::AsDouble(0.5)));
    let ("", Data::Histogram(size)) = data("size") else { panic!("a histogram") };
    let size = &size.data_points[0];
    assert_eq!(
        (&size.explicit_bounds[..], &size.bucket_counts[..]),
        (&[1.0, 2.0][..], &[1, 2, 1][..])
    );
    assert_eq!((size.count, size.sum), (4, Some(12.5)));
    let ("s", Data::ExponentialHistogram(wait)) = data("wait_seconds") else { panic!("seconds") };
    let wait = &wait.data_points[0];
    assert_eq!((wait.count, wait.sum, wait.scale, wait.zero_count), (4, Some(5.1), 3, 1));
    let buckets = wait.positive.as_ref().expect("positive buckets");
    // 1.0 lies in (2^(-1/8), 1], whose index is -1 here; 3.0 in (2^(12/8), 2^(13/8)].
    assert_eq!(buckets.offset, -1);
    let mut counts = vec![0; 14];
    (counts[0], counts[13]) = (2, 1);
    assert_eq!(buckets.bucket_counts, counts);
    let ("s", Data::Summary(lag)) = data("lag_seconds") else { panic!("a summary") };
    assert_eq!((lag.data_points[0].count, lag.data_points[0].sum), (100, 5050.0));
    let median = lag.data_points[0].quantile_values[0].value;
    assert!((median - 50.0).abs() <= 1.0, "{median}");
}

#[test]
fn what_went_wrong_is_told_and_whether_it_may_work_later() {
    let registry = Registry::default();
    for (status, retry) in [(400, false), (503, true)] {
        let (address, collector) = collector(status);
        let error = exporter(address).export(&registry).expect_err("refused");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(error.is_retryable(), retry);
        collector.join().expect("no panic");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let error = exporter(nobody).export(&registry).expect_err("nobody is there");
    assert!(error.is_retryable() && error.to_string().contains("cannot reach"), "{error}");
    for endpoint in ["https://a:1/", "a:1", "http://a/", "http://a:x/", "http://a:1/ b"] {
        let error = OtlpExporter::new(endpoint, "shop", Duration::from_secs(1));
        assert!(!error.expect_err(endpoint).is_retryable());
    }
}
