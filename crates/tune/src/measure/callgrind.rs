//! Instructions, counted under callgrind with hash seeds pinned.
//!
//! Callgrind serialises threads and sees neither system calls nor cache misses: its counts rank
//! and gate work, and never prove time.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

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
    let text = profile(program, folder, stop)?;
    total(&text).ok_or_else(|| Error::machine("callgrind wrote a profile without a total"))
}

/// Where the instructions of a run were executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lines {
    /// Instructions by line of the given sources, paths relative to them; what a line calls
    /// outside of the sources is charged to the line.
    pub costs: BTreeMap<(PathBuf, u32), u64>,
    /// Instructions of the run.
    pub total: u64,
}

/// Runs `program` once under callgrind and charges instructions to the lines below `sources`.
///
/// # Errors
///
/// As [`instructions`].
pub fn lines(
    program: &Prepared,
    sources: &Path,
    folder: &Path,
    stop: &Stop,
) -> Result<Lines, Error> {
    let text = profile(program, folder, stop)?;
    let total =
        total(&text).ok_or_else(|| Error::machine("callgrind wrote a profile without a total"))?;
    Ok(Lines { costs: Reader::new(sources).read(&text), total })
}

/// Runs `program` under callgrind and returns the profile's text.
fn profile(program: &Prepared, folder: &Path, stop: &Stop) -> Result<String, Error> {
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
    std::fs::read_to_string(&out).map_err(|error| Error::file("read", &out, error))
}

/// Returns the total that stands in the line `summary:` or `totals:` of a profile.
fn total(profile: &str) -> Option<u64> {
    let line = |key: &str| profile.lines().find_map(|line| line.strip_prefix(key));
    let counts = line("summary:").or_else(|| line("totals:"))?;
    counts.split_ascii_whitespace().next()?.parse().ok()
}

/// Reads the lines of a profile one after the other (valgrind manual, "Callgrind Format
/// Specification"): `fl`, `fi` and `fe` name the file of the costs that follow, `calls` the cost of
/// the next line as that of what is called from there. Names stand once and are numbers afterwards.
struct Reader<'a> {
    sources: &'a Path,
    files: HashMap<&'a str, Option<PathBuf>>,
    /// The file of the costs that follow, where it is one of ours.
    file: Option<PathBuf>,
    /// The file of the function that is called next; none where the profile leaves it out.
    called: Option<Option<PathBuf>>,
    is_call: bool,
    line: u32,
    /// The last line of ours in this function: what is inlined into it is charged to it.
    own: Option<(PathBuf, u32)>,
    costs: BTreeMap<(PathBuf, u32), u64>,
}

impl<'a> Reader<'a> {
    fn new(sources: &'a Path) -> Self {
        Self {
            sources,
            files: HashMap::new(),
            file: None,
            called: None,
            is_call: false,
            line: 0,
            own: None,
            costs: BTreeMap::new(),
        }
    }

    fn read(mut self, profile: &'a str) -> BTreeMap<(PathBuf, u32), u64> {
        for line in profile.lines() {
            match line.split_once('=') {
                Some(("fl" | "fi" | "fe", name)) => self.file = self.file_of(name),
                Some(("fn", _)) => self.own = None,
                Some(("cfl" | "cfi", name)) => self.called = Some(self.file_of(name)),
                Some(("calls", _)) => self.is_call = true,
                Some(_) => {}
                None => self.cost(line),
            }
        }
        self.costs
    }

    fn cost(&mut self, text: &str) {
        let mut words = text.split_ascii_whitespace();
        let Some(line) = words.next().and_then(|word| self.position(word)) else { return };
        let Some(cost) = words.next().and_then(|word| word.parse::<u64>().ok()) else { return };
        self.line = line;
        let called = self.called.take();
        let is_call = std::mem::take(&mut self.is_call);
        // Line 0 is code that the compiler made up.
        if let Some(file) = self.file.as_ref().filter(|_| line > 0) {
            self.own = Some((file.clone(), line));
        }
        // What is called of ours has costs of its own.
        if is_call && called.unwrap_or_else(|| self.file.clone()).is_some() {
            return;
        }
        if let Some(own) = &self.own {
            *self.costs.entry(own.clone()).or_default() += cost;
        }
    }

    /// Returns a line number, which may stand beside the one before: `+3`, `-3`, `*`.
    fn position(&self, word: &str) -> Option<u32> {
        match word.as_bytes().first()? {
            b'*' => Some(self.line),
            b'+' => self.line.checked_add(word[1..].parse().ok()?),
            b'-' => self.line.checked_sub(word[1..].parse().ok()?),
            _ => word.parse().ok(),
        }
    }

    /// Returns the file that `(1) /path` or `(1)` names, where it lies below our sources.
    fn file_of(&mut self, name: &'a str) -> Option<PathBuf> {
        let (number, path) = match name.split_once(' ') {
            Some((number, path)) => (number, Some(path)),
            None if name.starts_with('(') => (name, None),
            None => ("", Some(name)),
        };
        let Some(path) = path else { return self.files.get(number).cloned().flatten() };
        let own = Path::new(path).strip_prefix(self.sources).ok().map(Path::to_owned);
        if !number.is_empty() {
            self.files.insert(number, own.clone());
        }
        own
    }
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

    #[test]
    fn costs_belong_to_the_line_of_ours_that_caused_them() {
        let profile = "\
events: Ir
fl=(1) /p/src/main.rs
fn=(1) app::main
10 5
+2 7
fi=(2) /rustc/slice.rs
90 100
fe=(1)
cfi=(2)
cfn=(2) core::sort
calls=3 40
12 1000
cfn=(3) app::hot
calls=1 20
13 500
fn=(3)
20 500
fl=(2)
fn=(2)
40 1000
totals: 1612
";
        let costs = Reader::new(Path::new("/p")).read(profile);
        let got: Vec<(u32, u64)> = costs.iter().map(|((_, line), cost)| (*line, *cost)).collect();
        assert_eq!(got, [(10, 5), (12, 1107), (20, 500)]);
        assert!(costs.keys().all(|(file, _)| file == Path::new("src/main.rs")));
    }
}
