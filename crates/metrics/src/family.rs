//! Families and their series, as the registry keeps them and the expositions read them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Kind;
use crate::histogram::Histogram;
use crate::layout::Layout;
use crate::scalar::{Counter, FloatGauge, Gauge};
use crate::spelling::spell_labels;
use crate::summary::{Summary, SummaryOptions};

/// Families by name.
pub(crate) type Families = BTreeMap<String, Family>;

/// What the labels of a series are, in the order of their names.
pub(crate) type LabelValues = Box<[Box<str>]>;

/// All series of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) kind: FamilyKind,
    /// In order; each key of `series` has a value for each.
    pub(crate) label_names: Vec<String>,
    pub(crate) series: BTreeMap<LabelValues, Series>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FamilyKind {
    Counter,
    Gauge,
    FloatGauge,
    /// All series share the layout.
    Histogram {
        layout: Arc<Layout>,
    },
    Summary {
        options: SummaryOptions,
        layout: Arc<Layout>,
    },
}

/// One instrument with its labels as both text formats spell them, without braces.
#[derive(Debug)]
pub(crate) struct Series {
    /// Never used twice in a registry.
    pub(crate) id: u64,
    pub(crate) labels: Box<str>,
    pub(crate) created: SystemTime,
    pub(crate) instrument: Instrument,
}

#[derive(Debug, Clone)]
pub(crate) enum Instrument {
    Counter(Counter),
    Gauge(Gauge),
    FloatGauge(FloatGauge),
    Histogram(Histogram),
    Summary(Summary),
}

/// The family that a caller asks for.
pub(crate) struct Want<'a> {
    pub(crate) name: &'a str,
    pub(crate) help: &'a str,
    pub(crate) kind: FamilyKind,
}

impl Family {
    pub(crate) fn new(want: &Want<'_>, labels: &[(&str, &str)]) -> Self {
        Self {
            help: want.help.to_owned(),
            unit: crate::name::base_unit(want.name).map(str::to_owned),
            kind: want.kind.clone(),
            label_names: labels.iter().map(|&(label, _)| label.to_owned()).collect(),
            series: BTreeMap::new(),
        }
    }

    pub(crate) fn check(&self, want: &Want<'_>, labels: &[(&str, &str)]) -> Result<(), Kind> {
        let property = match (&self.kind, &want.kind) {
            (FamilyKind::Histogram { layout }, FamilyKind::Histogram { layout: other })
                if layout != other =>
            {
                "set of bounds"
            }
            (FamilyKind::Summary { options, .. }, FamilyKind::Summary { options: other, .. })
                if options != other =>
            {
                "set of quantiles"
            }
            (kind, other) if kind != other => "type",
            _ if self.help != want.help => "help",
            _ if !self.has_label_names(labels) => "set of label names",
            _ => return Ok(()),
        };
        Err(Kind::Conflict { name: want.name.to_owned(), property })
    }

    pub(crate) fn has_label_names(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().map(|&(label, _)| label).eq(self.label_names.iter().map(String::as_str))
    }

    /// Spells the labels of a series with these values.
    pub(crate) fn spell(&self, values: &[Box<str>]) -> Box<str> {
        let names = self.label_names.iter().map(String::as_str);
        let pairs: Vec<_> = names.zip(values.iter().map(|value| &**value)).collect();
        spell_labels(&pairs).into()
    }
}
