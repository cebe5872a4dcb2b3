//! How often the judge errs on this machine: real trials of a program against itself, and against
//! itself with one function slowed down.
//!
//! The program is made for it: two functions with a known amount of work, which arguments set. So
//! every trial runs the same binary, and the truth of each is known.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::judge::{Decision, Rule, Trial, Verdict};
use crate::measure::{Prepared, now};
use crate::progress::Observer;
use crate::project::{Copy, Profile, Project};
use crate::workload::{Target, Workload};

/// How many trials of each kind.
///
/// # Defaults
///
/// 300 trials of a program against itself, 100 with one function 10 % slower, 100 with 3 %.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelfTest {
    /// Trials of a program against itself.
    pub identical: u32,
    /// Slowdowns of one function in permille, each with its number of trials.
    pub slowdowns: Vec<(u32, u32)>,
    /// Draws the order within pairs.
    pub seed: u64,
}

impl Default for SelfTest {
    fn default() -> Self {
        Self { identical: 300, slowdowns: vec![(100, 100), (30, 100)], seed: 1 }
    }
}

/// How often the judge was right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SelfTestReport {
    /// A program against itself; every keep is a false one.
    pub identical: Rate,
    /// One function slowed down; every keep of the faster version is a detection.
    pub slowdowns: Vec<Rate>,
}

/// Verdicts of trials whose truth is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rate {
    /// How much slower one function was, in permille of its time.
    pub slowdown_permille: u32,
    /// How many trials there were.
    pub trials: u32,
    /// How many said keep.
    pub kept: u32,
    /// How many could not tell.
    pub inconclusive: u32,
    /// The mean number of pairs that a trial took.
    pub pairs_mean: f64,
}

impl SelfTest {
    /// Runs every trial. Takes minutes; `folder` is for the program and its build.
    ///
    /// # Errors
    ///
    /// The program cannot be built or run, or the session was stopped.
    pub fn run(
        &self,
        folder: &Path,
        rule: &Rule,
        observer: Observer<'_>,
    ) -> Result<SelfTestReport, Error> {
        let bed = Bed::build(folder, observer)?;
        let mut random = fastrand::Rng::with_seed(self.seed);
        let identical = bed.rate(0, self.identical, rule, &mut random, observer)?;
        let slowdowns = self
            .slowdowns
            .iter()
            .map(|&(permille, trials)| bed.rate(permille, trials, rule, &mut random, observer))
            .collect::<Result<_, _>>()?;
        Ok(SelfTestReport { identical, slowdowns })
    }
}

/// The program of known cost.
struct Bed {
    program: std::path::PathBuf,
    folder: std::path::PathBuf,
    _copy: Copy,
}

impl Bed {
    fn build(folder: &Path, observer: Observer<'_>) -> Result<Self, Error> {
        observer.begin("build the program of known cost")?;
        let source = folder.join("known-cost");
        let write = |path: &Path, text: &str| {
            fs::write(path, text).map_err(|error| Error::file("write", path, error))
        };
        fs::create_dir_all(source.join("src"))
            .map_err(|error| Error::file("create", &source, error))?;
        write(&source.join("Cargo.toml"), MANIFEST)?;
        write(&source.join("src/main.rs"), MAIN)?;
        let project = Project::open(&source)?;
        let copy = Copy::new(&project, &folder.join("bed"), observer.stop())?;
        let target = Target::Bin("known-cost".to_owned());
        let package = project.package_of(&target)?;
        let built = copy.build(package, &target, &Profile::default(), "bed", observer.stop())?;
        Ok(Self { program: built.program, folder: folder.to_owned(), _copy: copy })
    }

    fn prepare(&self, name: &str, slow_units: u32) -> Prepared {
        let mut workload = Workload::new(Target::Bin("known-cost".to_owned()));
        workload.args = vec![UNITS.to_string(), slow_units.to_string()];
        Prepared::new(&workload, &self.program, &self.folder, &self.folder.join(name))
    }

    /// Judges `trials` times whether the program without a slowdown is faster than with it.
    fn rate(
        &self,
        permille: u32,
        trials: u32,
        rule: &Rule,
        random: &mut fastrand::Rng,
        observer: Observer<'_>,
    ) -> Result<Rate, Error> {
        let what = match permille {
            0 => "a program against itself".to_owned(),
            permille => format!("one function {:.1} % slower", f64::from(permille) / 10.0),
        };
        // One function is half of the work: its slowdown is that of the whole, so that the truth
        // of a trial is the number it is named by.
        let slow = self.prepare("slow", UNITS + UNITS * 2 * permille / 1_000);
        let fast = self.prepare("fast", UNITS);
        let mut rate =
            Rate { slowdown_permille: permille, trials, kept: 0, inconclusive: 0, pairs_mean: 0.0 };
        let started = now();
        let mut pairs = 0;
        for done in 0..trials {
            let left = now().duration_since(started).checked_div(done);
            let left = left.map(|each| each * (trials - done));
            observer.step(&*what, done.into(), trials.into(), left)?;
            let mut trial = Trial::new(rule.clone());
            let verdict = loop {
                let is_slow_first = random.bool();
                let (first, second) = if is_slow_first { (&slow, &fast) } else { (&fast, &slow) };
                let first = first.run(observer.stop())?.wall.as_secs_f64();
                let second = second.run(observer.stop())?.wall.as_secs_f64();
                let (a, b) = if is_slow_first { (first, second) } else { (second, first) };
                if let Decision::Done(verdict) = trial.push(a, b) {
                    break verdict;
                }
            };
            pairs += trial.ratios().len();
            rate.kept += u32::from(verdict == Verdict::Keep);
            rate.inconclusive += u32::from(verdict == Verdict::Inconclusive);
        }
        rate.pairs_mean = pairs as f64 / f64::from(trials.max(1));
        Ok(rate)
    }
}

/// Units of work of each of the two functions: a few milliseconds together.
const UNITS: u32 = 4_000;

const MANIFEST: &str = "\
[package]
name = \"known-cost\"
edition = \"2024\"

[workspace]
";

const MAIN: &str = "\
//! Two functions with a known amount of work, in units of a thousand dependent multiplications.

use std::hint::black_box;

fn main() {
    let mut units = std::env::args().skip(1).map(|arg| arg.parse().expect(\"a number of units\"));
    let (steady, slowed) = (units.next().unwrap_or(0), units.next().unwrap_or(0));
    println!(\"{}\", first(steady) != second(slowed));
}

#[inline(never)]
fn first(units: u32) -> u64 {
    work(units, 1)
}

#[inline(never)]
fn second(units: u32) -> u64 {
    work(units, 2)
}

#[inline(always)]
fn work(units: u32, mut state: u64) -> u64 {
    for _ in 0..units {
        for _ in 0..1_000 {
            state = black_box(state.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 1);
        }
    }
    state
}
";
