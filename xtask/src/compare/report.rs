//! Samples of one run, and what they say: tables for people, rows for programs.
//!
//! A [`Metric`] is a case and one quantity in it. Each round gives at most one value per metric and
//! target; values of different rounds are never divided by each other.

use std::fmt;

use serde_json::{Value, json};

use super::statistics::{interval, median};

/// Everything one run found.
#[derive(Debug)]
pub(crate) struct Report {
    /// The target that is ours.
    ours: &'static str,
    /// Tables say how sure the ratios are.
    has_intervals: bool,
    samples: Vec<Sample>,
    /// What went wrong; such a case has no sample.
    pub(crate) failures: Vec<Failure>,
}

/// One quantity of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// The load: `redis P1`.
    pub(crate) case: &'static str,
    /// What was measured: `rate`.
    pub(crate) quantity: &'static str,
    /// In what it is counted: `ops/s`.
    pub(crate) unit: &'static str,
    /// Which direction is good; `None` for a circumstance that is only noted.
    pub(crate) better: Option<Better>,
}

/// Which of two values is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// One value of one target in one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) target: &'static str,
    pub(crate) round: u32,
    pub(crate) metric: Metric,
    pub(crate) value: f64,
}

/// A case that could not be measured.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) target: &'static str,
    pub(crate) round: u32,
    pub(crate) case: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, round, case, what } = self;
        write!(f, "{case}, {target}, round {round}: {what}")
    }
}

impl Report {
    /// Starts a report without samples.
    pub(crate) fn new(ours: &'static str) -> Self {
        Self { ours, has_intervals: false, samples: Vec::new(), failures: Vec::new() }
    }

    /// Lets tables give the interval of each ratio, for runs that look for small differences.
    pub(crate) fn with_intervals(self) -> Self {
        Self { has_intervals: true, ..self }
    }

    /// Adds samples in the order in which tables show their metrics.
    pub(crate) fn extend(&mut self, samples: impl IntoIterator<Item = Sample>) {
        self.samples.extend(samples);
    }

    /// Adds `mean`: of its quantity the geometric mean over all cases, for each target and round
    /// that has every case.
    pub(crate) fn add_mean(&mut self, mean: Metric) {
        let mut metrics = self.metrics();
        metrics.retain(|metric| metric.quantity == mean.quantity);
        let rounds = self.samples.iter().map(|sample| sample.round).max().unwrap_or(0);
        for target in self.targets() {
            for round in 1..=rounds {
                let of_round = |metric: &Metric| {
                    self.values(*metric, target).find(|(other, _)| *other == round)
                };
                let logs = metrics.iter().map(|metric| Some(of_round(metric)?.1.ln()));
                let Some(sum) = logs.sum::<Option<f64>>() else { continue };
                let value = (sum / metrics.len() as f64).exp();
                self.samples.push(Sample { target, round, metric: mean, value });
            }
        }
    }

    /// Returns the comparison for programs: one row for each metric and peer.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        for metric in self.metrics() {
            let Some(better) = metric.better else { continue };
            let Some(ours) = self.median_of(metric, self.ours) else { continue };
            for peer in self.targets().into_iter().filter(|target| *target != self.ours) {
                let Some(theirs) = self.median_of(metric, peer) else { continue };
                let ratios = self.ratios(metric, better, peer);
                let Some(ratio) = median(&ratios) else { continue };
                let (low, high) = interval(&ratios).unzip();
                rows.push(json!({
                    "case": format!("{}: {}", metric.case, metric.quantity),
                    "ours": ours,
                    "peer": peer,
                    "theirs": theirs,
                    "unit": metric.unit,
                    "better": match better { Better::Higher => "higher", Better::Lower => "lower" },
                    "ratio": ratio,
                    "ratio_low": low,
                    "ratio_high": high,
                    "runs": ratios.len(),
                }));
            }
        }
        rows
    }

    /// Returns every sample and failure for the record.
    pub(crate) fn raw(&self) -> Value {
        let sample = |sample: &Sample| {
            let Metric { case, quantity, unit, .. } = sample.metric;
            json!({
                "round": sample.round, "target": sample.target, "case": case,
                "quantity": quantity, "value": sample.value, "unit": unit,
            })
        };
        let samples: Vec<_> = self.samples.iter().map(sample).collect();
        let failures: Vec<_> = self.failures.iter().map(ToString::to_string).collect();
        json!({ "samples": samples, "failures": failures })
    }

    /// Renders one Markdown table per case, aligned for the terminal.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        let mut cases: Vec<_> = self.metrics().iter().map(|metric| metric.case).collect();
        cases.dedup();
        for case in cases {
            text.push_str(&self.table(case));
            text.push('\n');
        }
        text
    }

    fn table(&self, case: &str) -> String {
        let metrics = self.metrics().into_iter().filter(|metric| metric.case == case);
        let metrics: Vec<_> = metrics.collect();
        let mut head = vec![case.to_owned()];
        head.extend(metrics.iter().map(|metric| format!("{} {}", metric.quantity, metric.unit)));
        let mut rows = vec![head];
        for target in self.targets() {
            let cells = metrics.iter().map(|metric| self.cell(*metric, target));
            let cells: Vec<_> = cells.collect();
            if cells.iter().any(|cell| cell != "-") {
                rows.push([target.to_owned()].into_iter().chain(cells).collect());
            }
        }
        align(&rows)
    }

    /// The median, and for a peer how ours compares with it.
    fn cell(&self, metric: Metric, target: &str) -> String {
        let Some(value) = self.median_of(metric, target) else { return "-".to_owned() };
        let better = metric.better.filter(|_| target != self.ours);
        let ratios = better.map(|better| self.ratios(metric, better, target)).unwrap_or_default();
        match (median(&ratios), interval(&ratios).filter(|_| self.has_intervals)) {
            (None, _) => number(value),
            (Some(ratio), None) => format!("{} ({ratio:.2})", number(value)),
            (Some(ratio), Some((low, high))) => {
                format!("{} ({ratio:.3}, {low:.3} to {high:.3})", number(value))
            }
        }
    }

    /// Metrics in the order in which cases and then quantities first came.
    fn metrics(&self) -> Vec<Metric> {
        let mut cases: Vec<&str> = Vec::new();
        let mut metrics: Vec<Metric> = Vec::new();
        for Sample { metric, .. } in &self.samples {
            if !cases.contains(&metric.case) {
                cases.push(metric.case);
            }
            if !metrics.contains(metric) {
                metrics.push(*metric);
            }
        }
        metrics.sort_by_key(|metric| cases.iter().position(|case| *case == metric.case));
        metrics
    }

    /// Targets with a sample: ours first, then the others by name.
    fn targets(&self) -> Vec<&'static str> {
        let mut targets: Vec<_> = self.samples.iter().map(|sample| sample.target).collect();
        targets.sort_by_key(|target| (*target != self.ours, *target));
        targets.dedup();
        targets
    }

    fn values(&self, metric: Metric, target: &str) -> impl Iterator<Item = (u32, f64)> {
        let samples = self.samples.iter();
        let samples = samples.filter(move |s| s.metric == metric && s.target == target);
        samples.map(|sample| (sample.round, sample.value))
    }

    fn median_of(&self, metric: Metric, target: &str) -> Option<f64> {
        median(&self.values(metric, target).map(|(_, value)| value).collect::<Vec<_>>())
    }

    /// Ours against `peer` in each round that has both; above 1 where ours is better.
    fn ratios(&self, metric: Metric, better: Better, peer: &str) -> Vec<f64> {
        let pairs = self.values(metric, self.ours).filter_map(|(round, ours)| {
            let theirs = self.values(metric, peer).find(|(other, _)| *other == round)?.1;
            Some((ours, theirs))
        });
        let ratios = pairs.map(|(ours, theirs)| match better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours,
        });
        ratios.filter(|ratio| ratio.is_finite()).collect()
    }
}

/// Writes a value with about three digits: `1,234,567`, `12.3`, `0.57`.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Lays rows out as a Markdown table: first column to the left, the others to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        text.push('|');
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            text.push_str(&match column {
                0 => format!(" {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            });
        }
        text.push('\n');
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                text.push_str(&if column == 0 {
                    format!("|-{dashes}")
                } else {
                    format!("|{dashes}:")
                });
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Metric =
        Metric { case: "redis P1", quantity: "rate", unit: "ops/s", better: Some(Better::Higher) };
    const P99: Metric =
        Metric { case: "redis P1", quantity: "p99", unit: "ms", better: Some(Better::Lower) };
    const TIME_WAIT: Metric =
        Metric { case: "connections", quantity: "TIME_WAIT", unit: "sockets", better: None };

    fn report(samples: &[(Metric, &'static str, &[f64])]) -> Report {
        let mut report = Report::new("tidemill");
        for (metric, target, values) in samples {
            report.extend(values.iter().zip(1..).map(|(value, round)| Sample {
                target,
                round,
                metric: *metric,
                value: *value,
            }));
        }
        report
    }

    #[test]
    fn ratios_are_paired_by_round() {
        // Both got slower by the round; in every round ours is 1.25 times as fast.
        let report = report(&[
            (RATE, "tidemill", &[125.0, 100.0, 50.0]),
            (RATE, "haproxy", &[100.0, 80.0, 40.0]),
            (P99, "tidemill", &[2.0, 2.0, 2.0]),
            (P99, "haproxy", &[1.0, 1.0, 1.0]),
        ]);
        let rows = report.rows();
        assert_eq!(rows[0]["case"], "redis P1: rate");
        assert_eq!(rows[0]["ratio"], 1.25);
        assert_eq!((&rows[0]["ours"], &rows[0]["theirs"]), (&json!(100.0), &json!(80.0)));
        assert_eq!((&rows[0]["better"], &rows[0]["runs"]), (&json!("higher"), &json!(3)));
        assert_eq!((&rows[1]["better"], &rows[1]["ratio"]), (&json!("lower"), &json!(0.5)));
    }

    #[test]
    fn a_round_without_its_pair_gives_no_ratio() {
        let mut report = report(&[(RATE, "tidemill", &[100.0])]);
        report.extend([Sample { target: "nginx", round: 2, metric: RATE, value: 10.0 }]);
        assert!(report.rows().is_empty());
    }

    #[test]
    fn tables_say_how_sure_ratios_are_where_asked() {
        let off: &[f64] = &[1.0, 1.0, 1.1, 1.1, 1.2, 0.9];
        let report = report(&[(P99, "tidemill", &[1.0; 6]), (P99, "off", off)]);
        assert!(!report.tables().contains(" to "));
        assert!(report.with_intervals().tables().contains("1.05 (1.050, 0.900 to 1.200)"));
    }

    #[test]
    fn a_mean_is_of_rounds_that_have_every_case() {
        let other = Metric { case: "redis P16", ..P99 };
        let mut report = report(&[(P99, "tidemill", &[2.0, 1.0]), (other, "tidemill", &[8.0])]);
        let mean = Metric { case: "all loads", ..P99 };
        report.add_mean(mean);
        let values: Vec<_> = report.values(mean, "tidemill").collect();
        assert!(matches!(values[..], [(1, value)] if (value - 4.0).abs() < 1e-9), "{values:?}");
    }

    #[test]
    fn tables_show_medians_and_ratios() {
        let report = report(&[
            (RATE, "haproxy", &[50_000.0]),
            (P99, "haproxy", &[1.8]),
            (RATE, "tidemill", &[60_000.0]),
            (TIME_WAIT, "haproxy", &[12.0]),
        ]);
        let want = "\
            | redis P1 |    rate ops/s | p99 ms |\n\
            |----------|--------------:|-------:|\n\
            | tidemill |        60,000 |      - |\n\
            | haproxy  | 50,000 (1.20) |   1.80 |\n\n\
            | connections | TIME_WAIT sockets |\n\
            |-------------|------------------:|\n\
            | haproxy     |              12.0 |\n\n";
        assert_eq!(report.tables(), want);
    }

    #[test]
    fn medians_and_numbers() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(
            (number(123.4), number(12.34), number(0.567)),
            ("123".into(), "12.3".into(), "0.57".into())
        );
    }
}
