//! OTLP: a registry as OpenTelemetry metrics, posted over HTTP to a collector.
//!
//! The messages are those of the `opentelemetry-proto` crate. The SDK's own instruments are left
//! out, because its readers cannot be given what others have measured. Log-linear histograms go as
//! exponential ones at scale 3, explicit ones as they are; all temporality is cumulative.
//!
//! It posts in plain text over one connection per export: to a collector on this host or in a
//! network that may see it; TLS is the collector's job. Blocks its caller for at most the time
//! limit of connecting, sending and reading each.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::distribution::Distribution;
use crate::family::{Family, FamilyKind, Instrument, LabelValues, Series};
use crate::{Registry, clock};

/// Posts a registry to a collector's OTLP/HTTP endpoint.
#[derive(Debug, Clone)]
pub struct OtlpExporter {
    authority: String,
    path: String,
    resource: Resource,
    time_limit: Duration,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OtlpError(#[from] Kind);

impl OtlpError {
    /// Returns true when the same may work later: the collector was not there or was busy.
    pub fn is_retryable(&self) -> bool {
        match &self.0 {
            Kind::Io { .. } => true,
            Kind::Status { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Kind::Endpoint { .. } => false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("`{endpoint}` is no endpoint for OTLP; write it as http://HOST:PORT/v1/metrics")]
    Endpoint { endpoint: String },
    #[error("cannot reach the collector at {authority}: {source}")]
    Io { authority: String, source: io::Error },
    #[error("the collector at {authority} answered with status {status}")]
    Status { authority: String, status: u16 },
}

impl OtlpExporter {
    /// Makes an exporter to `endpoint`, such as `http://127.0.0.1:4318/v1/metrics`; `service` is
    /// what the collector is told as `service.name`.
    ///
    /// # Errors
    ///
    /// When the endpoint is not of that form.
    pub fn new(endpoint: &str, service: &str, time_limit: Duration) -> Result<Self, OtlpError> {
        let parts = endpoint.strip_prefix("http://").and_then(|rest| {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, "v1/metrics"));
            authority.rsplit_once(':')?.1.parse::<u16>().ok()?;
            let is_plain = !path.contains(|c: char| c.is_whitespace() || c.is_control());
            is_plain.then(|| (authority.to_owned(), format!("/{path}")))
        });
        let (authority, path) =
            parts.ok_or_else(|| Kind::Endpoint { endpoint: endpoint.to_owned() })?;
        let resource =
            Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
        Ok(Self { authority, path, resource, time_limit })
    }

    /// Posts everything that `registry` has now.
    ///
    /// # Errors
    ///
    /// When the collector cannot be reached or does not answer with a status of 200 to 299.
    pub fn export(&self, registry: &Registry) -> Result<(), OtlpError> {
        let body = self.request(registry, clock::now(), clock::wall()).encode_to_vec();
        let io = |source| Kind::Io { authority: self.authority.clone(), source };
        let status = self.post(&body).map_err(io)?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        Err(Kind::Status { authority: self.authority.clone(), status }.into())
    }

    fn request(
        &self,
        registry: &Registry,
        now: Instant,
        at: SystemTime,
    ) -> ExportMetricsServiceRequest {
        let families = registry.families();
        let metrics = families.iter().map(|(name, family)| metric(name, family, now, at)).collect();
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope),
                    metrics,
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        }
    }

    fn post(&self, body: &[u8]) -> io::Result<u16> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, self.time_limit) {
                Ok(stream) => return self.exchange(stream, body),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn exchange(&self, mut stream: TcpStream, body: &[u8]) -> io::Result<u16> {
        stream.set_read_timeout(Some(self.time_limit))?;
        stream.set_write_timeout(Some(self.time_limit))?;
        let (path, authority, length) = (&self.path, &self.authority, body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
             Content-Type: application/x-protobuf\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = [0; 12]; // "HTTP/1.1 200"
        stream.read_exact(&mut answer)?;
        let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..));
        let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
    }
}

fn metric(name: &str, family: &Family, now: Instant, at: SystemTime) -> Metric {
    let at = nanos(at);
    let points = || family.series.iter();
    let numbers = || {
        let number = |(values, series): (&LabelValues, &Series)| {
            number_point(attributes(family, values), series, at)
        };
        points().map(number).collect()
    };
    let temporality = AggregationTemporality::Cumulative as i32;
    let data = match &family.kind {
        FamilyKind::Counter => Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        FamilyKind::Gauge | FamilyKind::FloatGauge => Data::Gauge(Gauge { data_points: numbers() }),
        FamilyKind::Summary { .. } => Data::Summary(Summary {
            data_points: points()
                .filter_map(|(values, series)| {
                    summary_point(attributes(family, values), series, now, at)
                })
                .collect(),
        }),
        FamilyKind::Histogram { .. } => histogram_data(
            points().map(|(values, series)| (attributes(family, values), series)),
            at,
        ),
    };
    Metric {
        name: name.to_owned(),
        description: family.help.clone(),
        unit: unit(family.unit.as_deref()),
        data: Some(data),
        ..Metric::default()
    }
}

fn number_point(attributes: Vec<KeyValue>, series: &Series, at: u64) -> NumberDataPoint {
    let value = match &series.instrument {
        Instrument::Counter(counter) => {
            number_data_point::Value::AsInt(i64::try_from(counter.value()).unwrap_or(i64::MAX))
        }
        Instrument::Gauge(gauge) => number_data_point::Value::AsInt(gauge.value()),
        Instrument::FloatGauge(gauge) => number_data_point::Value::AsDouble(gauge.value()),
        Instrument::Histogram(_) | Instrument::Summary(_) => {
            unreachable!("a family's instruments are of the family's kind")
        }
    };
    NumberDataPoint {
        attributes,
        start_time_unix_nano: nanos(series.created),
        time_unix_nano: at,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn summary_point(
    attributes: Vec<KeyValue>,
    series: &Series,
    now: Instant,
    at: u64,
) -> Option<SummaryDataPoint> {
    let Instrument::Summary(summary) = &series.instrument else { return None };
    let reading = summary.read(now);
    let quantiles = reading.quantiles.iter();
    let quantile_values = quantiles
        .filter_map(|&(quantile, value)| Some(ValueAtQuantile { quantile, value: value? }))
        .collect();
    Some(SummaryDataPoint {
        attributes,
        start_time_unix_nano: nanos(series.created),
        time_unix_nano: at,
        count: reading.count,
        sum: reading.sum,
        quantile_values,
        flags: 0,
    })
}

fn histogram_data<'a>(points: impl Iterator<Item = (Vec<KeyValue>, &'a Series)>, at: u64) -> Data {
    let (mut exponential, mut explicit) = (Vec::new(), Vec::new());
    for (attributes, series) in points {
        let Instrument::Histogram(histogram) = &series.instrument else { continue };
        let read = histogram.read();
        let start = nanos(series.created);
        match read.native() {
            Some(native) => {
                exponential.push(exponential_point(attributes, &read, &native, start, at));
            }
            None => explicit.push(explicit_point(attributes, &read, start, at)),
        }
    }
    let aggregation_temporality = AggregationTemporality::Cumulative as i32;
    if exponential.is_empty() {
        Data::Histogram(Histogram { data_points: explicit, aggregation_temporality })
    } else {
        let data_points = exponential;
        Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
    }
}

/// OpenTelemetry counts buckets from their lower bound, Prometheus from their upper one.
fn exponential_point(
    attributes: Vec<KeyValue>,
    read: &Distribution,
    native: &crate::distribution::Native,
    start: u64,
    at: u64,
) -> ExponentialHistogramDataPoint {
    let first = native.buckets.first().map_or(0, |(index, _)| *index);
    let last = native.buckets.last().map_or(first - 1, |(index, _)| *index);
    let mut bucket_counts = vec![0; usize::try_from(last - first + 1).unwrap_or(0)];
    for &(index, count) in &native.buckets {
        bucket_counts[(index - first) as usize] = count;
    }
    ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: at,
        count: read.count(),
        sum: Some(read.sum()),
        scale: native.schema,
        zero_count: native.zero_count,
        zero_threshold: native.zero_threshold,
        positive: Some(Buckets { offset: first - 1, bucket_counts }),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn explicit_point(
    attributes: Vec<KeyValue>,
    read: &Distribution,
    start: u64,
    at: u64,
) -> HistogramDataPoint {
    let (explicit_bounds, bucket_counts): (Vec<f64>, Vec<u64>) = read.each().unzip();
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: at,
        count: read.count(),
        sum: Some(read.sum()),
        bucket_counts,
        explicit_bounds: explicit_bounds.into_iter().filter(|bound| bound.is_finite()).collect(),
        ..HistogramDataPoint::default()
    }
}

fn attributes(family: &Family, values: &LabelValues) -> Vec<KeyValue> {
    family.label_names.iter().zip(values).map(|(name, value)| text(name, value)).collect()
}

fn text(name: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// OpenTelemetry writes units as UCUM does.
fn unit(unit: Option<&str>) -> String {
    match unit {
        Some("seconds") => "s".to_owned(),
        Some("bytes") => "By".to_owned(),
        Some("ratio") => "1".to_owned(),
        Some(other) => format!("{{{other}}}"),
        None => String::new(),
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
