//! The two text formats: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! They differ in these places, all here:
//!
//! - the family name of a counter, for OpenMetrics without `_total`; where another family has that
//!   name the counter keeps its own and is of type `unknown`, since there a family name stands for
//!   one type only;
//! - quotes in help, which OpenMetrics escapes;
//! - whole numbers as bucket bounds and quantiles, `1` and for OpenMetrics `1.0`;
//! - only OpenMetrics has `# UNIT`, exemplars, `_created` and the closing `# EOF`.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::exemplar::Seen;
use crate::family::{Families, Family, FamilyKind, Instrument, Series};
use crate::spelling::{escape, push_f64, push_i64, push_u64};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Dialect {
    Prometheus,
    OpenMetrics,
}

/// Renders all families.
pub(super) fn render(families: &Families, dialect: Dialect, now: Instant) -> String {
    let series: usize = families.values().map(|family| family.series.len()).sum();
    let mut page = Page { out: String::with_capacity(series * BYTES_PER_SERIES), dialect, now };
    for (name, family) in families {
        page.family(families, name, family);
    }
    if dialect == Dialect::OpenMetrics {
        page.out.push_str("# EOF\n");
    }
    page.out
}

struct Page {
    out: String,
    dialect: Dialect,
    now: Instant,
}

/// What every sample of a series begins with.
#[derive(Clone, Copy)]
struct Head<'a> {
    name: &'a str,
    labels: &'a str,
}

impl Page {
    fn family(&mut self, families: &Families, name: &str, family: &Family) {
        let is_open = self.dialect == Dialect::OpenMetrics;
        let (title, kind) = match &family.kind {
            FamilyKind::Counter if is_open => match name.strip_suffix("_total") {
                Some(base) if !families.contains_key(base) => (base, "counter"),
                _ => (name, "unknown"),
            },
            FamilyKind::Counter => (name, "counter"),
            FamilyKind::Gauge | FamilyKind::FloatGauge => (name, "gauge"),
            FamilyKind::Histogram { .. } => (name, "histogram"),
            FamilyKind::Summary { .. } => (name, "summary"),
        };
        self.push(&["# HELP ", title, " "]);
        escape(&mut self.out, &family.help, is_open);
        self.push(&["\n# TYPE ", title, " ", kind, "\n"]);
        if let Some(unit) = family.unit.as_ref().filter(|_| is_open && kind != "unknown") {
            self.push(&["# UNIT ", title, " ", unit, "\n"]);
        }
        for series in family.series.values() {
            self.series(name, if kind == "counter" { title } else { name }, kind, series);
        }
    }

    fn series(&mut self, name: &str, title: &str, kind: &str, series: &Series) {
        let head = Head { name, labels: &series.labels };
        match &series.instrument {
            Instrument::Counter(counter) => {
                self.begin(head, "");
                push_u64(&mut self.out, counter.value());
                if self.dialect == Dialect::OpenMetrics && kind == "counter" {
                    self.exemplar(counter.exemplar().as_ref());
                }
                self.out.push('\n');
            }
            Instrument::Gauge(gauge) => {
                self.begin(head, "");
                push_i64(&mut self.out, gauge.value());
                self.out.push('\n');
            }
            Instrument::FloatGauge(gauge) => self.float(head, "", gauge.value()),
            Instrument::Histogram(histogram) => {
                let distribution = histogram.read();
                let exemplars = histogram.exemplars();
                for (index, (bound, count)) in distribution.buckets().into_iter().enumerate() {
                    self.begin_with(head, "_bucket", "le", bound);
                    push_u64(&mut self.out, count);
                    if self.dialect == Dialect::OpenMetrics {
                        self.exemplar(exemplars.get(index).and_then(Option::as_ref));
                    }
                    self.out.push('\n');
                }
                self.float(head, "_sum", distribution.sum());
                self.count(head, "_count", distribution.count());
            }
            Instrument::Summary(summary) => {
                let reading = summary.read(self.now);
                for (q, value) in reading.quantiles {
                    self.begin_with(head, "", "quantile", q);
                    push_f64(&mut self.out, value.unwrap_or(f64::NAN), false);
                    self.out.push('\n');
                }
                self.float(head, "_sum", reading.sum);
                self.count(head, "_count", reading.count);
            }
        }
        let has_start = matches!(kind, "counter" | "histogram" | "summary");
        if has_start && self.dialect == Dialect::OpenMetrics {
            let created = seconds(series.created);
            self.float(Head { name: title, labels: &series.labels }, "_created", created);
        }
    }

    fn count(&mut self, head: Head<'_>, suffix: &str, value: u64) {
        self.begin(head, suffix);
        push_u64(&mut self.out, value);
        self.out.push('\n');
    }

    fn float(&mut self, head: Head<'_>, suffix: &str, value: f64) {
        self.begin(head, suffix);
        push_f64(&mut self.out, value, false);
        self.out.push('\n');
    }

    /// Writes everything of a sample that comes before its value.
    fn begin(&mut self, head: Head<'_>, suffix: &str) {
        if head.labels.is_empty() {
            self.push(&[head.name, suffix, " "]);
        } else {
            self.push(&[head.name, suffix, "{", head.labels, "} "]);
        }
    }

    /// The same with one more label.
    fn begin_with(&mut self, head: Head<'_>, suffix: &str, label: &str, value: f64) {
        let comma = if head.labels.is_empty() { "" } else { "," };
        self.push(&[head.name, suffix, "{", head.labels, comma, label, "=\""]);
        push_f64(&mut self.out, value, self.dialect == Dialect::OpenMetrics);
        self.push(&["\"} "]);
    }

    fn exemplar(&mut self, seen: Option<&Seen>) {
        if let Some(Seen { exemplar, value, at }) = seen {
            self.push(&[" # {", &exemplar.spelled, "} "]);
            push_f64(&mut self.out, *value, false);
            self.out.push(' ');
            push_f64(&mut self.out, seconds(*at), false);
        }
    }

    fn push(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.out.push_str(part));
    }
}

/// Seconds since 1970, to the millisecond; 0 before.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_millis() as f64 / 1e3)
}

const BYTES_PER_SERIES: usize = 96;
