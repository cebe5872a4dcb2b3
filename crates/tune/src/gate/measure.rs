//! Measuring the clauses of a budget.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::budget::{Budget, Clause, Limit, Quantity};
use super::{Answer, Checked};
use crate::discover::workload;
use crate::error::{Error, ErrorKind};
use crate::judge::bounds;
use crate::measure::{Prepared, Printed, Run, allocations, callgrind, now};
use crate::progress::Observer;
use crate::project::{Copy, Profile, Project};
use crate::session::{claim, find_folder};
use crate::workload::{TuneFile, Workload};

/// Checks every clause of the budget in `tune.toml`, relative ones beside `baseline`, a commit;
/// returns the answers and the time it took.
///
/// # Errors
///
/// There is no budget or no workload, a relative clause has no baseline commit, a version does not
/// compile or run, or the session was stopped. A clause that cannot be measured is an answer.
pub fn gate(
    folder: &Path,
    baseline: Option<&str>,
    observer: Observer<'_>,
) -> Result<(Vec<Checked>, Duration), Error> {
    let started = now();
    let folder = find_folder(folder)?;
    let file = TuneFile::read(&folder)?.unwrap_or_default();
    let budget = Budget::read(&file.budget)?;
    if budget.clauses.is_empty() {
        return Err(Error::request(
            "there is no budget; write tune.toml with [budget] and clauses such as \
             allocations = { max = 0 }",
        ));
    }
    let project = Project::open(&folder)?;
    let workload = workload(&project, &folder)?;
    let is_relative = budget.clauses.iter().any(|clause| clause.limit.is_relative());
    let baseline = match (is_relative, baseline) {
        (false, _) => None,
        (true, Some(commit)) => Some(commit),
        (true, None) => {
            return Err(Error::request(
                "the budget has clauses beside a baseline; name its commit with --baseline",
            ));
        }
    };
    let (state, _lock) = claim(&project)?;
    let before = baseline
        .map(|commit| build_commit(&project, commit, &workload, &state, observer))
        .transpose()?;
    observer.begin("build")?;
    let copy = Copy::new(&project, &state, observer.stop())?;
    let after = prepare(&copy, &project, &workload, "gated", observer)?;
    for _ in 0..workload.warmup {
        after.run(observer.stop())?;
    }
    let bench = Bench { after, before, root: copy.root().to_owned(), state };
    let total = budget.clauses.len() as u64;
    let mut checked = Vec::new();
    for (done, clause) in budget.clauses.iter().enumerate() {
        observer.step(format!("clause {clause}"), done as u64, total, None)?;
        let (answer, measured) = match bench.check(clause, observer) {
            Ok(answer) => answer,
            // The instrument is missing or does not work here: neither a pass nor a failure.
            Err(error) if error.kind() == ErrorKind::Machine => {
                (Answer::Unmeasurable, error.to_string())
            }
            Err(error) => return Err(error),
        };
        checked.push(Checked { clause: clause.to_string(), answer, measured });
    }
    Ok((checked, now().duration_since(started)))
}

/// The versions that are measured.
struct Bench {
    after: Prepared,
    before: Option<Prepared>,
    root: PathBuf,
    state: PathBuf,
}

impl Bench {
    fn check(&self, clause: &Clause, observer: Observer<'_>) -> Result<(Answer, String), Error> {
        let count = |program: &Prepared| self.count(clause.quantity, program, observer);
        match (clause.quantity, clause.limit, &self.before) {
            (Quantity::Allocations | Quantity::Instructions, Limit::Max(limit), _) => {
                let count = count(&self.after)?;
                Ok((Answer::at_most(limit, count, count), clause.quantity.show(count)))
            }
            (Quantity::Allocations | Quantity::Instructions, Limit::Min(limit), _) => {
                let count = count(&self.after)?;
                Ok((Answer::at_least(limit, count, count), clause.quantity.show(count)))
            }
            (Quantity::Allocations | Quantity::Instructions, limit, Some(before)) => {
                let (before, after) = (count(before)?, count(&self.after)?);
                // Nothing beside nothing is the same.
                let ratio = if before == after { 1.0 } else { after / before };
                let shown = format!("{ratio:.4} times ({before:.0} before, {after:.0} after)");
                Ok((decide(limit, ratio, ratio), shown))
            }
            (_, Limit::Max(_) | Limit::Min(_), _) => self.absolute(clause, observer),
            (_, _, Some(before)) => self.relative(clause, before, observer),
            (_, _, None) => Err(Error::request("a clause beside a baseline, without one")),
        }
    }

    /// Counts with an instrument that gives the same number each time.
    fn count(
        &self,
        quantity: Quantity,
        program: &Prepared,
        observer: Observer<'_>,
    ) -> Result<f64, Error> {
        let stop = observer.stop();
        if quantity == Quantity::Instructions {
            return Ok(callgrind::instructions(program, &self.state, stop)? as f64);
        }
        let blocks = allocations::count(program, &self.root, &self.state, stop)?.blocks as f64;
        program.run(stop)?;
        let operations = program.printed()?.operations.unwrap_or(1).max(1);
        Ok(blocks / operations as f64)
    }

    fn absolute(&self, clause: &Clause, observer: Observer<'_>) -> Result<(Answer, String), Error> {
        let mut values = Vec::new();
        for look in LOOKS {
            while values.len() < look {
                let run = self.after.run(observer.stop())?;
                values.push(value(clause, &run, &self.after.printed()?)?);
            }
            let interval = bounds(&values, ALPHA);
            let answer = decide(clause.limit, interval.low, interval.high);
            if answer != Answer::Unmeasurable || look == LOOKS[LOOKS.len() - 1] {
                let show = |amount| clause.quantity.show(amount);
                let (low, median, high) = (interval.low, interval.median, interval.high);
                let shown = format!("{} (bounds {} to {})", show(median), show(low), show(high));
                return Ok((answer, shown));
            }
        }
        Err(Error::machine("no look was taken"))
    }

    fn relative(
        &self,
        clause: &Clause,
        before: &Prepared,
        observer: Observer<'_>,
    ) -> Result<(Answer, String), Error> {
        let mut random = fastrand::Rng::with_seed(1);
        let mut ratios = Vec::new();
        let measure = |program: &Prepared| {
            let run = program.run(observer.stop())?;
            value(clause, &run, &program.printed()?)
        };
        for look in LOOKS {
            while ratios.len() < look {
                let (before, after) = if random.bool() {
                    let before = measure(before)?;
                    (before, measure(&self.after)?)
                } else {
                    let after = measure(&self.after)?;
                    (measure(before)?, after)
                };
                ratios.push(if before == after { 1.0 } else { after / before });
            }
            let interval = bounds(&ratios, ALPHA);
            let answer = decide(clause.limit, interval.low, interval.high);
            if answer != Answer::Unmeasurable || look == LOOKS[LOOKS.len() - 1] {
                let (low, median, high) = (interval.low, interval.median, interval.high);
                let shown = format!("{median:.3} times (bounds {low:.3} to {high:.3})");
                return Ok((answer, shown));
            }
        }
        Err(Error::machine("no look was taken"))
    }
}

fn decide(limit: Limit, low: f64, high: f64) -> Answer {
    match limit {
        Limit::Max(limit) | Limit::MaxRatio(limit) => Answer::at_most(limit, low, high),
        Limit::Min(limit) | Limit::MinRatio(limit) => Answer::at_least(limit, low, high),
    }
}

/// Returns a clause's quantity of one run, in its base unit.
fn value(clause: &Clause, run: &Run, printed: &Printed) -> Result<f64, Error> {
    let latency = |percent: u8| {
        let found = match (&clause.histogram, printed.latency.len()) {
            (Some(name), _) => printed.latency.get(name),
            (None, 1) => printed.latency.values().next(),
            (None, _) => None,
        };
        found.and_then(|latency| latency.quantile(f64::from(percent) / 100.0)).ok_or_else(|| {
            Error::request(format!(
                "{clause}: the workload prints no such histogram; have it print \
                 \"tune histogram NAME ns BOUND:COUNT ...\" to standard error"
            ))
        })
    };
    match clause.quantity {
        Quantity::Latency(percent) => latency(percent),
        Quantity::Throughput => {
            let operations = printed.operations.ok_or_else(|| {
                Error::request(format!(
                    "{clause}: the workload tells no operations; have it print \
                     \"tune operations N\" to standard error"
                ))
            })?;
            Ok(operations as f64 / run.wall.as_secs_f64().max(f64::MIN_POSITIVE))
        }
        Quantity::PeakMemory => Ok(run.peak_memory_bytes as f64),
        Quantity::Cpu => Ok(run.cpu.as_secs_f64()),
        Quantity::Wall => Ok(run.wall.as_secs_f64()),
        Quantity::Allocations | Quantity::Instructions => {
            Err(Error::request(format!("{clause}: is counted, not timed")))
        }
    }
}

fn prepare(
    copy: &Copy,
    project: &Project,
    workload: &Workload,
    name: &str,
    observer: Observer<'_>,
) -> Result<Prepared, Error> {
    let package = project.package_of(&workload.target)?;
    let profile = Profile::default();
    let built = copy.build(package, &workload.target, &profile, name, observer.stop())?;
    let output = copy.target_folder().join(name);
    Ok(Prepared::new(workload, &built.program, copy.root(), &output))
}

/// Builds the workload as it was at a commit, at the same path as the present version will be.
fn build_commit(
    project: &Project,
    commit: &str,
    workload: &Workload,
    state: &Path,
    observer: Observer<'_>,
) -> Result<Prepared, Error> {
    observer.begin(format!("build {commit}"))?;
    let folder = state.join("commit");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Error::file("remove", &folder, error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| Error::file("create", &folder, error))?;
    extract(project, commit, &folder)?;
    let then = Project::open(&folder)?;
    let copy = Copy::new(&then, state, observer.stop())?;
    let program = prepare(&copy, &then, workload, "baseline", observer)?;
    drop(copy);
    fs::remove_dir_all(&folder).map_err(|error| Error::file("remove", &folder, error))?;
    Ok(program)
}

/// Puts the project's folder as of a commit into `folder`, through git and tar.
fn extract(project: &Project, commit: &str, folder: &Path) -> Result<(), Error> {
    if commit.starts_with('-') {
        return Err(Error::request(format!("{commit} is no commit")));
    }
    let archive = folder.with_extension("tar");
    let output = Command::new("git")
        .args(["archive", "--format=tar", "--output"])
        .arg(&archive)
        .arg(commit)
        .current_dir(&project.root)
        .output()
        .map_err(|error| Error::machine("cannot run git").because(error))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Error::request(format!("git has no commit {commit}: {}", words.trim())));
    }
    let status = Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(folder)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Error::machine("cannot run tar").because(error))?;
    fs::remove_file(&archive).map_err(|error| Error::file("remove", &archive, error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::machine(format!("tar cannot unpack {commit}")))
    }
}

/// Runs, or pairs of runs, after which a clause is looked at.
const LOOKS: [usize; 4] = [20, 40, 80, 160];

/// The probability of error of each bound at each look.
const ALPHA: f64 = 0.001;
