//! Questions to `/proc`: who descends from whom, what a process has used, which ports listen.
//!
//! A process that has ended answers nothing and costs nothing; that is never an error here.

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::Duration;

/// Returns the processes that descend from `pid`, children before their own children.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(stat) = Stat::read(child) {
            parents.push((stat.parent, child));
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(p, _)| *p == parent).map(|(_, child)| *child));
        next += 1;
    }
    found.remove(0);
    found
}

/// Returns the processor time that `pid` and its descendants have used, user and system together.
///
/// It is that of the threads that are there, to the nanosecond; where the kernel keeps no such
/// account it comes in ticks of 10 ms, which blur a load of a second by a percent or two.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let pids = [pid].into_iter().chain(descendants(pid));
    pids.map(|pid| cpu_time_of_threads(pid).unwrap_or_else(|| cpu_time_in_ticks(pid))).sum()
}

fn cpu_time_of_threads(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    // On a processor, waiting for one, how often: the first two in nanoseconds.
    let times = threads.flatten().filter_map(|thread| {
        let account = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        account.split_whitespace().next()?.parse::<u64>().ok()
    });
    let nanoseconds: u64 = times.sum();
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

fn cpu_time_in_ticks(pid: u32) -> Duration {
    let ticks = Stat::read(pid).map_or(0, |stat| stat.ticks);
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// Returns the memory of `pid` and its descendants in bytes, of shared pages their share (PSS).
pub(crate) fn memory_bytes(pid: u32) -> u64 {
    let pids = [pid].into_iter().chain(descendants(pid));
    pids.filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
        .filter_map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        })
        .map(|kib| kib * 1024)
        .sum()
}

/// Returns the command name of `pid` while it is there.
pub(crate) fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// Returns true when some IPv4 socket listens on `port`.
///
/// The kernel lists listeners first, and reading stops behind them: after a load the table may have
/// a hundred thousand lines.
pub(crate) fn is_listening(port: u16) -> bool {
    let Ok(table) = fs::File::open("/proc/net/tcp") else { return false };
    let lines = BufReader::new(table).lines().skip(1).map_while(Result::ok);
    lines.map_while(|line| listening_port(&line)).any(|listening| listening == port)
}

/// Returns how many TCP sockets wait out their last minute (TIME_WAIT).
pub(crate) fn time_wait_sockets() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let mut words = line.split_whitespace().skip_while(|word| *word != "tw");
    words.nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: local address, remote address, state 0A.
fn listening_port(line: &str) -> Option<u16> {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let port = local.split(':').nth(1).filter(|_| state == "0A")?;
    u16::from_str_radix(port, 16).ok()
}

/// What is needed of `/proc/PID/stat`.
struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields are counted from the state, behind a name that may hold spaces and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks: number(11)? + number(12)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_its_name() {
        let line = "42 (a ) b) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 1 0 100 0 0";
        let stat = Stat::parse(line).expect("whole line");
        assert_eq!((stat.parent, stat.ticks), (7, 175));
        assert!(Stat::parse("42 (a").is_none());
    }

    #[test]
    fn only_listeners_count() {
        let listens = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000";
        let talks = "   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000";
        assert_eq!(listening_port(listens), Some(8080));
        assert_eq!(listening_port(talks), None);
    }

    #[test]
    fn a_listener_is_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        assert!(is_listening(port));
        assert!(!is_listening(0), "nobody listens on port 0");
    }

    #[test]
    fn this_process_is_there() {
        assert!(memory_bytes(std::process::id()) > 0);
        assert!(name(std::process::id()).is_some());
    }
}
