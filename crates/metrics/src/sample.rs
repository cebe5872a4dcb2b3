//! The numbers of a registry at one moment, one after the other: what the stream and the history
//! are made of, and what a budget is held against.

use std::time::{Instant, SystemTime};

use crate::family::{Instrument, Series};
use crate::registry::{Registry, series_name};
use crate::spelling::push_f64;

/// One number of one series.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    part: Part,
    key: Key,
    created: SystemTime,
    value: Value,
}

/// What a sample says.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Value {
    /// Something that only grows: a counter, a histogram's or summary's count.
    Count(u64),
    /// Anything else: a gauge, a sum, a quantile.
    Number(f64),
}

/// Which number of a registry; a series that was removed and comes back is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    series: u64,
    part: u8,
}

/// Which number of an instrument that has several.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Value,
    Count,
    Sum,
    Quantile(f64),
}

impl Sample<'_> {
    /// Returns the name as the text formats write it: `name_count{label="value"}`.
    pub fn series(&self) -> String {
        match self.part {
            Part::Value => series_name(self.name, self.labels),
            Part::Count => series_name(&format!("{}_count", self.name), self.labels),
            Part::Sum => series_name(&format!("{}_sum", self.name), self.labels),
            Part::Quantile(q) => {
                let mut labels = self.labels.to_owned();
                labels.push_str(if labels.is_empty() { "quantile=\"" } else { ",quantile=\"" });
                push_f64(&mut labels, q, false);
                labels.push('"');
                series_name(self.name, &labels)
            }
        }
    }

    /// Returns the value.
    pub fn value(&self) -> Value {
        self.value
    }

    /// Returns when the series began.
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// Returns whether this is the whole of a counter.
    pub(crate) fn is_counter(&self) -> bool {
        self.part == Part::Value && matches!(self.value, Value::Count(_))
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }
}

impl Value {
    /// Returns the value as a number; a count past 2^53 is rounded.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Number(number) => number,
        }
    }

    /// Returns whether both are the same, bit by bit, so that NaN is itself.
    pub(crate) fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl Registry {
    /// Visits every number in the order of names and label values. It holds the registry's lock.
    pub fn each_sample(&self, now: Instant, mut visit: impl FnMut(Sample<'_>)) {
        for (name, family) in self.families().iter() {
            for series in family.series.values() {
                each_part(series, now, |number, part, value| {
                    let key = Key { series: series.id, part: number };
                    let created = series.created;
                    visit(Sample { name, labels: &series.labels, part, key, created, value });
                });
            }
        }
    }
}

fn each_part(series: &Series, now: Instant, mut visit: impl FnMut(u8, Part, Value)) {
    match &series.instrument {
        Instrument::Counter(counter) => visit(0, Part::Value, Value::Count(counter.value())),
        Instrument::Gauge(gauge) => visit(0, Part::Value, Value::Number(gauge.value() as f64)),
        Instrument::FloatGauge(gauge) => visit(0, Part::Value, Value::Number(gauge.value())),
        Instrument::Histogram(histogram) => {
            let read = histogram.read();
            visit(0, Part::Count, Value::Count(read.count()));
            visit(1, Part::Sum, Value::Number(read.sum()));
        }
        Instrument::Summary(summary) => {
            let read = summary.read(now);
            visit(0, Part::Count, Value::Count(read.count));
            visit(1, Part::Sum, Value::Number(read.sum));
            for (number, (q, value)) in (2..).zip(read.quantiles) {
                let value = Value::Number(value.unwrap_or(f64::NAN));
                visit(number, Part::Quantile(q), value);
            }
        }
    }
}
