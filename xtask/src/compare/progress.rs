//! One line on standard error that says what runs and how long it may still take.
//!
//! Only a terminal gets it. The time left is the average of the steps so far times those to come.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use crate::clock;

/// Steps done of steps to do; dropping it clears the line.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    done: u32,
    steps: u32,
    shown: bool,
}

impl Progress {
    /// Starts to count towards `steps`.
    pub(crate) fn new(steps: u32) -> Self {
        Self { start: clock::now(), done: 0, steps, shown: std::io::stderr().is_terminal() }
    }

    /// Says that `what` begins; the step before it is done.
    pub(crate) fn step(&mut self, what: &str) {
        if self.shown {
            let left = match self.done {
                0 => String::new(),
                done => {
                    let one = (clock::now() - self.start) / done;
                    format!(", {} s left", (one * (self.steps - done.min(self.steps))).as_secs())
                }
            };
            let line = format!("[{}/{}] {what}{left}", self.done + 1, self.steps);
            write_line(&line);
        }
        self.done += 1;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            write_line("");
        }
    }
}

/// Replaces the line; a terminal that has gone away misses nothing that counts.
fn write_line(line: &str) {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}
