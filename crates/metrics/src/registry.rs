//! The registry: families by name, series by label values, in order.
//!
//! One mutex guards the maps. It is taken to register, remove and render, never to record. Asking
//! for a name and labels that exist hands out the same instrument, so counters go on when a
//! configuration is loaded again.
//!
//! Families are kept by name (a counter's with `_total`); see `name.rs` for why that keeps sample
//! names apart. Label order does not matter. A family that loses its last series is forgotten, with
//! its type and help.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, Kind};
use crate::exposition::spell_labels;
use crate::histogram::{Histogram, check_bounds};
use crate::name::{counter_name, plain_name, sorted_labels};
use crate::scalar::{Counter, FloatGauge, Gauge};

/// A set of instruments; clones are the same set.
///
/// # Examples
///
/// ```
/// let registry = tidemill_metrics::Registry::default();
/// let hits = registry.counter("cache_hits_total", "Look-ups answered.", &[("tier", "l1")])?;
/// hits.inc();
/// assert!(registry.render_prometheus().contains("cache_hits_total{tier=\"l1\"} 1\n"));
/// # Ok::<(), tidemill_metrics::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    families: Mutex<Families>,
}

/// What a registry may use.
///
/// # Defaults
///
/// 8 shards, 10,000 series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Cells of each counter and histogram, 128 bytes or more apiece; as many as threads write at
    /// once. Rounded up to a power of two, at least 1 and at most 256.
    pub shards: usize,
    /// Series in one family, at least 1; the next one is an error.
    pub series_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { shards: 8, series_max: 10_000 }
    }
}

impl Registry {
    /// Makes an empty registry.
    pub fn new(options: Options) -> Self {
        let options = Options {
            shards: options.shards.clamp(1, SHARDS_MAX),
            series_max: options.series_max.max(1),
        };
        Self(Arc::new(Inner { options, families: Mutex::default() }))
    }

    /// Returns the counter of this name and these labels, made at zero when it is not there.
    ///
    /// # Errors
    ///
    /// When the name does not end in `_total`, when name or labels are malformed, when the family
    /// differs in type, help or label names, or when it is full.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
    ) -> Result<Counter, Error> {
        let want = Want { name: counter_name(name)?, help, kind: FamilyKind::Counter };
        let make = || Instrument::Counter(Counter::new(self.0.options.shards));
        match self.series(&want, labels, make)? {
            Instrument::Counter(counter) => Ok(counter),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Returns the gauge of this name and these labels, made at zero when it is not there.
    ///
    /// # Errors
    ///
    /// When name or labels are malformed, when the family differs in type, help or label names,
    /// or when it is full.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Gauge, Error> {
        let want = Want { name: plain_name(name)?, help, kind: FamilyKind::Gauge };
        match self.series(&want, labels, || Instrument::Gauge(Gauge::default()))? {
            Instrument::Gauge(gauge) => Ok(gauge),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Returns the float gauge of this name and these labels, made at zero when it is not there.
    ///
    /// # Errors
    ///
    /// As for [`gauge`](Self::gauge); whole and float gauges do not mix in a family.
    pub fn float_gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
    ) -> Result<FloatGauge, Error> {
        let want = Want { name: plain_name(name)?, help, kind: FamilyKind::FloatGauge };
        match self.series(&want, labels, || Instrument::FloatGauge(FloatGauge::default()))? {
            Instrument::FloatGauge(gauge) => Ok(gauge),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Returns the histogram of this name and these labels, made empty when it is not there.
    /// `bounds` are the finite `le` bounds, ascending; +Inf is added.
    ///
    /// # Errors
    ///
    /// When name, labels or bounds are malformed, when the family differs in type, help, label
    /// names or bounds, or when it is full.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
    ) -> Result<Histogram, Error> {
        check_bounds(name, bounds)?;
        let kind = FamilyKind::Histogram { bounds: bounds.into() };
        let want = Want { name: plain_name(name)?, help, kind };
        let make = || Instrument::Histogram(Histogram::new(bounds, self.0.options.shards));
        match self.series(&want, labels, make)? {
            Instrument::Histogram(histogram) => Ok(histogram),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Takes a series out, so that it is no longer rendered; returns whether it was there.
    /// Handles to it stay usable and count for nobody. Asked for again, it begins at zero.
    pub fn remove(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let mut families = self.families();
        let Some(family) = families.get_mut(name) else { return false };
        if !family.has_label_names(&labels) {
            return false;
        }
        let removed = family.series.remove(&label_values(&labels)).is_some();
        if family.series.is_empty() {
            families.remove(name);
        }
        removed
    }

    pub(crate) fn families(&self) -> MutexGuard<'_, Families> {
        self.0.families.lock().expect("no code panics while it holds the lock")
    }

    fn series(
        &self,
        want: &Want<'_>,
        labels: &[(&str, &str)],
        make: impl FnOnce() -> Instrument,
    ) -> Result<Instrument, Kind> {
        let labels = sorted_labels(want.name, labels)?;
        let mut families = self.families();
        let family = match families.get_mut(want.name) {
            Some(family) => {
                family.check(want, &labels)?;
                family
            }
            None => families.entry(want.name.to_owned()).or_insert(Family::new(want, &labels)),
        };
        let values = label_values(&labels);
        if let Some(series) = family.series.get(&values) {
            return Ok(series.instrument.clone());
        }
        if family.series.len() >= self.0.options.series_max {
            let max = self.0.options.series_max;
            return Err(Kind::Full { name: want.name.to_owned(), max });
        }
        let instrument = make();
        let series = Series { labels: spell_labels(&labels), instrument: instrument.clone() };
        family.series.insert(values, series);
        Ok(instrument)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

/// Families by name.
pub(crate) type Families = BTreeMap<String, Family>;

/// All series of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: FamilyKind,
    /// In order; each key of `series` has a value for each.
    pub(crate) label_names: Vec<String>,
    pub(crate) series: BTreeMap<Vec<String>, Series>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FamilyKind {
    Counter,
    Gauge,
    FloatGauge,
    Histogram { bounds: Box<[f64]> },
}

/// One instrument with its labels as both formats spell them, without braces.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: String,
    pub(crate) instrument: Instrument,
}

#[derive(Debug, Clone)]
pub(crate) enum Instrument {
    Counter(Counter),
    Gauge(Gauge),
    FloatGauge(FloatGauge),
    Histogram(Histogram),
}

/// The family that a caller asks for.
struct Want<'a> {
    name: &'a str,
    help: &'a str,
    kind: FamilyKind,
}

impl Family {
    fn new(want: &Want<'_>, labels: &[(&str, &str)]) -> Self {
        Self {
            help: want.help.to_owned(),
            kind: want.kind.clone(),
            label_names: labels.iter().map(|&(label, _)| label.to_owned()).collect(),
            series: BTreeMap::new(),
        }
    }

    fn check(&self, want: &Want<'_>, labels: &[(&str, &str)]) -> Result<(), Kind> {
        let property = match (&self.kind, &want.kind) {
            (FamilyKind::Histogram { bounds }, FamilyKind::Histogram { bounds: other })
                if bounds != other =>
            {
                "set of bounds"
            }
            (kind, other) if kind != other => "type",
            _ if self.help != want.help => "help",
            _ if !self.has_label_names(labels) => "set of label names",
            _ => return Ok(()),
        };
        Err(Kind::Conflict { name: want.name.to_owned(), property })
    }

    fn has_label_names(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().map(|&(label, _)| label).eq(self.label_names.iter().map(String::as_str))
    }
}

fn label_values(labels: &[(&str, &str)]) -> Vec<String> {
    labels.iter().map(|&(_, value)| value.to_owned()).collect()
}

const SHARDS_MAX: usize = 256;
const SAME_KIND: &str = "a family's instruments are of the family's kind";
