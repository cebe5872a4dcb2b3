//! Exemplars: a pointer from a bucket or counter to one of the events behind it.

use std::time::SystemTime;

use crate::error::{Error, Kind};
use crate::name::is_word;
use crate::spelling::spell_labels;

/// Labels that name an event, such as a trace; spelled once, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemplar {
    /// As OpenMetrics writes them, without braces.
    pub(crate) spelled: std::sync::Arc<str>,
    pub(crate) labels: std::sync::Arc<[(String, String)]>,
}

impl Exemplar {
    /// Checks and spells labels.
    ///
    /// # Errors
    ///
    /// When a label's name is malformed or given twice, or names and values have more than 128
    /// characters together, the most that OpenMetrics 1.0 permits.
    pub fn new(labels: &[(&str, &str)]) -> Result<Self, Error> {
        let invalid =
            |label: &str, reason| Error::from(Kind::Exemplar { label: label.to_owned(), reason });
        if let Some((name, _)) = labels.iter().find(|(name, _)| !is_word(name)) {
            let reason = "it begins with a letter or _ and holds only letters, digits and _";
            return Err(invalid(name, reason));
        }
        let is_twice = |at: usize| labels[..at].iter().any(|(name, _)| *name == labels[at].0);
        if let Some(at) = (0..labels.len()).find(|&at| is_twice(at)) {
            return Err(invalid(labels[at].0, "it is given twice"));
        }
        let length =
            labels.iter().map(|(name, value)| name.chars().count() + value.chars().count());
        if length.sum::<usize>() > CHARS_MAX {
            let first = labels.first().map_or("", |(name, _)| name);
            return Err(invalid(first, "all names and values have at most 128 characters"));
        }
        let owned = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self { spelled: spell_labels(labels).into(), labels: owned.collect() })
    }
}

/// An exemplar with its value and time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) exemplar: Exemplar,
    pub(crate) value: f64,
    pub(crate) at: SystemTime,
}

const CHARS_MAX: usize = 128;
