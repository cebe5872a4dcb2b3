//! A session on one project: look, measure, find, try, report.
//!
//! ```text
//! Session::open ── look ──▶ measure ──▶ find ──▶ try_finding, try_patch, try_all ──▶ report
//!      │ lock, copy                                                          └──▶ accept
//! ```
//!
//! The steps may be taken one by one, by an agent, or all at once ([`Session::run`]). A step that
//! needs another takes it first. The user's tree changes in [`Session::accept`] and nowhere else.
//! The lock and the copy go with the session; what a killed session leaves is removed by the next.

mod accept;
mod levers;
mod patch;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

pub use self::accept::Accepted;

use crate::attempt::{Bench, Candidate, Change, Permissions};
use crate::discover::{self, Context};
use crate::error::{Error, ErrorKind};
use crate::find::{self, Finding, Sources};
use crate::hot::{Heat, rank};
use crate::judge::{Rule, Verdict};
use crate::measure::Prepared;
use crate::measure::allocations::{self, Allocations};
use crate::progress::Observer;
use crate::project::{Copy, Project};
use crate::report::{
    BaselineReport, FindingReport, LatencyReport, REPORT_VERSION, Report, TrialReport,
};
use crate::workload::Workload;

/// What a session may do.
///
/// # Defaults
///
/// The default rule and permissions, seed 1, at most 40 trials, with build levers, the workload of
/// `tune.toml` or the only program.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// When a trial is decided.
    pub rule: Rule,
    /// What may be changed beside the insides of functions.
    pub permissions: Permissions,
    /// Draws the order within pairs.
    pub seed: u64,
    /// Candidates that are tried at most.
    pub trials_max: usize,
    /// Whether other ways to build are tried too.
    pub levers: bool,
    /// The workload; that of `tune.toml` or the only program where absent.
    pub workload: Option<Workload>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rule: Rule::default(),
            permissions: Permissions::default(),
            seed: 1,
            trials_max: 40,
            levers: true,
            workload: None,
        }
    }
}

/// One project, and everything that is known of it.
#[derive(Debug)]
pub struct Session {
    options: Options,
    project: Project,
    sources: Sources,
    workload: Workload,
    context: Context,
    notes: Vec<String>,
    stage: Stage,
    found: Option<Found>,
    trials: Vec<TrialReport>,
    /// New texts of every kept change of sources, by the finding it mends.
    kept: BTreeMap<String, BTreeMap<PathBuf, String>>,
    /// Held until the session ends; the kernel lets go of it when the process dies.
    _lock: File,
}

#[derive(Debug)]
enum Stage {
    Copied(Copy),
    Measured(Box<Measured>),
    /// Measuring failed; the copy is gone, and the session with it.
    Spoiled,
}

#[derive(Debug)]
struct Measured {
    bench: Bench,
    baseline: BaselineReport,
    allocations: Option<Allocations>,
}

#[derive(Debug)]
struct Found {
    heat: Heat,
    ranked: Vec<(Finding, f64)>,
}

impl Session {
    /// Looks at the project in `folder` and copies it; builds nothing.
    ///
    /// # Errors
    ///
    /// There is no project or no workload, another session is at work on it, or the disk is full.
    pub fn open(folder: &Path, options: Options, observer: Observer<'_>) -> Result<Self, Error> {
        observer.begin("look at the project")?;
        let folder = find_folder(folder)?;
        let project = Project::open(&folder)?;
        let workload = match &options.workload {
            Some(workload) => {
                project.package_of(&workload.target)?;
                workload.clone()
            }
            None => discover::workload(&project, &folder)?,
        };
        if let Some(stdin) = workload.stdin.as_ref().map(|stdin| project.root.join(stdin))
            && !stdin.is_file()
        {
            let stdin = stdin.display();
            return Err(Error::request(format!("the input of the workload, {stdin}, is no file")));
        }
        let sources = Sources::read(&project)?;
        let context = Context::discover(&project, &sources)?;
        let (state, lock) = claim(&project)?;
        let notes = notes(&project, &context);
        observer.begin("copy the project")?;
        let copy = Copy::new(&project, &state, observer.stop())?;
        Ok(Self {
            options,
            project,
            sources,
            workload,
            context,
            notes,
            stage: Stage::Copied(copy),
            found: None,
            trials: Vec::new(),
            kept: BTreeMap::new(),
            _lock: lock,
        })
    }

    /// Returns what there is to work with.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Returns what a person should know before work starts, each in a sentence.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Takes every step there is.
    ///
    /// # Errors
    ///
    /// As the single steps.
    pub fn run(&mut self, observer: Observer<'_>) -> Result<Report, Error> {
        self.find(observer)?;
        self.try_all(observer)?;
        self.report(observer)
    }

    /// Builds and tests the project as it is, and measures the workload.
    ///
    /// # Errors
    ///
    /// The project does not compile, its tests or its workload fail, its output changes from run to
    /// run, the machine cannot tell a program from itself, or the session was stopped. The session
    /// is of no more use then.
    pub fn measure(&mut self, observer: Observer<'_>) -> Result<&BaselineReport, Error> {
        self.measured(observer).map(|measured| &measured.baseline)
    }

    fn measured(&mut self, observer: Observer<'_>) -> Result<&mut Measured, Error> {
        if matches!(self.stage, Stage::Copied(_))
            && let Stage::Copied(copy) = std::mem::replace(&mut self.stage, Stage::Spoiled)
        {
            let measured = self.take_measure(copy, observer)?;
            if let Some(why) = &measured.baseline.no_instructions {
                self.notes.push(format!("trials go without the gate of instructions: {why}"));
            }
            self.stage = Stage::Measured(Box::new(measured));
        }
        match &mut self.stage {
            Stage::Measured(measured) => Ok(measured),
            Stage::Copied(_) | Stage::Spoiled => {
                Err(Error::request("measuring this project failed before; begin a new session"))
            }
        }
    }

    fn take_measure(&self, copy: Copy, observer: Observer<'_>) -> Result<Measured, Error> {
        let package = self.project.package_of(&self.workload.target)?.clone();
        let (rule, seed) = (self.options.rule.clone(), self.options.seed);
        let bench = Bench::new(copy, package, self.workload.clone(), rule, seed, observer)?;
        let baseline = bench.baseline();
        if baseline.control.is_untrustworthy() {
            return Err(Error::machine(format!(
                "the program against itself gave {:.3} times, which cannot be: something on this \
                 machine changes with time; try again when it is quieter",
                baseline.control.interval.median
            )));
        }
        observer.begin("allocations")?;
        let (root, folder) = (bench.copy().root(), bench.folder());
        let allocations = match allocations::count(&baseline.program, root, folder, observer.stop())
        {
            Ok(allocations) => Some(allocations),
            // Without valgrind there is no count, and the context says so.
            Err(error) if error.kind() != ErrorKind::Cancelled => None,
            Err(error) => return Err(error),
        };
        // The counting runs wrote their own output: once more, plainly.
        baseline.program.run(observer.stop())?;
        let printed = baseline.program.printed()?;
        let latency = printed.latency.iter().filter_map(|(name, latency)| {
            let quantile = |quantile| latency.quantile(quantile);
            Some(LatencyReport {
                name: name.clone(),
                count: latency.count(),
                p50: quantile(0.5)?,
                p95: quantile(0.95)?,
                p99: quantile(0.99)?,
            })
        });
        let report = BaselineReport {
            workload: self.workload.to_string(),
            wall_seconds: baseline.sample.wall.as_secs_f64(),
            cpu_seconds: baseline.sample.cpu.as_secs_f64(),
            peak_memory_bytes: baseline.sample.peak_memory_bytes,
            instructions: baseline.instructions,
            no_instructions: baseline.no_instructions.clone(),
            allocations: allocations.as_ref().map(|allocations| allocations.blocks),
            allocated_bytes: allocations.as_ref().map(|allocations| allocations.bytes),
            operations: printed.operations,
            latency: latency.collect(),
        };
        Ok(Measured { bench, baseline: report, allocations })
    }

    /// Finds hot spots and what may mend them, in the order of their cost.
    ///
    /// # Errors
    ///
    /// As [`Session::measure`]; clippy does not run.
    pub fn find(&mut self, observer: Observer<'_>) -> Result<&[(Finding, f64)], Error> {
        if self.found.is_none() {
            self.found = Some(self.look_around(observer)?);
        }
        Ok(self.found.as_ref().map_or(&[], |found| &found.ranked))
    }

    fn look_around(&mut self, observer: Observer<'_>) -> Result<Found, Error> {
        let measured = self.measured(observer)?;
        let root = measured.bench.copy().root().to_owned();
        observer.begin("CPU samples")?;
        let program = measured.bench.baseline().program.clone();
        let folder = measured.bench.folder().to_owned();
        let allocations = measured.allocations.clone();
        let mut heat = match Heat::sample(&program, &root, observer.stop()) {
            Err(error) if error.kind() == ErrorKind::Machine => {
                observer.begin("instructions by line")?;
                self.count_instead(&error, &program, &root, &folder, observer)?
            }
            sampled => sampled?,
        };
        if let Some(allocations) = &allocations {
            heat.add_allocations(allocations, &root);
        }
        observer.begin("clippy")?;
        let Stage::Measured(measured) = &self.stage else {
            return Err(Error::request("nothing was measured"));
        };
        let mut findings = find::own_rules(&self.sources);
        findings.extend(find::clippy(measured.bench.copy(), &self.sources, observer.stop())?);
        Ok(Found { ranked: rank(findings, &heat, &self.sources), heat })
    }

    /// Ranks by instructions where the kernel refuses to sample; without valgrind by allocations.
    fn count_instead(
        &mut self,
        refused: &Error,
        program: &Prepared,
        root: &Path,
        folder: &Path,
        observer: Observer<'_>,
    ) -> Result<Heat, Error> {
        let (heat, by) = match Heat::count(program, root, folder, observer.stop()) {
            Err(error) if error.kind() != ErrorKind::Cancelled => (Heat::default(), "allocations"),
            counted => (counted?, "instructions under callgrind"),
        };
        let why =
            std::error::Error::source(refused).map_or(String::new(), |why| format!(": {why}"));
        self.notes.push(format!("no CPU samples, so findings rank by {by}: {refused}{why}"));
        Ok(heat)
    }

    /// Tries every finding that is hot and has a fix, then other ways to build.
    ///
    /// # Errors
    ///
    /// The machine failed, or the session was stopped.
    pub fn try_all(&mut self, observer: Observer<'_>) -> Result<(), Error> {
        self.find(observer)?;
        let hot: Vec<String> = self
            .found
            .iter()
            .flat_map(|found| &found.ranked)
            .filter(|(finding, share)| finding.fix.is_some() && *share >= COLD_SHARE)
            .map(|(finding, _)| finding.id())
            .take(self.options.trials_max)
            .collect();
        for id in hot {
            self.try_finding(&id, observer)?;
        }
        if self.options.levers {
            self.try_levers(observer)?;
        }
        Ok(())
    }

    /// Tries the fix of one finding.
    ///
    /// # Errors
    ///
    /// There is no such finding or it has no fix; otherwise as [`Session::try_all`].
    pub fn try_finding(&mut self, id: &str, observer: Observer<'_>) -> Result<&TrialReport, Error> {
        self.find(observer)?;
        let found = self.found.iter().flat_map(|found| &found.ranked);
        let finding = found
            .map(|(finding, _)| finding)
            .find(|finding| finding.id() == id)
            .ok_or_else(|| Error::request(format!("there is no finding {id}")))?
            .clone();
        let fix = finding
            .fix
            .as_ref()
            .ok_or_else(|| Error::request(format!("{id} has no fix that a machine can make")))?;
        let (texts, patch) = (fix.apply(&self.sources)?, fix.patch(&self.sources)?);
        self.try_texts(id, finding.function, &fix.what, texts, patch, observer)
    }

    /// Tries new texts for some files, and keeps them for [`Session::accept`] when they are kept.
    fn try_texts(
        &mut self,
        id: &str,
        function: Option<String>,
        what: &str,
        texts: BTreeMap<PathBuf, String>,
        patch: String,
        observer: Observer<'_>,
    ) -> Result<&TrialReport, Error> {
        let candidate = Candidate::new(id, function, Change::Sources(texts.clone()));
        let trial = self.judge(&candidate, what, Some(patch), observer)?;
        if trial.verdict == Verdict::Keep {
            self.kept.insert(id.to_owned(), texts);
        }
        Ok(self.record(trial))
    }

    fn judge(
        &mut self,
        candidate: &Candidate,
        what: &str,
        patch: Option<String>,
        observer: Observer<'_>,
    ) -> Result<TrialReport, Error> {
        let (permissions, seed) = (self.options.permissions, self.options.seed);
        // Another order of pairs for each trial, the same in each session.
        let seed = seed.wrapping_add(self.trials.len() as u64);
        let measured = self.measured(observer)?;
        let outcome = measured.bench.judge(candidate, &permissions, seed, observer)?;
        let function = candidate.function.as_deref();
        Ok(TrialReport::new(&candidate.finding, function, what, &outcome, patch))
    }

    fn record(&mut self, trial: TrialReport) -> &TrialReport {
        self.trials.push(trial);
        &self.trials[self.trials.len() - 1]
    }

    /// Returns all that is known of a function, by its name or the end of it behind `::`.
    ///
    /// # Errors
    ///
    /// No function of the project is called so; otherwise as [`Session::find`].
    pub fn explain(
        &mut self,
        name: &str,
        observer: Observer<'_>,
    ) -> Result<serde_json::Value, Error> {
        self.find(observer)?;
        let is_it = |function: &str| function == name || function.ends_with(&format!("::{name}"));
        let found = self.sources.files().find_map(|(path, file)| {
            let function = file.functions.iter().find(|function| is_it(&function.name))?;
            Some((path, file, function))
        });
        let Some((path, file, function)) = found else {
            return Err(Error::request(format!("no function of the project is called {name}")));
        };
        let first = function.first_line.saturating_sub(1) as usize;
        let count = (function.last_line - function.first_line + 1).min(EXPLAIN_LINES_MAX) as usize;
        let text: Vec<&str> = file.text.lines().skip(first).take(count).collect();
        let report = self.found.as_ref().map(|found| {
            let spots = found.heat.hotspots(&self.sources);
            let spot =
                spots.into_iter().find(|spot| spot.file == path && spot.function == function.name);
            let findings: Vec<FindingReport> = found
                .ranked
                .iter()
                .filter(|(finding, _)| finding.file == path)
                .filter(|(finding, _)| finding.function.as_deref() == Some(&*function.name))
                .map(|(finding, share)| FindingReport::new(finding, *share, Some(&file.text)))
                .collect();
            (spot, findings)
        });
        let (spot, findings) = report.unwrap_or_default();
        Ok(serde_json::json!({
            "function": function.name,
            "file": path,
            "lines": [function.first_line, function.last_line],
            "public": function.is_public,
            "share": spot.as_ref().map_or(0.0, |spot| spot.share),
            "allocations": spot.as_ref().map_or(0, |spot| spot.allocations),
            "findings": findings,
            "source": text.join("\n"),
        }))
    }

    /// Puts together what is known so far.
    ///
    /// # Errors
    ///
    /// As [`Session::find`].
    pub fn report(&mut self, observer: Observer<'_>) -> Result<Report, Error> {
        self.find(observer)?;
        let after = self.flame_graph_after(observer)?;
        let (Stage::Measured(measured), Some(found)) = (&self.stage, &self.found) else {
            return Err(Error::request("nothing was measured"));
        };
        Ok(Report {
            version: REPORT_VERSION,
            context: self.context.clone(),
            baseline: measured.baseline.clone(),
            control: measured.bench.baseline().control.clone(),
            hotspots: found.heat.hotspots(&self.sources),
            findings: found
                .ranked
                .iter()
                .map(|(finding, share)| {
                    FindingReport::new(finding, *share, self.sources.text(&finding.file))
                })
                .collect(),
            trials: self.trials.clone(),
            proposals: levers::PROPOSALS.iter().map(|proposal| (*proposal).to_owned()).collect(),
            flame_graphs: (found.heat.flame_graph().to_owned(), after),
        })
    }

    /// Samples the program with every kept change in it; empty where nothing was kept.
    fn flame_graph_after(&mut self, observer: Observer<'_>) -> Result<String, Error> {
        let texts = self.kept_texts();
        if texts.is_empty() {
            return Ok(String::new());
        }
        observer.begin("CPU samples after")?;
        let measured = self.measured(observer)?;
        let program = measured.bench.with_texts(&texts, observer)?;
        let root = measured.bench.copy().root().to_owned();
        match Heat::sample(&program, &root, observer.stop()) {
            Ok(heat) => Ok(heat.flame_graph().to_owned()),
            Err(error) if error.kind() == ErrorKind::Machine => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

/// Returns the whole path of a folder that a person named.
///
/// # Errors
///
/// There is no such folder.
pub(crate) fn find_folder(folder: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(folder).map_err(|error| {
        let folder = folder.display();
        Error::request(format!("cannot find {folder}; name the folder of a Cargo project"))
            .because(error)
    })
}

/// Returns the folder for work on a project, `target/tune`, and its lock.
///
/// # Errors
///
/// Another session holds it, or there is no room.
pub(crate) fn claim(project: &Project) -> Result<(PathBuf, File), Error> {
    let state = project.target_folder.join("tune");
    fs::create_dir_all(&state).map_err(|error| Error::file("create", &state, error))?;
    // A tree whose git does not know the target folder stays as clean as it was.
    let ignore = state.join(".gitignore");
    fs::write(&ignore, "*\n").map_err(|error| Error::file("write", &ignore, error))?;
    let lock = lock(&state)?;
    check_space(&state)?;
    Ok((state, lock))
}

/// Takes the lock of a project, or says who holds it.
fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| Error::file("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::request(format!(
            "another tune is at work on this project (it holds {}); wait for it or stop it",
            path.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(Error::file("lock", &path, error)),
    }
}

fn check_space(folder: &Path) -> Result<(), Error> {
    let space = rustix::fs::statvfs(folder)
        .map_err(|error| Error::file("look at the disk of", folder, error.into()))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < SPACE_MIN {
        return Err(Error::machine(format!(
            "{} MiB are free for {}, and copies and builds need at least {} MiB; make room or set \
             CARGO_TARGET_DIR to another disk",
            free >> 20,
            folder.display(),
            SPACE_MIN >> 20
        )));
    }
    Ok(())
}

/// Returns what a person should know before work starts.
fn notes(project: &Project, context: &Context) -> Vec<String> {
    let mut notes: Vec<String> = context
        .instruments
        .iter()
        .filter(|instrument| !instrument.works)
        .map(|instrument| format!("{}: {}", instrument.name, instrument.note))
        .collect();
    let status = Command::new("git")
        .args(["status", "--porcelain", "--untracked-files=no"])
        .current_dir(&project.root)
        .output();
    if status.is_ok_and(|status| status.status.success() && !status.stdout.is_empty()) {
        notes.push(
            "the tree has changes that are not committed; they are measured with the rest, and \
             --apply will refuse to mix its own into them"
                .to_owned(),
        );
    }
    notes
}

/// Longer functions are shown by their beginning.
const EXPLAIN_LINES_MAX: u32 = 300;

/// A function with a smaller share of the cost is not worth a trial.
const COLD_SHARE: f64 = 0.01;

/// Less free space than this does not hold a build.
const SPACE_MIN: u64 = 512 << 20;
