//! The clauses of a budget, as `tune.toml` has them.

use std::fmt;

use serde::Deserialize;

use crate::error::Error;
use crate::workload::duration;

/// What a project promises of its workload.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Budget {
    /// Its clauses, in the order of their names.
    pub clauses: Vec<Clause>,
}

/// One promise.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Clause {
    /// What is limited.
    pub quantity: Quantity,
    /// How.
    pub limit: Limit,
    /// The histogram that a quantile is of; the only one where absent.
    pub histogram: Option<String>,
}

/// What can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// Operations in a second.
    Throughput,
    /// A quantile of a histogram that the workload prints, in percent.
    Latency(u8),
    /// Allocated blocks for each operation, or for a run that tells no operations.
    Allocations,
    /// The largest resident set.
    PeakMemory,
    /// Instructions of a run.
    Instructions,
    /// CPU time of a run.
    Cpu,
    /// Wall time of a run.
    Wall,
}

/// A limit in the quantity's base unit (seconds, bytes, counts), or beside the baseline commit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Limit {
    /// At most this.
    Max(f64),
    /// At least this.
    Min(f64),
    /// At most this many times what the baseline commit costs.
    MaxRatio(f64),
    /// At least this many times what the baseline commit reaches.
    MinRatio(f64),
}

impl Limit {
    /// Returns true when the baseline commit has to be built.
    #[must_use]
    pub fn is_relative(self) -> bool {
        matches!(self, Self::MaxRatio(_) | Self::MinRatio(_))
    }
}

impl Budget {
    /// Reads the clauses of `[budget]`.
    ///
    /// # Errors
    ///
    /// Names the clause that is unknown, has no limit or two, or a limit in another unit.
    pub fn read(table: &toml::Table) -> Result<Self, Error> {
        let clauses = table.iter().map(|(name, value)| {
            let wrong = |what: String| Error::request(format!("[budget] {name}: {what}"));
            let quantity = Quantity::parse(name).ok_or_else(|| {
                wrong(
                    "is no quantity; want throughput, p50, p95, p99, allocations, peak_memory, \
                     instructions, cpu or wall"
                        .to_owned(),
                )
            })?;
            let raw: RawClause = value
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
            let limit = raw.limit(quantity).map_err(wrong)?;
            if raw.histogram.is_some() && !matches!(quantity, Quantity::Latency(_)) {
                return Err(wrong("histogram belongs to p50, p95 and p99".to_owned()));
            }
            Ok(Clause { quantity, limit, histogram: raw.histogram })
        });
        Ok(Self { clauses: clauses.collect::<Result<_, _>>()? })
    }
}

impl Quantity {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "throughput" => Self::Throughput,
            "p50" => Self::Latency(50),
            "p95" => Self::Latency(95),
            "p99" => Self::Latency(99),
            "allocations" => Self::Allocations,
            "peak_memory" => Self::PeakMemory,
            "instructions" => Self::Instructions,
            "cpu" => Self::Cpu,
            "wall" => Self::Wall,
            _ => return None,
        })
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Latency(_) | Self::Cpu | Self::Wall)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClause {
    max: Option<toml::Value>,
    min: Option<toml::Value>,
    max_ratio: Option<f64>,
    min_ratio: Option<f64>,
    histogram: Option<String>,
}

impl RawClause {
    fn limit(&self, quantity: Quantity) -> Result<Limit, String> {
        let ratio = |ratio: f64| {
            if ratio > 0.0 && ratio.is_finite() {
                Ok(ratio)
            } else {
                Err("a ratio is above 0".to_owned())
            }
        };
        match (&self.max, &self.min, self.max_ratio, self.min_ratio) {
            (Some(max), None, None, None) => Ok(Limit::Max(amount(max, quantity)?)),
            (None, Some(min), None, None) => Ok(Limit::Min(amount(min, quantity)?)),
            (None, None, Some(max), None) => Ok(Limit::MaxRatio(ratio(max)?)),
            (None, None, None, Some(min)) => Ok(Limit::MinRatio(ratio(min)?)),
            _ => Err("wants exactly one of max, min, max_ratio, min_ratio".to_owned()),
        }
    }
}

/// Returns an amount in the base unit of a quantity.
fn amount(value: &toml::Value, quantity: Quantity) -> Result<f64, String> {
    let number = match value {
        toml::Value::Integer(number) => Some(*number as f64),
        toml::Value::Float(number) => Some(*number),
        _ => None,
    };
    let (amount, want) = match (quantity, value.as_str()) {
        (quantity, Some(text)) if quantity.is_time() => {
            (duration(text).map(|time| time.as_secs_f64()), "a time such as \"2ms\"")
        }
        (quantity, None) if quantity.is_time() => (None, "a time such as \"2ms\""),
        (Quantity::PeakMemory, Some(text)) => (size(text), "a size such as \"64MiB\""),
        (Quantity::PeakMemory, None) => (None, "a size such as \"64MiB\""),
        _ => (number, "a number"),
    };
    amount
        .filter(|amount| *amount >= 0.0 && amount.is_finite())
        .ok_or_else(|| format!("wants {want}"))
}

/// Parses `"64MiB"`, `"512KiB"`, `"1GiB"` or `"100B"`.
fn size(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim_start() {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throughput => f.write_str("throughput"),
            Self::Latency(percent) => write!(f, "p{percent}"),
            Self::Allocations => f.write_str("allocations"),
            Self::PeakMemory => f.write_str("peak_memory"),
            Self::Instructions => f.write_str("instructions"),
            Self::Cpu => f.write_str("cpu"),
            Self::Wall => f.write_str("wall"),
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.quantity)?;
        if let Some(histogram) = &self.histogram {
            write!(f, " of {histogram}")?;
        }
        let amount = |amount: f64| self.quantity.show(amount);
        match self.limit {
            Limit::Max(limit) => write!(f, " <= {}", amount(limit)),
            Limit::Min(limit) => write!(f, " >= {}", amount(limit)),
            Limit::MaxRatio(ratio) => write!(f, " <= {ratio} times the baseline"),
            Limit::MinRatio(ratio) => write!(f, " >= {ratio} times the baseline"),
        }
    }
}

impl Quantity {
    /// Returns an amount in the base unit as a person reads it.
    pub(super) fn show(self, amount: f64) -> String {
        match self {
            _ if self.is_time() => format!("{:.3} ms", amount * 1e3),
            Self::PeakMemory => format!("{:.1} MiB", amount / 1_048_576.0),
            Self::Throughput => format!("{amount:.0} operations/s"),
            Self::Instructions => format!("{amount:.0}"),
            _ => format!("{amount:.3}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only place that knows the API.
    #[track_caller]
    fn check(text: &str, want: &str) {
        let got = match Budget::read(&text.parse().unwrap()) {
            Ok(budget) => {
                let clauses: Vec<String> = budget.clauses.iter().map(Clause::to_string).collect();
                clauses.join("; ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn clauses_have_units() {
        check("p99 = { max = '2ms', histogram = 'get' }", "p99 of get <= 2.000 ms");
        check("peak_memory = { max = '64MiB' }", "peak_memory <= 64.0 MiB");
        check("throughput = { min = 1000 }", "throughput >= 1000 operations/s");
        check("instructions = { max_ratio = 1.01 }", "instructions <= 1.01 times the baseline");
    }

    #[test]
    fn mistakes_are_named() {
        check(
            "latency = { max = 1 }",
            "[budget] latency: is no quantity; want throughput, p50, p95, p99, allocations, \
             peak_memory, instructions, cpu or wall",
        );
        check("cpu = { max = 3 }", "[budget] cpu: wants a time such as \"2ms\"");
        check("cpu = {}", "[budget] cpu: wants exactly one of max, min, max_ratio, min_ratio");
        check("cpu = { max_ratio = 0 }", "[budget] cpu: a ratio is above 0");
        check("cpu = { max_ratio = 0.0 }", "[budget] cpu: a ratio is above 0");
        check(
            "cpu = { max = '1ms', histogram = 'a' }",
            "[budget] cpu: histogram belongs to p50, p95 and p99",
        );
    }
}
