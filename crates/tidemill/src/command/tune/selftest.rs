//! `tidemill tune selftest`: how often the judge errs on this machine.

use clap::Args;
use tidemill_tune::judge::Rule;
use tidemill_tune::selftest::{Rate, SelfTest};

use super::super::output::Tone;
use super::progress::observed;
use super::{Failure, Output};

/// Measure how often the judge errs on this machine
///
/// Judges a program against itself, and against itself with one function slowed down by 10 % and
/// by 3 %, all for real. Exits 1 when a trial of identical programs was kept. Takes minutes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Trials of a program against itself
    #[arg(long, value_name = "COUNT", default_value_t = 300)]
    identical: u32,
    /// Trials of each slowdown
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    slowed: u32,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let mut test = SelfTest::default();
    test.identical = arguments.identical;
    test.slowdowns = vec![(100, arguments.slowed), (30, arguments.slowed)];
    let report = observed(output, move |observer, _| {
        let folder = std::env::temp_dir().join(format!("tidemill-tune-{}", std::process::id()));
        let result = std::fs::create_dir_all(&folder)
            .map_err(|error| tidemill_tune::Error::machine("no scratch space").because(error))
            .and_then(|()| test.run(&folder, &Rule::default(), observer));
        // What cannot be removed lies in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&folder);
        result
    })?;
    if output.is_json {
        output.json(&report);
    } else {
        let rates = std::iter::once(&report.identical).chain(&report.slowdowns);
        let rows: Vec<_> = rates.map(row).collect();
        let heads = ["PROGRAMS", "TRIALS", "KEPT", "INCONCLUSIVE", "PAIRS"];
        output.line(&output.table("", &heads, &rows));
    }
    match report.identical.kept {
        0 => Ok(()),
        kept => Err(Failure::answer(format!(
            "{kept} of {} trials of identical programs were kept",
            report.identical.trials
        ))),
    }
}

fn row(rate: &Rate) -> Vec<(Tone, String)> {
    let name = match rate.slowdown_permille {
        0 => "identical".to_owned(),
        permille => format!("{:.1} % slower", f64::from(permille) / 10.0),
    };
    let cells = [
        name,
        rate.trials.to_string(),
        format!("{} ({:.1} %)", rate.kept, share(rate.kept, rate.trials)),
        rate.inconclusive.to_string(),
        format!("{:.0}", rate.pairs_mean),
    ];
    cells.into_iter().map(|cell| (Tone::Plain, cell)).collect()
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) * 100.0 / f64::from(whole.max(1))
}
