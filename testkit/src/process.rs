//! Programs under test: started with their output in files, killed by their own pid on drop.
//!
//! ```text
//! Launch (what to run; clone and start as often as wanted)
//!   .start() -> Process    runs until it ends or is dropped
//!   .run(within) -> Finished
//! ```
//!
//! Standard input is empty. Output goes to files in a temporary folder rather than through pipes:
//! a program never blocks on a test that does not read, and its last words are there after its
//! end. A pid is signalled only while its process is not reaped, so it is never a stranger's.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::procfs;
use crate::wait::poll;

/// What to run and how.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    envs: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    files_max: Option<u64>,
}

impl Launch {
    /// Begins with a program and no arguments.
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            folder: None,
            files_max: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Gives an environment variable a value.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes an environment variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), None));
        self
    }

    /// Runs it in a folder.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Limits its open file descriptors, soft and hard, as `ulimit -n` does.
    #[must_use]
    pub fn limit_files(mut self, files_max: u64) -> Self {
        self.files_max = Some(files_max);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn start(&self) -> Process {
        let output = TempDir::with_prefix("tidemill-process-").expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("a file for the output");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(file(STDOUT)).stderr(file(STDERR));
        let name = self.program.display().to_string();
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {name}: {error}"),
        };
        let id = child.id();
        Process { name, id, child: Mutex::new(child), output }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or is not done `within` this time; it is killed then.
    #[track_caller]
    pub fn run(&self, within: Duration) -> Finished {
        let process = self.start();
        let status = process.wait(within);
        Finished { status, stdout: process.stdout(), stderr: process.stderr() }
    }

    fn command(&self) -> Command {
        let mut command = match self.files_max {
            None => Command::new(&self.program),
            // Setting a limit in a child needs unsafe code here; the shell does it and becomes the
            // program, so that the pid is the program's.
            Some(files_max) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -n {files_max} && exec \"$0\" \"$@\"");
                shell.arg("-c").arg(script).arg(&self.program);
                shell
            }
        };
        command.args(&self.args);
        for (name, value) in &self.envs {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

/// A running program; dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    id: u32,
    child: Mutex<Child>,
    output: TempDir,
}

impl Process {
    /// Returns its pid.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns what stands on standard output so far.
    pub fn stdout(&self) -> String {
        self.read(STDOUT)
    }

    /// Returns what stands on standard error so far.
    pub fn stderr(&self) -> String {
        self.read(STDERR)
    }

    /// Returns the complete lines so far, standard output before standard error; the last line
    /// also without its end when the program has ended.
    pub fn lines(&self) -> Vec<String> {
        let ended = self.has_ended();
        [self.stdout(), self.stderr()]
            .iter()
            .flat_map(|text| text.split_inclusive('\n'))
            .filter(|line| ended || line.ends_with('\n'))
            .map(|line| line.trim_end_matches('\n').to_owned())
            .collect()
    }

    /// Waits for a line that contains `pattern` and returns it.
    ///
    /// # Panics
    ///
    /// When it does not come `within` this time, or the program ends without it.
    #[track_caller]
    pub fn wait_for_line(&self, pattern: &str, within: Duration) -> String {
        self.wait_for_nth_line(pattern, 1, within)
    }

    /// Waits for the `nth` line, counted from 1, that contains `pattern` and returns it.
    ///
    /// # Panics
    ///
    /// As [`wait_for_line`](Self::wait_for_line).
    #[track_caller]
    pub fn wait_for_nth_line(&self, pattern: &str, nth: usize, within: Duration) -> String {
        let found = self.poll(within, || {
            let lines = self.lines().into_iter();
            lines.filter(|line| line.contains(pattern)).nth(nth.saturating_sub(1))
        });
        match found {
            Some(line) => line,
            None => panic!("\"{pattern}\" (line {nth} with it) did not come from {self}"),
        }
    }

    /// Returns whether it has ended, by itself or not.
    pub fn has_ended(&self) -> bool {
        self.status().is_some()
    }

    /// Sends a signal, unless it has ended. SIGSTOP and SIGCONT make a peer hang and go on.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child();
        // Not reaped and not to be reaped meanwhile, as the lock is held: the pid is its own.
        if let Ok(None) = child.try_wait() {
            let pid = Pid::from_child(&child);
            kill_process(pid, signal).expect("one's own child may be signalled");
        }
    }

    /// Asks it to end with SIGTERM and waits for that.
    ///
    /// # Panics
    ///
    /// When it does not end `within` this time.
    #[track_caller]
    pub fn terminate(&self, within: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(within)
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end `within` this time.
    #[track_caller]
    pub fn wait(&self, within: Duration) -> ExitStatus {
        match poll(within, || self.status()) {
            Some(status) => status,
            None => panic!("no end after {within:?} of {self}"),
        }
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&self) {
        let mut child = self.child();
        // Killing fails only when it has ended, and waiting only when there is no such child.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Counts its open file descriptors; 0 when it has ended.
    pub fn open_files(&self) -> usize {
        procfs::open_files(self.id)
    }

    /// Returns the CPU time of all its threads so far, in steps of 10 ms.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[track_caller]
    pub fn cpu_time(&self) -> Duration {
        self.alive(procfs::cpu_time(self.id))
    }

    /// Returns its resident memory in bytes.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[track_caller]
    pub fn resident_bytes(&self) -> u64 {
        self.alive(procfs::resident_bytes(self.id))
    }

    /// Asks again and again until there is an answer; `None` when time is up or the program has
    /// ended without one.
    pub(crate) fn poll<T>(
        &self,
        within: Duration,
        mut probe: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        poll(within, || {
            // Asked before the probe, so that last words are heard.
            let ended = self.has_ended();
            let answer = probe();
            (answer.is_some() || ended).then_some(answer)
        })
        .flatten()
    }

    #[track_caller]
    fn alive<T>(&self, answer: Option<T>) -> T {
        match answer {
            Some(answer) => answer,
            None => panic!("nothing in /proc of {self}"),
        }
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("the child is this process' own")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("no code panics while it holds the lock")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).expect("the file was made at start");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The program, how it is, and the end of what it said: the tail of a panic's message.
impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}, ", self.name, self.id)?;
        match self.status() {
            Some(status) => write!(f, "ended: {status})")?,
            None => write!(f, "running)")?,
        }
        let lines = self.lines();
        for line in &lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..] {
            f.write_char('\n')?;
            f.write_str("  | ")?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";
const LINES_SHOWN_MAX: usize = 40;
