//! Why an instrument could not be had. The message names the metric and what would be right.

/// Why the registry did not hand out an instrument; the registry is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

impl Error {
    /// Returns true when a name, a label or a list of bounds is malformed.
    pub fn is_invalid(&self) -> bool {
        matches!(self.0, Kind::Name { .. } | Kind::Label { .. } | Kind::Bounds { .. })
    }

    /// Returns true when the name is taken by a family of another type, help, label names or
    /// bounds.
    pub fn is_conflict(&self) -> bool {
        matches!(self.0, Kind::Conflict { .. })
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
    #[error("bounds of histogram \"{name}\" are not valid: {reason}")]
    Bounds { name: String, reason: &'static str },
    #[error("metric \"{name}\" is registered with another {property}")]
    Conflict { name: String, property: &'static str },
    #[error("metric \"{name}\" has {max} series, the most it may have")]
    Full { name: String, max: usize },
}
