//! One run of a program with fixed input: its cost and its output.
//!
//! Standard output goes to a file, not through a pipe, so that nobody else works while the program
//! is timed. The program gets its own process group, and the whole group is killed when its time
//! is over or the session stops.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use wait4::Wait4;

use super::clock;
use super::group::{Group, OUTPUT_BYTES_MAX};
use super::printed::Printed;
use crate::error::Error;
use crate::progress::Stop;
use crate::workload::Workload;

/// A program that is ready to be run any number of times in the same way.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What stands before the program on the command line: an instrument and its flags.
    wrapper: Vec<String>,
    program: PathBuf,
    args: Vec<String>,
    folder: PathBuf,
    stdin: Option<PathBuf>,
    env: BTreeMap<String, String>,
    timeout: Duration,
    /// Where output goes; two files, `NAME.out` and `NAME.err`.
    output: PathBuf,
}

impl Prepared {
    /// Prepares `program` to run `workload` in `folder`, with output in files that begin with
    /// `output`.
    #[must_use]
    pub fn new(workload: &Workload, program: &Path, folder: &Path, output: &Path) -> Self {
        Self {
            wrapper: Vec::new(),
            program: program.to_owned(),
            args: workload.args.clone(),
            folder: folder.to_owned(),
            stdin: workload.stdin.as_ref().map(|stdin| folder.join(stdin)),
            env: workload.env.clone(),
            timeout: workload.timeout,
            output: output.to_owned(),
        }
    }

    /// Returns the same under an instrument that is `slowdown` times slower.
    #[must_use]
    pub(crate) fn under(&self, wrapper: Vec<String>, slowdown: u32) -> Self {
        let timeout = self.timeout.saturating_mul(slowdown);
        Self { wrapper, timeout, ..self.clone() }
    }

    /// Returns the same with one more variable.
    #[must_use]
    pub(crate) fn with_env(mut self, name: &str, value: String) -> Self {
        self.env.insert(name.to_owned(), value);
        self
    }

    /// Returns the program that is run.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Returns the longest time that a run may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the command, its streams not yet set: for instruments that start it themselves.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut words = self.wrapper.iter().map(String::as_str);
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(&self.args).current_dir(&self.folder).envs(&self.env);
        command
    }

    /// Gives a command the input of the workload, and files for its output.
    ///
    /// # Errors
    ///
    /// A file cannot be opened.
    pub fn set_streams(&self, command: &mut Command) -> Result<(), Error> {
        let stdin = match &self.stdin {
            None => Stdio::null(),
            Some(path) => File::open(path).map_err(|e| Error::file("read", path, e))?.into(),
        };
        command.stdin(stdin).stdout(self.stream("out")?).stderr(self.stream("err")?);
        Ok(())
    }

    /// Runs it once.
    ///
    /// # Errors
    ///
    /// The program does not start, takes longer than its time, fails, or writes more than
    /// 1 GiB; or the session was stopped.
    pub fn run(&self, stop: &Stop) -> Result<Run, Error> {
        stop.check()?;
        let mut command = self.command();
        self.set_streams(&mut command)?;
        command.process_group(0);
        let started = clock::now();
        let child = command.spawn().map_err(|error| {
            Error::project(format!("cannot start {}", self.program.display())).because(error)
        })?;
        let group = Group::of(&child)?;
        group.limit_output()?;
        let ended = group.wait(self.timeout, stop);
        let wall = clock::now().duration_since(started);
        if ended.is_err() {
            group.kill();
        }
        let used = child.wait4().map_err(|error| {
            Error::machine(format!("cannot wait for {}", self.program.display())).because(error)
        })?;
        if !ended? {
            return Err(Error::project(format!(
                "the workload ran longer than its timeout of {:?}; raise [workload] timeout or give \
                 it less input",
                self.timeout
            )));
        }
        if !used.status.success() {
            return Err(Error::project(format!(
                "the workload ended with {}: {}",
                used.status,
                self.last_words()
            )));
        }
        Ok(Run {
            wall,
            cpu: used.rusage.utime + used.rusage.stime,
            peak_memory_bytes: used.rusage.maxrss,
        })
    }

    /// Returns the file with the standard output of the last run.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.output.with_extension("out")
    }

    /// Reads what the last run told of itself on standard error.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line for us is malformed.
    pub fn printed(&self) -> Result<Printed, Error> {
        let path = self.output.with_extension("err");
        let file = File::open(&path).map_err(|error| Error::file("read", &path, error))?;
        let mut text = Vec::new();
        file.take(OUTPUT_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|error| Error::file("read", &path, error))?;
        Printed::parse(&String::from_utf8_lossy(&text))
    }

    /// Compares the output of the last run with a file, byte for byte.
    ///
    /// # Errors
    ///
    /// One of the files cannot be read.
    pub fn output_equals(&self, expected: &Path) -> Result<bool, Error> {
        let path = self.output();
        let open = |path: &Path| {
            File::open(path).map(BufReader::new).map_err(|e| Error::file("read", path, e))
        };
        let (ours, theirs) = (open(&path)?, open(expected)?);
        same_bytes(ours, theirs).map_err(|error| Error::file("compare", &path, error))
    }

    fn stream(&self, extension: &str) -> Result<File, Error> {
        let path = self.output.with_extension(extension);
        File::create(&path).map_err(|error| Error::file("write", &path, error))
    }

    /// Returns the end of standard error, for a message.
    fn last_words(&self) -> String {
        let path = self.output.with_extension("err");
        let mut text = Vec::new();
        let read = File::open(path).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
            file.take(LAST_WORDS_BYTES).read_to_end(&mut text)
        });
        let text = String::from_utf8_lossy(&text);
        match (read, text.trim()) {
            (Err(_), _) | (Ok(_), "") => "it wrote nothing to standard error".to_owned(),
            (Ok(_), words) => words.to_owned(),
        }
    }
}

/// What one run cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// From before the start to the end of the program.
    pub wall: Duration,
    /// In user and kernel mode, with the children it waited for.
    pub cpu: Duration,
    /// The largest resident set.
    pub peak_memory_bytes: u64,
}

/// Returns true when both readers give the same bytes.
fn same_bytes(mut ours: impl Read, mut theirs: impl Read) -> std::io::Result<bool> {
    let mut our_buffer = vec![0; COMPARE_BYTES];
    let mut their_buffer = vec![0; COMPARE_BYTES];
    loop {
        let count = fill(&mut ours, &mut our_buffer)?;
        if count != fill(&mut theirs, &mut their_buffer)? {
            return Ok(false);
        }
        if our_buffer[..count] != their_buffer[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the end; returns how much.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

const LAST_WORDS_BYTES: u64 = 400;
const COMPARE_BYTES: usize = 64 * 1024;
