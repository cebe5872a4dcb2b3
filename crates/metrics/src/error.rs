//! Why an instrument could not be had. The message names the metric and what would be right.

/// Why the registry did not hand out an instrument, or two readings do not fit together; what was
/// asked is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

impl Error {
    /// Returns true when a name, a label, a unit or what is said of buckets and quantiles is
    /// malformed.
    pub fn is_invalid(&self) -> bool {
        !self.is_conflict() && !self.is_full()
    }

    /// Returns true when the name is taken by a family of another type, help, label names or
    /// bounds, or two distributions have different buckets.
    pub fn is_conflict(&self) -> bool {
        matches!(self.0, Kind::Conflict { .. } | Kind::Merge)
    }

    /// Returns true when the family holds as many series as it may; removing one makes room.
    pub fn is_full(&self) -> bool {
        matches!(self.0, Kind::Full { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Kind {
    #[error("metric name \"{name}\" is not valid: {reason}")]
    Name { name: String, reason: &'static str },
    #[error("label \"{label}\" of metric \"{name}\" is not valid: {reason}")]
    Label { name: String, label: String, reason: &'static str },
    #[error("unit \"{unit}\" of metric \"{name}\" is not valid: {reason}")]
    Unit { name: String, unit: String, reason: &'static str },
    #[error("label \"{label}\" of an exemplar is not valid: {reason}")]
    Exemplar { label: String, reason: &'static str },
    #[error("bounds of histogram \"{name}\" are not valid: {reason}")]
    Bounds { name: String, reason: &'static str },
    #[error("summary \"{name}\" is not valid: {reason}")]
    Summary { name: String, reason: &'static str },
    #[error("metric \"{name}\" is registered with another {property}")]
    Conflict { name: String, property: &'static str },
    #[error(
        "metric \"{name}\" has {max} series, the most it may have; remove some, or raise the \
         registry's series_max"
    )]
    Full { name: String, max: usize },
    #[error("distributions with different buckets do not merge; make both with the same ones")]
    Merge,
}
