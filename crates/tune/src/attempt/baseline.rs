//! The project as it is, measured once, beside which every candidate is put.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::Error;
use crate::judge::{Control, Rule};
use crate::measure::{Prepared, Sample, callgrind, control};
use crate::progress::Observer;
use crate::project::{Copy, Package, Profile, TestOutcome};
use crate::workload::Workload;

/// The copy of the project, ready to try candidates in.
#[derive(Debug)]
pub struct Bench {
    pub(super) copy: Copy,
    pub(super) rule: Rule,
    pub(super) baseline: Baseline,
    /// Where instruments write.
    pub(super) folder: PathBuf,
    package: Package,
    workload: Workload,
}

/// What the project costs as it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Baseline {
    /// The program.
    pub program: Prepared,
    /// The same with functions aligned to 64 bytes.
    pub aligned: Prepared,
    /// What it printed; candidates have to print the same.
    pub output: PathBuf,
    /// Instructions of a run; nothing where they cannot be counted, with the reason.
    pub instructions: Option<u64>,
    /// Why there is no count of instructions.
    pub no_instructions: Option<String>,
    /// The program against itself: what this machine can decide now.
    pub control: Control,
    /// What a run costs.
    pub sample: Sample,
}

impl Bench {
    /// Builds and tests the copy, and measures the workload as it is.
    ///
    /// # Errors
    ///
    /// The project does not compile, its tests fail, the workload fails, or its output or count of
    /// instructions changes from run to run: told here, before any candidate is tried.
    pub fn new(
        copy: Copy,
        package: Package,
        workload: Workload,
        rule: Rule,
        seed: u64,
        observer: Observer<'_>,
    ) -> Result<Self, Error> {
        let folder = copy.target_folder().join("measured");
        std::fs::create_dir_all(&folder).map_err(|e| Error::file("create", &folder, e))?;
        let stop = observer.stop();
        observer.begin("build")?;
        let prepare = |copy: &Copy, name: &str, profile: &Profile| {
            let built = copy.build(&package, &workload.target, profile, name, stop)?;
            Ok::<_, Error>(Prepared::new(
                &workload,
                &built.program,
                copy.root(),
                &folder.join(name),
            ))
        };
        let program = prepare(&copy, "before", &Profile::default())?;
        observer.begin("build with aligned functions")?;
        let aligned = prepare(&copy, "before-aligned", &Profile::default().aligned())?;
        observer.begin("tests")?;
        if let TestOutcome::Failed(words) = copy.test(stop)? {
            return Err(Error::project(format!(
                "the tests fail before anything was changed; mend them first: {words}"
            )));
        }
        for _ in 0..workload.warmup {
            program.run(stop)?;
        }
        let output = expected_output(&program, &workload, &folder, observer)?;
        let (instructions, no_instructions) = match count(&program, &folder, observer) {
            Ok(count) => (Some(count), None),
            Err(error) if error.kind() == crate::ErrorKind::Machine => {
                (None, Some(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        let (control, sample) = control(&program, &rule, CONTROL_PAIRS, seed, observer)?;
        let baseline =
            Baseline { program, aligned, output, instructions, no_instructions, control, sample };
        Ok(Self { copy, rule, baseline, folder, package, workload })
    }

    /// Returns the copy in which candidates are tried.
    #[must_use]
    pub fn copy(&self) -> &Copy {
        &self.copy
    }

    /// Returns the folder where instruments may write.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Returns what was measured of the project as it is.
    #[must_use]
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// Builds the copy as it is now and prepares the program to run the workload.
    pub(super) fn program(
        &self,
        name: &str,
        profile: &Profile,
        observer: Observer<'_>,
    ) -> Result<Prepared, Error> {
        let target = &self.workload.target;
        let built = self.copy.build(&self.package, target, profile, name, observer.stop())?;
        let output = self.folder.join(name);
        Ok(Prepared::new(&self.workload, &built.program, self.copy.root(), &output))
    }

    /// Builds the program with other texts for some files, and brings the copy back.
    ///
    /// # Errors
    ///
    /// It does not compile, or the session was stopped.
    pub fn with_texts(
        &mut self,
        texts: &BTreeMap<PathBuf, String>,
        observer: Observer<'_>,
    ) -> Result<Prepared, Error> {
        let written = texts
            .iter()
            .try_for_each(|(path, text)| self.copy.write(path, text.as_bytes()))
            .and_then(|()| self.program("kept", &Profile::default(), observer));
        self.copy.reset()?;
        written
    }

    /// Returns true when the last run of `program` printed what the baseline prints.
    pub(super) fn has_expected_output(&self, program: &Prepared) -> Result<bool, Error> {
        Ok(!self.workload.compares_output || program.output_equals(&self.baseline.output)?)
    }
}

/// Runs twice and keeps the output, provided that it is the same.
fn expected_output(
    program: &Prepared,
    workload: &Workload,
    folder: &std::path::Path,
    observer: Observer<'_>,
) -> Result<PathBuf, Error> {
    observer.begin("output of two runs")?;
    let kept = folder.join("expected");
    program.run(observer.stop())?;
    let output = program.output();
    std::fs::copy(&output, &kept).map_err(|error| Error::file("copy", &output, error))?;
    program.run(observer.stop())?;
    if workload.compares_output && !program.output_equals(&kept)? {
        return Err(Error::project(
            "the workload prints something else in each run, so nothing can be proven right; give \
             it a fixed input and order, or set [workload] output = \"none\"",
        ));
    }
    Ok(kept)
}

/// Counts the instructions of two runs, which have to agree.
fn count(
    program: &Prepared,
    folder: &std::path::Path,
    observer: Observer<'_>,
) -> Result<u64, Error> {
    observer.begin("instructions of two runs")?;
    let first = callgrind::instructions(program, folder, observer.stop())?;
    let second = callgrind::instructions(program, folder, observer.stop())?;
    if first.abs_diff(second) as f64 > first as f64 * INSTRUCTION_SPREAD_MAX {
        return Err(Error::machine(format!(
            "instructions differ from run to run ({first}, {second}): threads, time or addresses \
             decide what it does; give the workload one thread and a fixed input"
        )));
    }
    Ok(first.min(second))
}

/// Pairs of the program against itself at the start of each session.
const CONTROL_PAIRS: usize = 40;

/// Counts that differ by more than 0.1 % gate nothing.
const INSTRUCTION_SPREAD_MAX: f64 = 0.001;
