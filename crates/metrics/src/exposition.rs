//! The two text formats: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! Both are rendered from the same families in the same order, so equal registries give equal
//! bytes. They differ in four places, all here:
//!
//! - the family name of a counter, for OpenMetrics without `_total`; where another family has that
//!   name the counter keeps its own and is of type `unknown`, since there a family name stands for
//!   one type only;
//! - quotes in help, which OpenMetrics escapes;
//! - whole numbers as bucket bounds, `1` and for OpenMetrics `1.0`;
//! - the closing `# EOF` of OpenMetrics.
//!
//! Rendering holds the registry's lock, so registering waits for it; recording does not.

use std::fmt::{self, Write};

use crate::histogram::Distribution;
use crate::registry::{Families, Family, FamilyKind, Instrument, Registry, Series};

/// Content type of [`Registry::render_prometheus`].
pub const CONTENT_TYPE_PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Content type of [`Registry::render_openmetrics`].
pub const CONTENT_TYPE_OPENMETRICS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Registry {
    /// Renders every series as Prometheus text 0.0.4, in the order of names and label values.
    pub fn render_prometheus(&self) -> String {
        self.render(Format::Prometheus)
    }

    /// Renders every series as OpenMetrics 1.0 text, in the order of names and label values.
    pub fn render_openmetrics(&self) -> String {
        self.render(Format::OpenMetrics) + "# EOF\n"
    }

    fn render(&self, format: Format) -> String {
        let mut out = String::new();
        let families = self.families();
        for (name, family) in families.iter() {
            render_family(&mut out, format, &families, name, family)
                .expect("writing to a String does not fail");
        }
        out
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Prometheus,
    OpenMetrics,
}

fn render_family(
    out: &mut String,
    format: Format,
    families: &Families,
    name: &str,
    family: &Family,
) -> fmt::Result {
    let (title, kind) = match (format, &family.kind) {
        (Format::OpenMetrics, FamilyKind::Counter) => match name.strip_suffix("_total") {
            Some(base) if !families.contains_key(base) => (base, "counter"),
            _ => (name, "unknown"),
        },
        (Format::Prometheus, FamilyKind::Counter) => (name, "counter"),
        (_, FamilyKind::Gauge | FamilyKind::FloatGauge) => (name, "gauge"),
        (_, FamilyKind::Histogram { .. }) => (name, "histogram"),
    };
    write!(out, "# HELP {title} ")?;
    escape(out, &family.help, format == Format::OpenMetrics);
    writeln!(out, "\n# TYPE {title} {kind}")?;
    for Series { labels, instrument } in family.series.values() {
        match instrument {
            Instrument::Counter(counter) => {
                render_sample(out, name, "", labels, counter.value())?;
            }
            Instrument::Gauge(gauge) => render_sample(out, name, "", labels, gauge.value())?,
            Instrument::FloatGauge(gauge) => {
                render_sample(out, name, "", labels, Float(gauge.value(), Format::Prometheus))?;
            }
            Instrument::Histogram(histogram) => {
                render_histogram(out, format, name, labels, &histogram.read())?;
            }
        }
    }
    Ok(())
}

fn render_histogram(
    out: &mut String,
    format: Format,
    name: &str,
    labels: &str,
    distribution: &Distribution,
) -> fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    for &(bound, count) in distribution.buckets() {
        let bound = Float(bound, format);
        writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}")?;
    }
    render_sample(out, name, "_sum", labels, Float(distribution.sum(), Format::Prometheus))?;
    render_sample(out, name, "_count", labels, distribution.count())
}

fn render_sample(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    if labels.is_empty() {
        writeln!(out, "{name}{suffix} {value}")
    } else {
        writeln!(out, "{name}{suffix}{{{labels}}} {value}")
    }
}

/// Spells labels as `a="b",c="d"`; nothing when there are none.
pub(crate) fn spell_labels(labels: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        escape(&mut out, value, true);
        out.push('"');
    }
    out
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            _ => out.push(char),
        }
    }
}

/// A number as both formats spell it.
struct Float(f64, Format);

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, format) = *self;
        if value.is_nan() {
            f.write_str("NaN")
        } else if value.is_infinite() {
            f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
        } else if format == Format::OpenMetrics {
            // `Debug` keeps the point of whole numbers, as the canonical numbers of OpenMetrics do.
            write!(f, "{value:?}")
        } else {
            write!(f, "{value}")
        }
    }
}
