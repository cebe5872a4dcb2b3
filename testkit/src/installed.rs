//! Programs of the machine: where they are, or a line that says what is skipped without them.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;

/// Finds a program, also where only root's `PATH` leads.
///
/// When it is missing, prints `skipped: NAME is not installed`, once in a process, and past the
/// test harness' capture so that `cargo xtask test` can count it.
pub fn require(program: &str) -> Option<PathBuf> {
    let path = search_path();
    let found = env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() && note_once(program) {
        // A standard output that is closed has nobody to tell.
        let _ = writeln!(io::stdout(), "skipped: {program} is not installed");
    }
    found
}

fn note_once(program: &str) -> bool {
    let mut missing = MISSING.lock().expect("no code panics while it holds the lock");
    missing.insert(program.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "programs are found where the shell finds them")]
fn search_path() -> OsString {
    env::var_os("PATH").unwrap_or_default()
}

static MISSING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_a_missing_one_is_noted_once() {
        assert!(require("sh").is_some_and(|file| file.is_absolute()));
        assert!(note_once("a program that nobody asks for"));
        assert!(!note_once("a program that nobody asks for"));
    }
}
