//! Instructions, counted under callgrind with hash seeds pinned.
//!
//! Callgrind serialises threads and sees neither system calls nor cache misses: its counts rank
//! and gate work, and never prove time.

use std::path::Path;

use super::run::Prepared;
use super::seeds;
use crate::error::Error;
use crate::progress::Stop;

/// Runs `program` once under callgrind and returns the instructions it executed.
///
/// Files go into `folder`. Costs about fifty times the time of a plain run.
///
/// # Errors
///
/// valgrind is missing or does not know an instruction of the program, the run fails, or the
/// session was stopped.
pub fn instructions(program: &Prepared, folder: &Path, stop: &Stop) -> Result<u64, Error> {
    let out = folder.join("callgrind.out");
    let wrapper = vec![
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
    ];
    let seeds = seeds::build(folder)?;
    program
        .under(wrapper, SLOWDOWN)
        .with_env("LD_PRELOAD", seeds.display().to_string())
        .run(stop)?;
    let text = std::fs::read_to_string(&out).map_err(|error| Error::file("read", &out, error))?;
    total(&text).ok_or_else(|| Error::machine("callgrind wrote a profile without a total"))
}

/// Returns the total that stands in the line `summary:` or `totals:` of a profile.
fn total(profile: &str) -> Option<u64> {
    let line = |key: &str| profile.lines().find_map(|line| line.strip_prefix(key));
    let counts = line("summary:").or_else(|| line("totals:"))?;
    counts.split_ascii_whitespace().next()?.parse().ok()
}

/// A run under valgrind may take this many times the time of a plain one.
pub(super) const SLOWDOWN: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_either_line() {
        assert_eq!(total("events: Ir\nsummary: 123\nfn=x\n"), Some(123));
        assert_eq!(total("events: Ir\nfn=x\n1 2\ntotals: 45\n"), Some(45));
        assert_eq!(total("events: Ir\n"), None);
    }
}
