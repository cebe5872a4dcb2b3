//! Makes a trace of buffers from what strace(1) saw a proxy do.
//!
//! `cargo run -p tidemill-memory --example record_trace -- STRACE_FILE... > trace.txt`
//!
//! A receive that brought bytes is a taking of so many; the sends of the same thread that pass
//! them on, until none is left, are its end. Calls that strace shows in two halves count when they
//! end. `benches/trace/README.md` says how the files were made and what the columns are.
#![expect(clippy::print_stdout, reason = "the trace is its output")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// A buffer from its taking to its giving, in microseconds of the recording.
struct Use {
    thread: u32,
    taken: u64,
    given: Option<u64>,
    bytes: usize,
    /// Not yet passed on.
    left: usize,
}

/// Everything seen so far.
#[derive(Default)]
struct Recording {
    uses: Vec<Use>,
    /// Uses of a thread that have bytes left, oldest first.
    pending: HashMap<u32, Vec<usize>>,
    /// Lengths of sends whose result comes on a later line.
    unfinished: HashMap<u32, usize>,
}

impl Recording {
    /// Takes in a line: `thread seconds.micros call(fd, data, length, ...) = result`.
    fn line(&mut self, line: &str) -> Option<()> {
        let (thread, rest) = line.split_once(' ')?;
        let (time, call) = rest.trim_start().split_once(' ')?;
        let (thread, time) = (thread.parse().ok()?, micros(time)?);
        let length = || call.split(", ").nth(2)?.trim_end_matches(')').parse::<usize>().ok();
        if call.starts_with("sendto(") && call.ends_with("<unfinished ...>") {
            self.unfinished.insert(thread, length()?);
            return Some(());
        }
        // An error is negative, or a question mark when the process ended.
        let result: usize = call.rsplit_once(" = ")?.1.parse().ok()?;
        if call.starts_with("recvfrom(") || call.starts_with("<... recvfrom resumed>") {
            if result > 0 {
                self.pending.entry(thread).or_default().push(self.uses.len());
                self.uses.push(Use {
                    thread,
                    taken: time,
                    given: None,
                    bytes: result,
                    left: result,
                });
            }
        } else if call.starts_with("sendto(") {
            self.sent(thread, time, length()?, result);
        } else if call.starts_with("<... sendto resumed>") {
            let length = self.unfinished.remove(&thread)?;
            self.sent(thread, time, length, result);
        }
        Some(())
    }

    /// The use whose rest was offered is the one that was passed on.
    fn sent(&mut self, thread: u32, time: u64, offered: usize, passed: usize) {
        let Some(pending) = self.pending.get_mut(&thread) else { return };
        let found = pending.iter().position(|&index| self.uses[index].left == offered);
        let Some(place) = found else { return };
        let one = &mut self.uses[pending[place]];
        one.left -= passed.min(one.left);
        if one.left == 0 {
            one.given = Some(time);
            pending.remove(place);
        }
    }

    /// Writes a line for each use in the order of taking; one that never ended is held to the end.
    fn print(mut self) -> String {
        self.uses.sort_by_key(|one| one.taken);
        let end = self.uses.iter().filter_map(|one| one.given).max().unwrap_or(0);
        let mut threads = BTreeMap::new();
        let mut before = self.uses.first().map_or(0, |one| one.taken);
        let mut text = String::new();
        for one in self.uses {
            let count = threads.len();
            let thread = *threads.entry(one.thread).or_insert(count);
            let life = one.given.unwrap_or(end).saturating_sub(one.taken);
            let since = one.taken - before;
            writeln!(text, "{since} {thread} {} {life}", one.bytes).expect("memory is writable");
            before = one.taken;
        }
        text
    }
}

fn micros(time: &str) -> Option<u64> {
    let (seconds, micros) = time.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
}

fn main() -> std::io::Result<()> {
    let mut recording = Recording::default();
    for path in std::env::args().skip(1) {
        for line in std::fs::read_to_string(path)?.lines() {
            // Signals, exits and other calls have no place in the trace.
            let _ = recording.line(line);
        }
    }
    print!("{}", recording.print());
    Ok(())
}
