//! What a metric and a label may be called: the Prometheus data model, less what would be
//! ambiguous in one of the text formats.
//!
//! A name, for a counter without its `_total`, never ends in a suffix that the formats add
//! (`_total`, `_bucket`, `_count`, `_sum`, `_created`). So two families of different names can
//! never render the same sample name, and comparing names is the whole check.

use crate::error::Kind;

/// Checks a counter's name and returns it.
pub(crate) fn counter_name(name: &str) -> Result<&str, Kind> {
    match name.strip_suffix("_total") {
        Some(base) => check_base(name, base).map(|()| name),
        None => Err(invalid(name, "a counter's name ends in _total")),
    }
}

/// Checks the name of a gauge or histogram and returns it.
pub(crate) fn plain_name(name: &str) -> Result<&str, Kind> {
    check_base(name, name).map(|()| name)
}

/// Checks that a unit may be given to a name: OpenMetrics wants it at the name's end.
pub(crate) fn check_unit(name: &str, unit: &str) -> Result<(), Kind> {
    let base = name.strip_suffix("_total").unwrap_or(name);
    let is_end = base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
    if is_word(unit) && is_end {
        return Ok(());
    }
    let reason = "a unit is a word, and the metric's name ends in _ and the unit";
    Err(Kind::Unit { name: name.to_owned(), unit: unit.to_owned(), reason })
}

/// Returns the unit that a name ends in, if it is one of the base units of the Prometheus guide.
pub(crate) fn base_unit(name: &str) -> Option<&'static str> {
    let base = name.strip_suffix("_total").unwrap_or(name);
    BASE_UNITS.into_iter().find(|unit| check_unit(base, unit).is_ok())
}

/// Checks label names and returns the labels ordered by name.
pub(crate) fn sorted_labels<'a>(
    name: &str,
    labels: &[(&'a str, &'a str)],
) -> Result<Vec<(&'a str, &'a str)>, Kind> {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let mut previous = "";
    for &(label, _) in &sorted {
        let reason = if !is_word(label) {
            "it begins with a letter or _ and holds only letters, digits and _"
        } else if label.starts_with("__") {
            "names beginning with __ belong to Prometheus"
        } else if label == "le" || label == "quantile" {
            "the text formats use it for buckets and quantiles"
        } else if label == previous {
            "it is given twice"
        } else {
            previous = label;
            continue;
        };
        return Err(Kind::Label { name: name.to_owned(), label: label.to_owned(), reason });
    }
    Ok(sorted)
}

fn check_base(name: &str, base: &str) -> Result<(), Kind> {
    if !is_word(base) {
        return Err(invalid(
            name,
            "it begins with a letter or _ and holds only letters, digits and _",
        ));
    }
    if SUFFIXES.iter().any(|suffix| base.ends_with(suffix)) {
        return Err(invalid(
            name,
            "_total belongs to counters, and _bucket, _count, _sum and _created to the text \
             formats",
        ));
    }
    Ok(())
}

/// The data model also allows `:` in a metric's name, but keeps it for recording rules.
pub(crate) fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn invalid(name: &str, reason: &'static str) -> Kind {
    Kind::Name { name: name.to_owned(), reason }
}

const BASE_UNITS: [&str; 8] =
    ["seconds", "bytes", "ratio", "celsius", "meters", "volts", "amperes", "joules"];
const SUFFIXES: [&str; 5] = ["_total", "_bucket", "_count", "_sum", "_created"];
