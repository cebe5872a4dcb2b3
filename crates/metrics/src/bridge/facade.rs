//! A recorder for the `metrics` facade: what crates record through its macros is in our registry.
//!
//! Names of the facade are free text, ours are not: a character that may not be there becomes `_`,
//! a counter gets the end `_total`, anything else loses an end that is the formats' own. Histograms
//! whose name ends in `_seconds` get the buckets for seconds, others from 0.001 to 10^9. What does
//! not fit (a family with other labels or another type) gets a handle that does nothing and is
//! counted by `tidemill_metrics_bridge_refused_total`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use crate::{Buckets, Counter, Error, FloatGauge, Histogram, Registry};

/// Hands out our instruments to the macros of the `metrics` facade.
///
/// # Examples
///
/// ```
/// let registry = tidemill_metrics::Registry::default();
/// let recorder = tidemill_metrics::FacadeRecorder::new(&registry)?;
/// metrics::with_local_recorder(&recorder, || metrics::counter!("http.requests").increment(2));
/// assert!(registry.render_prometheus().contains("\nhttp_requests_total 2\n"));
/// # Ok::<(), tidemill_metrics::Error>(())
/// ```
#[derive(Debug)]
pub struct FacadeRecorder {
    registry: Registry,
    refused: Counter,
    /// Help by the facade's name, for families that come later; bounded by [`HELPS_MAX`].
    helps: Mutex<HashMap<String, String>>,
}

impl FacadeRecorder {
    /// Makes a recorder for `metrics::set_global_recorder` or `with_local_recorder`.
    ///
    /// # Errors
    ///
    /// When the name of its own counter is taken.
    pub fn new(registry: &Registry) -> Result<Self, Error> {
        let refused = registry.counter(
            "tidemill_metrics_bridge_refused_total",
            "Metrics of other crates that did not fit.",
            &[],
        )?;
        Ok(Self { registry: registry.clone(), refused, helps: Mutex::default() })
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        let mut helps = self.helps.lock().unwrap_or_else(PoisonError::into_inner);
        if helps.len() < HELPS_MAX {
            helps.insert(name.as_str().to_owned(), help.to_string());
        }
    }

    /// Registers what `key` asks for; `None` when it does not fit.
    fn register<T>(
        &self,
        key: &Key,
        suffix: &str,
        register: impl FnOnce(&str, &str, &[(&str, &str)]) -> Result<T, Error>,
    ) -> Option<T> {
        let name = plain(key.name()) + suffix;
        let labels: Vec<_> = key.labels().map(|it| (word(it.key()), it.value())).collect();
        let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let helps = self.helps.lock().unwrap_or_else(PoisonError::into_inner);
        let help = helps.get(key.name()).cloned().unwrap_or_default();
        drop(helps);
        register(&name, &help, &labels).inspect_err(|_| self.refused.inc()).ok()
    }
}

impl Recorder for FacadeRecorder {
    fn describe_counter(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> metrics::Counter {
        let register = |name: &str, help: &str, labels: &[(&str, &str)]| {
            self.registry.counter(name, help, labels)
        };
        match self.register(key, "_total", register) {
            Some(counter) => metrics::Counter::from_arc(Arc::new(counter)),
            None => metrics::Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> metrics::Gauge {
        let register = |name: &str, help: &str, labels: &[(&str, &str)]| {
            self.registry.float_gauge(name, help, labels)
        };
        match self.register(key, "", register) {
            Some(gauge) => metrics::Gauge::from_arc(Arc::new(gauge)),
            None => metrics::Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> metrics::Histogram {
        let register = |name: &str, help: &str, labels: &[(&str, &str)]| {
            let is_time = name.ends_with("_seconds");
            let buckets = if is_time { Buckets::seconds() } else { Buckets::log_linear(1e-3, 1e9) };
            self.registry.histogram(name, help, labels, buckets)
        };
        match self.register(key, "", register) {
            Some(histogram) => metrics::Histogram::from_arc(Arc::new(histogram)),
            None => metrics::Histogram::noop(),
        }
    }
}

impl CounterFn for Counter {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        self.add(value.saturating_sub(self.value()));
    }
}

impl GaugeFn for FloatGauge {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        Self::set(self, value);
    }
}

impl HistogramFn for Histogram {
    fn record(&self, value: f64) {
        Self::record(self, value);
    }
}

/// Makes a name fit, without the ends that the formats add.
fn plain(name: &str) -> String {
    let mut name = word(name);
    while let Some(end) = ENDS.into_iter().find(|end| name.len() > end.len() && name.ends_with(end))
    {
        name.truncate(name.len() - end.len());
    }
    name
}

fn word(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let word: String = text.chars().map(fit).collect();
    if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{word}")
    } else {
        word
    }
}

const ENDS: [&str; 5] = ["_total", "_bucket", "_count", "_sum", "_created"];
const HELPS_MAX: usize = 10_000;
