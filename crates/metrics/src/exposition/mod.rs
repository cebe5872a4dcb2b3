//! What a scraper gets, and in which of three formats.
//!
//! | format | asked for with `Accept` | histograms |
//! |---|---|---|
//! | Prometheus text 0.0.4 | `text/plain`, or nothing known | classic `le` buckets |
//! | OpenMetrics 1.0 | `application/openmetrics-text` | classic, with exemplars and `_created` |
//! | Prometheus protobuf | `application/vnd.google.protobuf` | classic and native |
//!
//! All are rendered from the same families in the same order, so equal registries give equal
//! bytes. Rendering holds the registry's lock, so registering waits for it; recording does not.

mod protobuf;
mod text;

use crate::clock;
use crate::registry::Registry;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
    /// Length-delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Format {
    /// Returns the format that an `Accept` header wants most (RFC 9110, 12.5.1). Among equals the
    /// richer one; Prometheus text when none is named.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (Self::Prometheus, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<_> = parts.map(|part| part.replace(' ', "")).collect();
            let is_set = |wanted: &str| parameters.iter().any(|part| part == wanted);
            let format = match media_type.as_str() {
                "text/plain" => Self::Prometheus,
                "application/openmetrics-text" => Self::OpenMetrics,
                "application/vnd.google.protobuf"
                    if is_set("proto=io.prometheus.client.MetricFamily")
                        && is_set("encoding=delimited") =>
                {
                    Self::Protobuf
                }
                _ => continue,
            };
            let weight = parameters.iter().find_map(|part| part.strip_prefix("q="));
            let weight: f32 = weight.and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
            let is_better = weight > best.1 || weight == best.1 && format.rank() > best.0.rank();
            if weight > 0.0 && is_better {
                best = (format, weight);
            }
        }
        best.0
    }

    /// Returns the value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Prometheus => 0,
            Self::OpenMetrics => 1,
            Self::Protobuf => 2,
        }
    }
}

impl Registry {
    /// Renders every series, in the order of names and label values.
    pub fn render(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Prometheus => self.render_prometheus().into_bytes(),
            Format::OpenMetrics => self.render_openmetrics().into_bytes(),
            Format::Protobuf => protobuf::render(&self.families(), clock::now()),
        }
    }

    /// Renders every series as Prometheus text 0.0.4.
    pub fn render_prometheus(&self) -> String {
        text::render(&self.families(), text::Dialect::Prometheus, clock::now())
    }

    /// Renders every series as OpenMetrics 1.0 text.
    pub fn render_openmetrics(&self) -> String {
        text::render(&self.families(), text::Dialect::OpenMetrics, clock::now())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Format::{self, OpenMetrics, Prometheus, Protobuf};

    #[track_caller]
    fn check(accept: &str, want: Format) {
        assert_eq!(Format::negotiate(accept), want, "{accept}");
    }

    #[test]
    fn the_format_is_the_one_that_is_wanted_most() {
        check("", Prometheus);
        check("*/*", Prometheus);
        check("text/plain", Prometheus);
        check("application/openmetrics-text; version=1.0.0", OpenMetrics);
        check("text/plain, application/openmetrics-text;q=0.5", Prometheus);
        check("application/openmetrics-text;q=0", Prometheus);
        check("application/vnd.google.protobuf", Prometheus);
        // What Prometheus 2.42 sends, without and with native histograms.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OpenMetrics,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Protobuf,
        );
    }
}
