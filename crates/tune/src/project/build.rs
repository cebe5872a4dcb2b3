//! Builds and tests of a copy, through Cargo.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::copy::Copy;
use super::metadata::Package;
use crate::error::Error;
use crate::measure::Group;
use crate::progress::Stop;
use crate::workload::Target;

/// What differs from the project's own release profile, and what is added for measuring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Keys of `profile.release` that are set, such as `lto` to `"fat"`.
    pub settings: BTreeMap<String, String>,
    /// Flags for rustc, after the project's own.
    pub rustflags: Vec<String>,
}

impl Profile {
    /// Returns the same with functions aligned to 64 bytes: another code layout of the same code.
    #[must_use]
    pub fn aligned(&self) -> Self {
        let mut aligned = self.clone();
        aligned.rustflags.push("-Cllvm-args=-align-all-functions=6".to_owned());
        aligned
    }
}

/// A program that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Built {
    /// The program, kept apart from what Cargo will build next.
    pub program: PathBuf,
}

/// What a run of the tests said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum TestOutcome {
    /// All passed.
    Passed,
    /// Some did not, or did not compile; the end of what was printed.
    Failed(String),
}

impl Copy {
    /// Builds `target` of `package` in release mode with line tables, and keeps the program as
    /// `name` in the folder of the builds.
    ///
    /// # Errors
    ///
    /// It does not compile (the message holds the compiler's), or the session was stopped.
    pub fn build(
        &self,
        package: &Package,
        target: &Target,
        profile: &Profile,
        name: &str,
        stop: &Stop,
    ) -> Result<Built, Error> {
        let (flag, target_name) = target.flag();
        let mut command = self.cargo("build", profile);
        command.args(["--release", "--message-format=json-render-diagnostics", "--package"]);
        command.args([package.name.as_str(), flag, target_name]);
        let output = run(&mut command, &self.log("build"), BUILD_TIMEOUT, stop)?;
        if !output.is_good {
            return Err(Error::project(format!("it does not compile: {}", output.last_words)));
        }
        let text = fs::read_to_string(&output.stdout)
            .map_err(|error| Error::file("read", &output.stdout, error))?;
        let program = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Message>(line).ok())
            .filter(|message| message.target.as_ref().is_some_and(|t| t.name == target_name))
            .find_map(|message| message.executable)
            .ok_or_else(|| Error::project(format!("cargo built no program {target_name}")))?;
        let kept = self.target_folder().join("kept").join(name);
        let folder = self.target_folder().join("kept");
        fs::create_dir_all(&folder).map_err(|error| Error::file("create", &folder, error))?;
        fs::copy(&program, &kept).map_err(|error| Error::file("copy", &program, error))?;
        Ok(Built { program: kept })
    }

    /// Runs all tests of the workspace once.
    ///
    /// # Errors
    ///
    /// Cargo cannot be run, or the session was stopped; failing tests are an outcome.
    pub fn test(&self, stop: &Stop) -> Result<TestOutcome, Error> {
        let mut command = self.cargo("test", &Profile::default());
        command.args(["--workspace", "--no-fail-fast"]);
        let output = run(&mut command, &self.log("test"), TEST_TIMEOUT, stop)?;
        Ok(if output.is_good {
            TestOutcome::Passed
        } else {
            TestOutcome::Failed(output.last_words)
        })
    }

    /// Runs clippy with nothing on but `lints` and returns its messages, one JSON object per line.
    ///
    /// # Errors
    ///
    /// Clippy is not installed, the project does not compile, or the session was stopped.
    pub(crate) fn clippy(&self, lints: &[&str], stop: &Stop) -> Result<String, Error> {
        let mut command = self.cargo("clippy", &Profile::default());
        command.args(["--workspace", "--no-deps", "--message-format=json", "--"]);
        // Allowed first: the project's own warnings are not what is asked for here.
        command.args(["--cap-lints=warn", "-Aclippy::all"]);
        command.args(lints.iter().map(|lint| format!("-Wclippy::{lint}")));
        let output = run(&mut command, &self.log("clippy"), BUILD_TIMEOUT, stop)?;
        if !output.is_good {
            return Err(Error::project(format!("clippy cannot run: {}", output.last_words)));
        }
        fs::read_to_string(&output.stdout)
            .map_err(|error| Error::file("read", &output.stdout, error))
    }

    /// Returns a Cargo command on the copy with the settings of `profile`.
    pub(crate) fn cargo(&self, subcommand: &str, profile: &Profile) -> Command {
        let mut command = Command::new("cargo");
        command
            .arg(subcommand)
            .current_dir(self.root())
            .env("CARGO_TARGET_DIR", self.target_folder())
            .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none")
            .env("CARGO_TERM_COLOR", "never");
        for (key, value) in &profile.settings {
            command.args(["--config", &format!("profile.release.{key}={value}")]);
        }
        if !profile.rustflags.is_empty() {
            let flags: Vec<String> =
                profile.rustflags.iter().map(|flag| format!("{flag:?}")).collect();
            command.args(["--config", &format!("build.rustflags=[{}]", flags.join(","))]);
        }
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.target_folder().join(name)
    }
}

/// The end of a command and where its output lies.
struct Output {
    is_good: bool,
    stdout: PathBuf,
    last_words: String,
}

/// Runs a command with its output in `log`.out and `log`.err, at most for `timeout`.
fn run(command: &mut Command, log: &Path, timeout: Duration, stop: &Stop) -> Result<Output, Error> {
    let folder = log.parent().unwrap_or(log);
    fs::create_dir_all(folder).map_err(|error| Error::file("create", folder, error))?;
    let stream = |extension: &str| {
        let path = log.with_extension(extension);
        File::create(&path)
            .map(|file| (path.clone(), file))
            .map_err(|error| Error::file("write", &path, error))
    };
    let (stdout, out) = stream("out")?;
    let (stderr, err) = stream("err")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|error| Error::machine("cannot run cargo").because(error))?;
    let group = Group::of(&child)?;
    let ended = group.wait(timeout, stop);
    if ended.is_err() {
        group.kill();
    }
    let status = child.wait().map_err(|e| Error::machine("cannot wait for cargo").because(e))?;
    if !ended? {
        return Err(Error::project(format!("cargo took longer than {} s", timeout.as_secs())));
    }
    let mut last_words = String::new();
    for path in [&stdout, &stderr] {
        if path == &stdout && status.success() {
            continue;
        }
        last_words.push_str(&tail(path)?);
    }
    if !status.success() && last_words.contains("No space left on device") {
        return Err(Error::machine(format!(
            "the disk of {} is full; make room or set CARGO_TARGET_DIR to another disk",
            folder.display()
        )));
    }
    Ok(Output { is_good: status.success(), stdout, last_words })
}

/// Returns the last lines of a file.
fn tail(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|error| Error::file("read", path, error))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

/// A line that Cargo prints with `--message-format=json`.
#[derive(Debug, Deserialize)]
struct Message {
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct MessageTarget {
    name: String,
}

const BUILD_TIMEOUT: Duration = Duration::from_secs(3_600);
const TEST_TIMEOUT: Duration = Duration::from_secs(3_600);
const TAIL_LINES: usize = 40;
