//! What there is to work with: the project, its benchmarks, and the instruments of this machine.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use tidemill_profile::counters::{Answer, Counters, Event, Target as Watched};

use crate::error::Error;
use crate::find::Sources;
use crate::project::{Kind, Project};
use crate::workload::{FILE_NAME, Target, TuneFile, Workload};

/// The first section of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Context {
    /// The folder of the workspace.
    pub root: String,
    /// Its packages.
    pub packages: Vec<PackageContext>,
    /// Rust files that were read.
    pub files: usize,
    /// Their lines.
    pub lines: usize,
    /// The functions defined in them.
    pub functions: usize,
    /// The project's own settings of the release profile, as `key = value`.
    pub release_profile: Vec<String>,
    /// Benchmarks that the project has.
    pub benchmarks: Vec<Benchmark>,
    /// Workloads that could be measured, as arguments for `tune.toml`.
    pub proposed: Vec<String>,
    /// What this machine can measure with, and what a missing instrument rules out.
    pub instruments: Vec<Instrument>,
}

/// A package in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageContext {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it builds, as `kind name`.
    pub targets: Vec<String>,
    /// Its features.
    pub features: Vec<String>,
}

/// A benchmark of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Benchmark {
    /// The package.
    pub package: String,
    /// The target.
    pub name: String,
    /// What it is written with: criterion, divan, libtest, or a program of its own.
    pub harness: String,
}

/// Something to measure with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Instrument {
    /// Its name.
    pub name: String,
    /// Whether it works here.
    pub works: bool,
    /// What it is for; where it does not work, what is ruled out, and why.
    pub note: String,
}

impl Context {
    /// Looks at a project and this machine. Starts a few short commands, builds nothing.
    ///
    /// # Errors
    ///
    /// The manifest cannot be read.
    pub fn discover(project: &Project, sources: &Sources) -> Result<Self, Error> {
        let manifest = project.root.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .map_err(|error| Error::file("read", &manifest, error))?;
        Ok(Self {
            root: project.root.display().to_string(),
            packages: project.packages.iter().map(PackageContext::of).collect(),
            files: sources.files().count(),
            lines: sources.line_count(),
            functions: sources.files().map(|(_, file)| file.functions.len()).sum(),
            release_profile: release_profile(&text),
            benchmarks: benchmarks(project)?,
            proposed: project.runnable().map(|(_, target)| proposal(&target)).collect(),
            instruments: instruments(),
        })
    }
}

impl PackageContext {
    fn of(package: &crate::project::Package) -> Self {
        let kind = |kind: &Kind| match kind {
            Kind::Bin => "bin",
            Kind::Example => "example",
            Kind::Bench => "bench",
            Kind::Test => "test",
            Kind::CustomBuild => "build script",
            Kind::ProcMacro => "macro",
            Kind::Lib => "lib",
        };
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            targets: package
                .targets
                .iter()
                .map(|target| {
                    format!("{} {}", target.kind.first().map_or("lib", kind), target.name)
                })
                .collect(),
            features: package.features.keys().cloned().collect(),
        }
    }
}

/// Returns the workload that `tune.toml` names, or the only program of the project.
///
/// # Errors
///
/// The file is wrong, names what the project does not have, or there is none and the choice is
/// not clear: the message says what to write.
pub fn workload(project: &Project, folder: &Path) -> Result<Workload, Error> {
    let file = TuneFile::read(folder)?.and_then(|file| file.workload);
    if let Some(workload) = file {
        project.package_of(&workload.target)?;
        return Ok(workload);
    }
    let mut programs = project
        .runnable()
        .map(|(_, target)| target)
        .filter(|target| matches!(target, Target::Bin(_)));
    match (programs.next(), programs.next()) {
        (Some(only), None) => Ok(Workload::new(only)),
        _ => {
            let choices: Vec<String> =
                project.runnable().map(|(_, target)| proposal(&target)).collect();
            Err(Error::request(if choices.is_empty() {
                "the project has nothing that runs; add an example that does the work to be \
                 measured, and name it in tune.toml: [workload] example = \"NAME\""
                    .to_owned()
            } else {
                format!(
                    "which program is the workload? Write {FILE_NAME} with [workload] and one of: \
                     {}",
                    choices.join("; ")
                )
            }))
        }
    }
}

fn proposal(target: &Target) -> String {
    let (flag, name) = target.flag();
    format!("{} = {name:?}", flag.trim_start_matches('-'))
}

/// Returns `key = value` of `[profile.release]`.
fn release_profile(manifest: &str) -> Vec<String> {
    let table = manifest.parse::<toml::Table>().unwrap_or_default();
    let release = table.get("profile").and_then(|profile| profile.get("release"));
    release
        .and_then(toml::Value::as_table)
        .map(|table| table.iter().map(|(key, value)| format!("{key} = {}", plain(value))).collect())
        .unwrap_or_default()
}

/// Returns a value of a profile as TOML has it; profiles hold no other plain values than these.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("{text:?}"),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        _ => "...".to_owned(),
    }
}

fn benchmarks(project: &Project) -> Result<Vec<Benchmark>, Error> {
    let mut found = Vec::new();
    for package in &project.packages {
        for target in package.targets.iter().filter(|target| target.kind.contains(&Kind::Bench)) {
            let text = std::fs::read_to_string(&target.src_path)
                .map_err(|error| Error::file("read", &target.src_path, error))?;
            let harness = [
                ("criterion", "criterion"),
                ("divan", "divan"),
                ("test::Bencher", "libtest"),
                ("#[bench]", "libtest"),
            ]
            .iter()
            .find(|(sign, _)| text.contains(sign))
            .map_or("a program of its own", |(_, harness)| harness);
            found.push(Benchmark {
                package: package.name.clone(),
                name: target.name.clone(),
                harness: harness.to_owned(),
            });
        }
    }
    Ok(found)
}

fn instruments() -> Vec<Instrument> {
    let valgrind = answer("valgrind", &["--version"]);
    let valgrind = Instrument {
        name: "valgrind".to_owned(),
        works: valgrind.is_some(),
        note: match valgrind {
            Some(version) => format!("{version}: instructions and allocations by call site"),
            None => "not installed: no instruction gate and no allocation counts".to_owned(),
        },
    };
    let event = |name: &str, event: Event, good: &str, bad: &str| {
        let counters = Counters::builder().group([event]).open(Watched::ThisThread);
        let problem = match counters.and_then(|counters| counters.read()) {
            Err(error) => Some(error.to_string()),
            Ok(readings) => readings.into_iter().find_map(|reading| match reading.answer {
                Answer::Instead { reason, .. } | Answer::Unsupported { reason } => {
                    Some(reason.to_string())
                }
                _ => None,
            }),
        };
        Instrument {
            name: name.to_owned(),
            works: problem.is_none(),
            note: problem.map_or_else(|| good.to_owned(), |why| format!("{bad} ({why})")),
        }
    };
    vec![
        event(
            "perf software events",
            Event::TaskClock,
            "CPU samples with inlined frames",
            "no hot spots from samples",
        ),
        event(
            "hardware counters",
            Event::Instructions,
            "instructions and cache misses at full speed",
            "instructions are counted under callgrind, cache misses not at all",
        ),
        valgrind,
    ]
}

/// Returns the first line that a command prints, where it runs and is content.
fn answer(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}
