//! How long named pieces of a program take, and how often things happen.
//!
//! ```
//! use tidemill_profile::spans::Profiler;
//!
//! let profiler = Profiler::new();
//! let sum = profiler.measure("sum", || (1..=100).sum::<u32>());
//! {
//!     let _span = profiler.enter("load");
//!     profiler.count("rows", 3);
//! }
//! let report = profiler.report();
//! assert_eq!((sum, report.spans.len(), report.counts[0].count), (5050, 2, 3));
//! println!("{}", report.table());
//! ```
//!
//! Times go into the log-linear histogram of `tidemill-metrics`, so a percentile is at most 3.2 %
//! off; total, mean, least and greatest are exact. With a registry from outside the same numbers
//! are metrics too. A span costs two readings of the clock and a few stores; looking it up by its
//! name costs a lock more, which [`Profiler::span`] saves in hot places.
//!
//! Limits: 1,024 spans and as many counts; further names share one row, `(other)`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};
use tidemill_metrics::{Buckets, Counter, Histogram, Options, Registry};

use crate::clock;

/// Measures spans and counts events, from any thread.
#[derive(Debug)]
pub struct Profiler {
    registry: Registry,
    spans: Mutex<BTreeMap<String, Span>>,
    counts: Mutex<BTreeMap<String, Counter>>,
}

/// A named span, looked up once.
#[derive(Debug, Clone)]
pub struct Span(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seconds: Histogram,
    least_ns: AtomicU64,
    greatest_ns: AtomicU64,
}

/// A span that is open; it is recorded on drop, also when a function returns early or panics.
#[derive(Debug)]
pub struct Guard {
    span: Span,
    start: Instant,
    is_kept: bool,
}

/// What a profiler has measured so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Every span, the one with the most time first.
    pub spans: Vec<SpanRow>,
    /// Every count, by name.
    pub counts: Vec<CountRow>,
}

/// The figures of a span; in JSON its times are numbers of seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanRow {
    /// Its name.
    pub name: String,
    /// How often it was measured.
    pub count: u64,
    /// All its time.
    #[serde(serialize_with = "seconds", rename = "total_seconds")]
    pub total: Duration,
    /// Its time on average.
    #[serde(serialize_with = "seconds", rename = "mean_seconds")]
    pub mean: Duration,
    /// The least.
    #[serde(serialize_with = "seconds", rename = "min_seconds")]
    pub min: Duration,
    /// The greatest.
    #[serde(serialize_with = "seconds", rename = "max_seconds")]
    pub max: Duration,
    /// Half took at most this.
    #[serde(serialize_with = "seconds", rename = "p50_seconds")]
    pub p50: Duration,
    /// 95 of 100 took at most this.
    #[serde(serialize_with = "seconds", rename = "p95_seconds")]
    pub p95: Duration,
    /// 99 of 100 took at most this.
    #[serde(serialize_with = "seconds", rename = "p99_seconds")]
    pub p99: Duration,
}

/// How often something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountRow {
    /// Its name.
    pub name: String,
    /// How often.
    pub count: u64,
}

impl Default for Profiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Profiler {
    /// Makes a profiler of its own, with cells for four threads at once.
    pub fn new() -> Self {
        Self::with_registry(&Registry::new(Options { slots: 4, ..Options::default() }))
    }

    /// Makes a profiler whose numbers are metrics of a registry too:
    /// `tidemill_profile_span_seconds{span}` and `tidemill_profile_events_total{event}`.
    /// Two profilers with one registry add to the same series.
    pub fn with_registry(registry: &Registry) -> Self {
        let registry = registry.clone();
        Self { registry, spans: Mutex::default(), counts: Mutex::default() }
    }

    /// Runs a closure and records how long it took.
    pub fn measure<R>(&self, name: &str, run: impl FnOnce() -> R) -> R {
        let _guard = self.enter(name);
        run()
    }

    /// Opens a span until the guard is dropped.
    #[must_use = "a guard that is dropped at once measures nothing"]
    pub fn enter(&self, name: &str) -> Guard {
        self.span(name).enter()
    }

    /// Adds to a count.
    pub fn count(&self, name: &str, by: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = named(&mut counts, name, |name| {
            let labels = [("event", name)];
            let made = self.registry.counter(EVENTS, "Events of the program.", &labels);
            made.unwrap_or_else(|_| own_registry_counter())
        });
        counter.add(by);
    }

    /// Returns a span to be measured often.
    pub fn span(&self, name: &str) -> Span {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        named(&mut spans, name, |name| Span::new(&self.registry, name)).clone()
    }

    /// Returns the figures of everything measured so far. What is recorded meanwhile may be in one
    /// figure and not yet in another.
    pub fn report(&self) -> Report {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut spans: Vec<_> = spans.iter().filter_map(|(name, span)| span.row(name)).collect();
        spans.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.name.cmp(&b.name)));
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts
            .iter()
            .map(|(name, counter)| CountRow { name: name.clone(), count: counter.value() })
            .collect();
        Report { spans, counts }
    }
}

impl Span {
    /// Opens the span until the guard is dropped.
    #[must_use = "a guard that is dropped at once measures nothing"]
    pub fn enter(&self) -> Guard {
        Guard { span: self.clone(), start: clock::now(), is_kept: true }
    }

    /// Runs a closure and records how long it took.
    pub fn measure<R>(&self, run: impl FnOnce() -> R) -> R {
        let _guard = self.enter();
        run()
    }

    /// Records a time that was measured elsewhere.
    pub fn record(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.seconds.record_duration(time);
        // Looking first keeps the line shared while neither bound moves.
        if nanoseconds < self.0.least_ns.load(Ordering::Relaxed) {
            self.0.least_ns.fetch_min(nanoseconds, Ordering::Relaxed);
        }
        if nanoseconds > self.0.greatest_ns.load(Ordering::Relaxed) {
            self.0.greatest_ns.fetch_max(nanoseconds, Ordering::Relaxed);
        }
    }

    fn new(registry: &Registry, name: &str) -> Self {
        let make = |registry: &Registry| {
            let help = "Time in spans of the program.";
            registry.histogram(SECONDS, help, &[("span", name)], buckets())
        };
        let seconds = make(registry).unwrap_or_else(|_| {
            // The registry has the name for something else: the report has it all the same.
            make(&Registry::default()).expect("an empty registry takes a valid name")
        });
        let (least_ns, greatest_ns) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        Self(Arc::new(Inner { seconds, least_ns, greatest_ns }))
    }

    /// Returns the figures, or nothing while there are none.
    fn row(&self, name: &str) -> Option<SpanRow> {
        let read = self.0.seconds.read();
        let count = read.count();
        let (min, max) = (
            Duration::from_nanos(self.0.least_ns.load(Ordering::Relaxed)),
            Duration::from_nanos(self.0.greatest_ns.load(Ordering::Relaxed)),
        );
        if count == 0 || min > max {
            return None;
        }
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let total = time(read.sum());
        // A bucket may reach beyond what was seen.
        let quantile = |q: f64| time(read.quantile(q).unwrap_or_default()).clamp(min, max);
        #[expect(clippy::cast_precision_loss, reason = "an average needs no more than 53 bits")]
        let mean = time(read.sum() / count as f64);
        Some(SpanRow {
            name: name.to_owned(),
            count,
            total,
            mean,
            min,
            max,
            p50: quantile(0.50),
            p95: quantile(0.95),
            p99: quantile(0.99),
        })
    }
}

impl Guard {
    /// Ends the span without recording it.
    pub fn discard(mut self) {
        self.is_kept = false;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_kept {
            self.span.record(clock::now().saturating_duration_since(self.start));
        }
    }
}

impl Report {
    /// Renders aligned columns for a terminal.
    pub fn table(&self) -> String {
        let mut text = columns(&HEADS.map(str::to_owned), &self.cells());
        if !self.counts.is_empty() {
            let counts: Vec<_> = self.counts.iter().map(CountRow::cells).collect();
            text.push('\n');
            text.push_str(&columns(&["event".to_owned(), "count".to_owned()], &counts));
        }
        text
    }

    /// Renders Markdown tables.
    pub fn markdown(&self) -> String {
        let mut text = markdown(&HEADS.map(str::to_owned), &self.cells());
        if !self.counts.is_empty() {
            let counts: Vec<_> = self.counts.iter().map(CountRow::cells).collect();
            text.push('\n');
            text.push_str(&markdown(&["event".to_owned(), "count".to_owned()], &counts));
        }
        text
    }

    /// Renders indented JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names are keys' values, and numbers are finite")
    }

    fn cells(&self) -> Vec<[String; 9]> {
        let cells = |row: &SpanRow| {
            let times = [row.total, row.mean, row.min, row.max, row.p50, row.p95, row.p99];
            let [total, mean, min, max, p50, p95, p99] = times.map(shown);
            [row.name.clone(), row.count.to_string(), total, mean, min, max, p50, p95, p99]
        };
        self.spans.iter().map(cells).collect()
    }
}

impl CountRow {
    fn cells(&self) -> [String; 2] {
        [self.name.clone(), self.count.to_string()]
    }
}

/// Finds an entry by name, or makes it; beyond the limit every new name is the same entry.
fn named<'a, T>(
    entries: &'a mut BTreeMap<String, T>,
    name: &str,
    make: impl FnOnce(&str) -> T,
) -> &'a mut T {
    let is_new = !entries.contains_key(name);
    let name = if is_new && entries.len() >= NAMES_MAX { OTHER } else { name };
    entries.entry(name.to_owned()).or_insert_with(|| make(name))
}

fn own_registry_counter() -> Counter {
    let counter = Registry::default().counter(EVENTS, "Events of the program.", &[]);
    counter.expect("an empty registry takes a valid name")
}

/// From a nanosecond to a day and a half.
fn buckets() -> Buckets {
    Buckets::log_linear(1e-9, 131_072.0)
}

/// Writes a time with three digits in the unit that suits it.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "us"),
        s => (s * 1e9, "ns"),
    };
    let digits = if value >= 100.0 { 0 } else { 2 - usize::from(value >= 10.0) };
    format!("{value:.digits$} {unit}")
}

fn columns<const N: usize>(heads: &[String; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(heads).chain(rows) {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = " ".repeat(width - cell.chars().count());
            // Names to the left, numbers to the right.
            let parts = if column == 0 { [cell, &gap] } else { [&gap, cell] };
            let between = if column == 0 { "" } else { "  " };
            text.extend([between, parts[0], parts[1]]);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn markdown<const N: usize>(heads: &[String; N], rows: &[[String; N]]) -> String {
    let line = |cells: &[String; N]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|---|{}\n", "---:|".repeat(N - 1));
    line(heads) + &rule + &rows.iter().map(line).collect::<String>()
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

const HEADS: [&str; 9] = ["span", "count", "total", "mean", "min", "max", "p50", "p95", "p99"];
const SECONDS: &str = "tidemill_profile_span_seconds";
const EVENTS: &str = "tidemill_profile_events_total";
const OTHER: &str = "(other)";
const NAMES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (nanoseconds, want) in [
            (0, "0.00 ns"),
            (999, "999 ns"),
            (1_500, "1.50 us"),
            (25_100_000, "25.1 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(shown(Duration::from_nanos(nanoseconds)), want);
        }
    }
}
