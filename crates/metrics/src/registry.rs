//! The registry: families by name, series by label values, in order.
//!
//! One mutex guards the maps. It is taken to register, remove and render, never to record. Asking
//! for a name and labels that exist hands out the same instrument, so counters go on when a
//! configuration is loaded again.
//!
//! Families are kept by name (a counter's with `_total`); see `name.rs` for why that keeps sample
//! names apart. Label order does not matter. A family that loses its last series is forgotten, with
//! its type and help.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::cells::Arena;
use crate::clock;
use crate::error::{Error, Kind};
use crate::family::{Families, Family, FamilyKind, Instrument, LabelValues, Series, Want};
use crate::histogram::Histogram;
use crate::layout::{Buckets, Layout};
use crate::name::{check_unit, counter_name, plain_name, sorted_labels};
use crate::scalar::{Counter, FloatGauge, Gauge};
use crate::slot::SLOTS;
use crate::summary::{Summary, SummaryOptions};

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
    arena: Arc<Arena>,
    families: Mutex<Families>,
    /// What counters had in an earlier process, until they are asked for.
    carried: Mutex<HashMap<String, Carried>>,
    next_id: AtomicU64,
    overflowed: Counter,
    refused: Counter,
}

/// What a counter goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Its last value.
    pub value: u64,
    /// When it began to count.
    pub created: SystemTime,
}

/// What a registry may use.
///
/// # Defaults
///
/// 8 slots, 10,000 series, an overflow series past them, the system's clock, recording on.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads with cells of their own, at most 64: 8 bytes of each counter and one copy of each
    /// histogram's buckets apiece. As many as threads record at once; further ones share a cell.
    pub slots: usize,
    /// Series in one family, at least 1; what happens to the next one says `overflow`.
    pub series_max: usize,
    /// What a series past `series_max` gets.
    pub overflow: Overflow,
    /// Reads the time for `_created`.
    pub wall_clock: fn() -> SystemTime,
    /// Without it every instrument does nothing when it is written to, and shows zero.
    pub is_on: bool,
}

/// What a family that is full does with one more series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Overflow {
    /// All that is too much is one series, whose labels all have the value `overflow`. How often
    /// that was is counted by [`Registry::overflowed`] and `tidemill_metrics_overflow_total`.
    Series,
    /// An error for which [`Error::is_full`] holds.
    Error,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            slots: 8,
            series_max: 10_000,
            overflow: Overflow::Series,
            wall_clock: clock::wall,
            is_on: true,
        }
    }
}

impl Registry {
    /// Makes an empty registry.
    pub fn new(options: Options) -> Self {
        let options = Options {
            slots: options.slots.min(SLOTS),
            series_max: options.series_max.max(1),
            ..options
        };
        let arena = Arena::new(options.is_on.then_some(options.slots));
        Self(Arc::new(Inner {
            overflowed: Counter::new(arena.counter(), 0),
            refused: Counter::new(arena.counter(), 0),
            arena,
            options,
            families: Mutex::default(),
            carried: Mutex::default(),
            next_id: AtomicU64::new(0),
        }))
    }

    /// Returns the registry that the whole process shares, for code that is not given one.
    pub fn global() -> &'static Self {
        static GLOBAL: LazyLock<Registry> = LazyLock::new(Registry::default);
        &GLOBAL
    }

    /// Returns the counter of this name and these labels, made at zero when it is not there, or at
    /// what [`carry`](Self::carry) has for it.
    ///
    /// # Errors
    ///
    /// When the name does not end in `_total`, when name or labels are malformed, when the family
    /// differs in type, help or label names, or when it is full and [`Overflow::Error`] is chosen.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
    ) -> Result<Counter, Error> {
        let want = Want { name: counter_name(name)?, help, kind: FamilyKind::Counter };
        let make =
            |_: &_, carried| Instrument::Counter(Counter::new(self.0.arena.counter(), carried));
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
    /// or when it is full and [`Overflow::Error`] is chosen.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Gauge, Error> {
        let want = Want { name: plain_name(name)?, help, kind: FamilyKind::Gauge };
        let make = |_: &_, _| Instrument::Gauge(Gauge::new(self.0.options.is_on));
        match self.series(&want, labels, make)? {
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
        let make = |_: &_, _| Instrument::FloatGauge(FloatGauge::new(self.0.options.is_on));
        match self.series(&want, labels, make)? {
            Instrument::FloatGauge(gauge) => Ok(gauge),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Returns the histogram of this name and these labels, made empty when it is not there.
    ///
    /// # Errors
    ///
    /// When name, labels or buckets are malformed, when the family differs in type, help, label
    /// names or buckets, or when it is full and [`Overflow::Error`] is chosen.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        buckets: impl Into<Buckets>,
    ) -> Result<Histogram, Error> {
        let layout = buckets.into().into_layout();
        layout.check(name)?;
        let kind = FamilyKind::Histogram { layout: Arc::new(layout) };
        let want = Want { name: plain_name(name)?, help, kind };
        let make = |kind: &FamilyKind, _| Instrument::Histogram(self.new_histogram(kind));
        match self.series(&want, labels, make)? {
            Instrument::Histogram(histogram) => Ok(histogram),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Returns the summary of this name and these labels, made empty when it is not there.
    ///
    /// # Errors
    ///
    /// When name, labels or options are malformed, when the family differs in type, help, label
    /// names or options, or when it is full and [`Overflow::Error`] is chosen.
    pub fn summary(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        options: &SummaryOptions,
    ) -> Result<Summary, Error> {
        let layout = Layout::logarithmic(options.relative_error, options.min, options.max);
        check_summary(name, options)?;
        layout.check(name)?;
        let kind = FamilyKind::Summary { options: options.clone(), layout: Arc::new(layout) };
        let want = Want { name: plain_name(name)?, help, kind };
        let make = |kind: &FamilyKind, _| {
            Instrument::Summary(Summary::new(self.new_histogram(kind), options, clock::now()))
        };
        match self.series(&want, labels, make)? {
            Instrument::Summary(summary) => Ok(summary),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Says in which unit a family is. A name that ends in a base unit (`_seconds`, `_bytes`,
    /// `_ratio` and others, before `_total`) has that one already.
    ///
    /// # Errors
    ///
    /// When the name does not end in the unit, or there is no such family.
    pub fn set_unit(&self, name: &str, unit: &str) -> Result<(), Error> {
        check_unit(name, unit)?;
        let missing =
            || Kind::Name { name: name.to_owned(), reason: "no family of this name is registered" };
        self.families().get_mut(name).ok_or_else(missing)?.unit = Some(unit.to_owned());
        Ok(())
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

    /// Lets counters that are registered from now on go on from these values instead of zero.
    /// A counter is called as it is rendered: `name{label="value",..}`, labels in order. Those that
    /// exist already are left as they are; each value is used once.
    pub fn carry(&self, counters: impl IntoIterator<Item = (String, Carried)>) {
        self.0.carried.lock().unwrap_or_else(PoisonError::into_inner).extend(counters);
    }

    /// Returns how often a series was asked for past the most that its family may have.
    pub fn overflowed(&self) -> u64 {
        self.0.overflowed.value()
    }

    /// Returns how many values histograms and summaries left out for being negative, infinite or
    /// NaN.
    pub fn refused(&self) -> u64 {
        self.0.refused.value()
    }

    /// Makes the registry show what it turned away itself, as `tidemill_metrics_overflow_total` and
    /// `tidemill_metrics_refused_values_total`.
    ///
    /// # Errors
    ///
    /// When one of the names is taken.
    pub fn show_own(&self) -> Result<(), Error> {
        let own = [
            (
                "tidemill_metrics_overflow_total",
                "Series asked for past the most that their family may have.",
                &self.0.overflowed,
            ),
            (
                "tidemill_metrics_refused_values_total",
                "Values left out of histograms for being negative, infinite or NaN.",
                &self.0.refused,
            ),
        ];
        for (name, help, counter) in own {
            let want = Want { name, help, kind: FamilyKind::Counter };
            self.series(&want, &[], |_, _| Instrument::Counter(counter.clone()))?;
        }
        Ok(())
    }

    /// Returns whether instruments record.
    pub fn is_on(&self) -> bool {
        self.0.options.is_on
    }

    pub(crate) fn families(&self) -> MutexGuard<'_, Families> {
        self.0.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a histogram with the buckets of its family.
    fn new_histogram(&self, kind: &FamilyKind) -> Histogram {
        let (FamilyKind::Histogram { layout } | FamilyKind::Summary { layout, .. }) = kind else {
            unreachable!("{SAME_KIND}")
        };
        let Options { slots, is_on, .. } = self.0.options;
        Histogram::new(Arc::clone(layout), is_on.then_some(slots), self.0.refused.clone())
    }

    fn series(
        &self,
        want: &Want<'_>,
        labels: &[(&str, &str)],
        make: impl FnOnce(&FamilyKind, u64) -> Instrument,
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
        let mut values = label_values(&labels);
        if let Some(series) = family.series.get(&values) {
            return Ok(series.instrument.clone());
        }
        // One place more than `series_max` is for the overflow series.
        if family.series.len() >= self.0.options.series_max {
            self.0.overflowed.inc();
            if self.0.options.overflow == Overflow::Error {
                let max = self.0.options.series_max;
                return Err(Kind::Full { name: want.name.to_owned(), max });
            }
            values.iter_mut().for_each(|value| *value = OVERFLOW.into());
            if let Some(series) = family.series.get(&values) {
                return Ok(series.instrument.clone());
            }
        }
        let labels = family.spell(&values);
        let carried = self.take_carried(want, &labels);
        let instrument = make(&family.kind, carried.map_or(0, |carried| carried.value));
        let series = Series {
            id: self.0.next_id.fetch_add(1, Relaxed),
            labels,
            created: carried.map_or_else(self.0.options.wall_clock, |carried| carried.created),
            instrument: instrument.clone(),
        };
        family.series.insert(values, series);
        Ok(instrument)
    }

    fn take_carried(&self, want: &Want<'_>, labels: &str) -> Option<Carried> {
        if want.kind != FamilyKind::Counter {
            return None;
        }
        let mut carried = self.0.carried.lock().unwrap_or_else(PoisonError::into_inner);
        if carried.is_empty() { None } else { carried.remove(&series_name(want.name, labels)) }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

/// Calls a series as it is rendered.
pub(crate) fn series_name(name: &str, labels: &str) -> String {
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{labels}}}") }
}

fn check_summary(name: &str, options: &SummaryOptions) -> Result<(), Kind> {
    let SummaryOptions { quantiles, window, min, max, .. } = options;
    let reason = if quantiles.len() > QUANTILES_MAX {
        "it has at most 16 quantiles"
    } else if !quantiles.iter().all(|q| (0.0..=1.0).contains(q)) {
        "each quantile is from 0 to 1"
    } else if !quantiles.is_sorted_by(|a, b| a < b) {
        "each quantile is greater than the one before"
    } else if window.as_secs() == 0 {
        "the window is at least a second"
    } else if !(*min > 0.0 && min < max && max.is_finite()) {
        "the least value is above zero and below the greatest"
    } else {
        return Ok(());
    };
    Err(Kind::Summary { name: name.to_owned(), reason })
}

fn label_values(labels: &[(&str, &str)]) -> LabelValues {
    labels.iter().map(|&(_, value)| value.into()).collect()
}

const QUANTILES_MAX: usize = 16;
const OVERFLOW: &str = "overflow";
const SAME_KIND: &str = "a family's instruments are of the family's kind";
