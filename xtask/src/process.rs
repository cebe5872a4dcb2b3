//! Children: started with their output kept, waited for with a limit, never left behind.
//!
//! Two kinds. A [`Server`] runs until it is dropped; a tool is run to its end by [`run`] and gives
//! its [`Output`]. Both end at a limit of time or at an interrupt, and both are ended by pid: first
//! TERM, after [`GRACE`] KILL, with every descendant. The process adopts orphans ([`adopt`]), so
//! that even what a killed child leaves is found by [`end_leftovers`].

use std::fs::{self, File};
use std::io::{PipeReader, Read};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper,
    waitpid,
};

use crate::clock;
use crate::error::{Context, Error, Result};
use crate::{interrupt, procfs};

/// Becomes the parent of every descendant whose own parent ends.
pub(crate) fn adopt() -> Result<()> {
    set_child_subreaper(Some(getpid())).context(|| "cannot adopt orphans".to_owned())
}

/// A program that serves on a port of the loopback interface; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts `command` and waits until something listens on `port`.
    ///
    /// # Errors
    ///
    /// Fails with the end of its log when the program ends or does not listen in [`START_LIMIT`].
    pub(crate) fn start(name: &str, mut command: Command, port: u16, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).context(|| format!("cannot create {}", log.display()))?;
        let both = file.try_clone().context(|| format!("cannot open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file).stderr(both);
        let child = command.spawn().context(|| format!("cannot start {name}"))?;
        let mut server = Self { child, name: name.to_owned(), log };
        server.wait_listening(port)?;
        Ok(server)
    }

    /// Returns the process that was started; others may descend from it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_listening(&mut self, port: u16) -> Result<()> {
        let deadline = clock::now() + START_LIMIT;
        while !procfs::is_listening(port) {
            let ended = wait_until(&mut self.child, clock::now() + LOOK_INTERVAL)?;
            if ended.is_some() || clock::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<_> = log.trim().lines().collect();
                let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n    ");
                let what = ended.map_or("does not listen".to_owned(), |s| format!("ended, {s}"));
                return Err(Error::outside(format!(
                    "{} {what} (port {port}); its log ends:\n    {tail}",
                    self.name
                )));
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What a tool printed, and whether it was content.
#[derive(Debug)]
pub(crate) struct Output {
    /// True when it exited with code 0.
    pub(crate) success: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// Runs `command` to its end, for at most `limit`.
///
/// # Errors
///
/// Fails when it cannot start, takes longer than `limit`, or an interrupt comes.
pub(crate) fn run(mut command: Command, limit: Duration) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(|| format!("cannot start {name}"))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let status = wait_until(&mut child, clock::now() + limit);
    if !matches!(status, Ok(Some(_))) {
        end(&mut child);
    }
    let text = |reader: Option<JoinHandle<String>>| reader.and_then(|reader| reader.join().ok());
    let (stdout, stderr) = (text(stdout).unwrap_or_default(), text(stderr).unwrap_or_default());
    match status? {
        Some(status) => Ok(Output { success: status.success(), stdout, stderr }),
        None => Err(Error::outside(format!("{name} did not end in {} s", limit.as_secs()))),
    }
}

/// Runs `command`, handing both its outputs to `reader` as one stream, and ends what it leaves.
///
/// Returns its status and the names of processes that it left running. There is no limit of time:
/// this is for builds and tests, which bound themselves; an interrupt ends it.
///
/// # Errors
///
/// Fails when it cannot start or an interrupt comes.
pub(crate) fn stream<T: Send + 'static>(
    mut command: Command,
    reader: impl FnOnce(PipeReader) -> T + Send + 'static,
) -> Result<(ExitStatus, Vec<String>, Option<T>)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (output, input) = std::io::pipe().context(|| "cannot open a pipe".to_owned())?;
    let again = input.try_clone().context(|| "cannot open a pipe".to_owned())?;
    let own = std::process::id();
    let before = procfs::descendants(own);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(input)
        .stderr(again)
        .spawn()
        .context(|| format!("cannot start {name}"))?;
    drop(command); // it holds the writing end, and the reader waits for its close
    let reader = thread::spawn(move || reader(output));
    let status = loop {
        match wait_until(&mut child, clock::now() + Duration::from_secs(3600)) {
            Ok(None) => {}
            Ok(Some(status)) => break Ok(status),
            Err(error) => {
                end(&mut child);
                break Err(error);
            }
        }
    };
    let left = end_leftovers(&before);
    Ok((status?, left, reader.join().ok()))
}

/// Ends every descendant of this process that is not in `before`; returns the names of those that
/// were still running.
pub(crate) fn end_leftovers(before: &[u32]) -> Vec<String> {
    let mut left = procfs::descendants(std::process::id());
    left.retain(|pid| !before.contains(pid));
    left.iter().for_each(|pid| reap(*pid));
    left.retain(|pid| procfs::name(*pid).is_some());
    let names = left.iter().filter_map(|pid| procfs::name(*pid)).collect();
    end_all(&left, || left.iter().for_each(|pid| reap(*pid)));
    names
}

/// Returns a port of the loopback interface that is free, below the range that the kernel gives to
/// outgoing connections, so that none of those takes it before its server does.
pub(crate) fn free_port() -> Result<u16> {
    let span = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() % u32::from(span)).unwrap_or(0);
    for _ in 0..span {
        let turn = NEXT_PORT.fetch_add(1, Ordering::Relaxed); // any order gives distinct turns
        let port = PORTS.start + first.wrapping_add(turn) % span;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::outside(format!("no free port from {} to {}", PORTS.start, PORTS.end)))
}

/// Waits for the child to end; `None` when `deadline` comes first, an error on an interrupt.
fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    let watch = to_pid(child.id()).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let watch = watch.and_then(std::result::Result::ok);
    loop {
        interrupt::check()?;
        if let Some(status) = child.try_wait().context(|| "cannot wait".to_owned())? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Ok(None);
        }
        // A signal between the check and the wait is seen after one interval.
        let wait = left.min(if watch.is_some() { CHECK_INTERVAL } else { LOOK_INTERVAL });
        let mut ready: Vec<_> =
            watch.iter().map(|watch| PollFd::new(watch, PollFlags::IN)).collect();
        wait_for(&mut ready, wait);
    }
}

/// Waits for `duration` or a signal.
pub(crate) fn pause(duration: Duration) {
    wait_for(&mut [], duration);
}

fn wait_for(ready: &mut [PollFd<'_>], duration: Duration) {
    let limit = Timespec::try_from(duration).expect("intervals are seconds at most");
    // A signal ends the wait early; every caller looks again.
    let _ = poll(ready, Some(&limit));
}

/// Ends a child and all that descends from it.
fn end(child: &mut Child) {
    let mut family = procfs::descendants(child.id());
    family.push(child.id());
    end_all(&family, || {
        // The child's own status belongs to `Child`; the others are reaped once they are orphans.
        let _ = child.try_wait();
        family[..family.len() - 1].iter().for_each(|pid| reap(*pid));
    });
}

/// Sends TERM and, after [`GRACE`], KILL; waits until all are gone, for at most twice that time.
fn end_all(pids: &[u32], mut reap_all: impl FnMut()) {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = clock::now() + GRACE;
        for pid in pids.iter().filter_map(|pid| to_pid(*pid)) {
            // Whoever has ended already needs no signal.
            let _ = kill_process(pid, signal);
        }
        reap_all();
        while pids.iter().any(|pid| procfs::name(*pid).is_some()) && clock::now() < deadline {
            pause(LOOK_INTERVAL);
            reap_all();
        }
    }
}

/// Takes the status of an adopted process that has ended.
fn reap(pid: u32) {
    // Not a child of this process, or still running: then there is nothing to take.
    let _ = to_pid(pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Reads a pipe to its end in a thread of its own, keeping the first [`OUTPUT_BYTES_MAX`].
fn collect(pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut pipe = pipe;
        let mut bytes = Vec::new();
        // What cannot be read is missing from the output, and its user says so.
        let _ = pipe.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// Below the usual `net.ipv4.ip_local_port_range`.
const PORTS: std::ops::Range<u16> = 21_000..32_000;

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a child may take to end after TERM.
const GRACE: Duration = Duration::from_secs(3);

/// Between two looks at something that raises no event.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Between two checks for an interrupt.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

const LOG_LINES_SHOWN: usize = 10;
const OUTPUT_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// What is left behind is told by what this process has no other reason to have.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    fn alone() -> MutexGuard<'static, ()> {
        ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_failure_come_back() {
        let _alone = alone();
        let output = run(shell("echo out; echo err >&2; exit 3"), Duration::from_secs(10));
        let output = output.expect("sh runs");
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
        assert!(!output.success);
    }

    #[test]
    fn a_tool_that_hangs_is_ended() {
        let _alone = alone();
        let error = run(shell("exec sleep 60"), Duration::from_millis(50)).expect_err("too slow");
        assert!(error.to_string().contains("did not end"), "{error}");
    }

    #[test]
    fn a_server_that_ends_shows_its_log() {
        let _alone = alone();
        let log = std::env::temp_dir().join(format!("xtask-log-{}", std::process::id()));
        let started = Server::start("broken", shell("echo no such option; exit 1"), 1, log.clone());
        let message = started.expect_err("it ends").to_string();
        assert!(message.contains("no such option"), "{message}");
        fs::remove_file(log).expect("the log was written");
    }

    #[test]
    fn what_is_left_running_is_named_and_ended() {
        let _alone = alone();
        adopt().expect("Linux 3.4 or later");
        // The child that stays holds the pipe: without its end the reader would wait for ever.
        let script = shell("sleep 300 & echo $!");
        let (status, left, pid) = stream(script, |mut output| {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        })
        .expect("sh runs");
        assert!(status.success());
        assert_eq!(left, ["sleep"]);
        let pid = pid.expect("the reader ended").expect("the pipe is read");
        assert_eq!(procfs::name(pid.trim().parse().expect("a pid")), None);
    }

    #[test]
    fn ports_are_not_given_twice() {
        let (a, b) = (free_port().expect("a port"), free_port().expect("a port"));
        assert_ne!(a, b);
        assert!(PORTS.contains(&a) && PORTS.contains(&b));
    }
}
