//! What is measured: a target of the project, run with fixed input, as `tune.toml` names it.
//!
//! ```toml
//! [workload]
//! bin     = "app"                  # or example = "...", bench = "..."
//! args    = ["--input", "data/large.txt"]
//! stdin   = "data/large.txt"       # a file, relative to the project
//! env     = { LOG = "off" }
//! output  = "stdout"               # what must not change: stdout, or "none"
//! warmup  = 1                      # runs before the first that counts
//! timeout = "60s"                  # of one run
//!
//! [budget]                         # see the gate
//! p99 = { max = "2ms" }
//! ```
//!
//! The target and not a path is named, because it is built and run in a copy of the project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Place};

/// A command with fixed input, whose cost is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// What is built and run.
    pub target: Target,
    /// The arguments, relative paths resolved by the working folder: the project's root.
    pub args: Vec<String>,
    /// The file that is read as standard input, relative to the project; nothing where absent.
    pub stdin: Option<PathBuf>,
    /// Variables that are set for it.
    pub env: BTreeMap<String, String>,
    /// Whether its standard output must stay the same, byte for byte.
    pub compares_output: bool,
    /// Runs before the first that counts.
    pub warmup: u32,
    /// The longest time that one run may take.
    pub timeout: Duration,
}

/// A target that Cargo builds and that can be run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition: what Cargo can run")]
pub enum Target {
    /// `--bin NAME`
    Bin(String),
    /// `--example NAME`
    Example(String),
    /// `--bench NAME`, run as a whole
    Bench(String),
}

impl Target {
    /// Returns the flag with which Cargo builds it, and its name.
    #[must_use]
    pub fn flag(&self) -> (&'static str, &str) {
        match self {
            Self::Bin(name) => ("--bin", name),
            Self::Example(name) => ("--example", name),
            Self::Bench(name) => ("--bench", name),
        }
    }
}

impl Workload {
    /// Returns the workload that runs `target` without arguments or input.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            args: Vec::new(),
            stdin: None,
            env: BTreeMap::new(),
            compares_output: true,
            warmup: WARMUP,
            timeout: TIMEOUT,
        }
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (flag, name) = self.target.flag();
        write!(f, "{} {name}", flag.trim_start_matches('-'))?;
        for arg in &self.args {
            write!(f, " {arg}")?;
        }
        match &self.stdin {
            Some(stdin) => write!(f, " < {}", stdin.display()),
            None => Ok(()),
        }
    }
}

/// The content of `tune.toml`.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TuneFile {
    /// What is measured, where the file says.
    pub workload: Option<Workload>,
    /// The clauses that the gate checks, by name; empty where the file has none.
    pub budget: toml::Table,
}

impl TuneFile {
    /// Reads `tune.toml` in the folder of a project, or nothing where there is none.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or has an unknown key or a wrong type, with line and column.
    pub fn read(project: &Path) -> Result<Option<Self>, Error> {
        let path = project.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", &path, error)),
        }
    }

    /// Parses the text of a file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As [`TuneFile::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let raw: RawFile = toml::from_str(text).map_err(|error| {
            let place = Place::of(path, text, error.span().map_or(0, |span| span.start));
            Error::request(format!("{place}: {}", error.message()))
        })?;
        let workload = raw.workload.map(|raw| raw.check(path)).transpose()?;
        Ok(Self { workload, budget: raw.budget })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    workload: Option<RawWorkload>,
    #[serde(default)]
    budget: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorkload {
    bin: Option<String>,
    example: Option<String>,
    bench: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    stdin: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    output: Output,
    warmup: Option<u32>,
    timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Output {
    #[default]
    Stdout,
    None,
}

impl RawWorkload {
    fn check(self, path: &Path) -> Result<Workload, Error> {
        let wrong = |what: &str| Error::request(format!("{}: [workload] {what}", path.display()));
        let target = match (self.bin, self.example, self.bench) {
            (Some(name), None, None) => Target::Bin(name),
            (None, Some(name), None) => Target::Example(name),
            (None, None, Some(name)) => Target::Bench(name),
            _ => return Err(wrong("needs exactly one of bin, example, bench")),
        };
        let timeout = match self.timeout.as_deref() {
            None => TIMEOUT,
            Some(text) => duration(text)
                .filter(|timeout| (Duration::from_millis(1)..=TIMEOUT_MAX).contains(timeout))
                .ok_or_else(|| wrong("timeout must be from \"1ms\" to \"3600s\""))?,
        };
        let warmup = self.warmup.unwrap_or(WARMUP);
        if warmup > WARMUP_MAX {
            return Err(wrong("warmup must be at most 100 runs"));
        }
        let Self { args, stdin, env, output, .. } = self;
        let compares_output = output == Output::Stdout;
        Ok(Workload { target, args, stdin, env, compares_output, warmup, timeout })
    }
}

/// Parses `"250ms"`, `"1.5s"`, `"20us"`, `"3ns"` or `"2min"`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit.trim_start() {
        "ns" => number * 1e-9,
        "us" => number * 1e-6,
        "ms" => number * 1e-3,
        "s" => number,
        "min" => number * 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// The file that names the workload, in the folder of the project.
pub const FILE_NAME: &str = "tune.toml";

const WARMUP: u32 = 1;
const WARMUP_MAX: u32 = 100;
const TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    /// The only place that knows the API.
    #[track_caller]
    fn check(text: &str, want: &str) {
        let got = match TuneFile::parse(Path::new("tune.toml"), text) {
            Ok(file) => file.workload.map_or("none".to_owned(), |workload| {
                format!("{:?} {:?} {:?}", workload.target, workload.args, workload.timeout)
            }),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn a_full_workload_is_read() {
        check(
            "[workload]\nbin = 'app'\nargs = ['-n', '3']\ntimeout = '250ms'\noutput = 'none'",
            r#"Bin("app") ["-n", "3"] 250ms"#,
        );
    }

    #[test]
    fn a_file_may_hold_a_budget_only() {
        check("[budget]\np99 = { max = '2ms' }", "none");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        check(
            "[workload]\nbin = 'a'\nargz = []",
            "tune.toml:3:1: unknown field `argz`, expected one of `bin`, `example`, `bench`, \
             `args`, `stdin`, `env`, `output`, `warmup`, `timeout`",
        );
        check("[workload]", "tune.toml: [workload] needs exactly one of bin, example, bench");
        check(
            "[workload]\nbin = 'a'\ntimeout = '2h'",
            "tune.toml: [workload] timeout must be from \"1ms\" to \"3600s\"",
        );
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(duration("20us"), Some(Duration::from_micros(20)));
        assert_eq!(duration("20"), None);
        assert_eq!(duration("-1s"), None);
    }
}
