//! Allocations by call site, counted by valgrind's DHAT on the program as it is.
//!
//! DHAT's file (version 2) is JSON: `ftbl` holds frames as text, `pps` one entry for each stack
//! with total blocks (`tbk`), total bytes (`tb`) and the frames (`fs`) from the allocator outwards
//! (valgrind manual, "DHAT: a dynamic heap analysis tool").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::callgrind::SLOWDOWN;
use super::run::Prepared;
use super::seeds;
use crate::error::Error;
use crate::progress::Stop;

/// What a run allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allocations {
    /// Blocks over the whole run.
    pub blocks: u64,
    /// Bytes over the whole run.
    pub bytes: u64,
    /// Call sites in the given sources, most blocks first; what has no frame there is in none.
    pub sites: Vec<Site>,
}

/// A place in the sources that allocates.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The function, demangled.
    pub function: String,
    /// The file as the debug information has it.
    pub file: PathBuf,
    /// The line of the call.
    pub line: u32,
    /// Blocks allocated below it.
    pub blocks: u64,
    /// Bytes allocated below it.
    pub bytes: u64,
}

/// Runs `program` once under DHAT and adds up its allocations by the innermost frame whose file
/// lies below `sources`.
///
/// # Errors
///
/// As [`super::callgrind::instructions`].
pub fn count(
    program: &Prepared,
    sources: &Path,
    folder: &Path,
    stop: &Stop,
) -> Result<Allocations, Error> {
    let out = folder.join("dhat.out");
    let wrapper = vec![
        "valgrind".to_owned(),
        "--tool=dhat".to_owned(),
        "--fullpath-after=".to_owned(),
        "--num-callers=40".to_owned(),
        format!("--dhat-out-file={}", out.display()),
    ];
    let seeds = seeds::build(folder)?;
    program
        .under(wrapper, SLOWDOWN)
        .with_env("LD_PRELOAD", seeds.display().to_string())
        .run(stop)?;
    let text = std::fs::read_to_string(&out).map_err(|error| Error::file("read", &out, error))?;
    let profile: Profile = serde_json::from_str(&text)
        .map_err(|error| Error::machine("cannot read what DHAT wrote").because(error))?;
    Ok(profile.add_up(sources))
}

#[derive(Debug, Deserialize)]
struct Profile {
    pps: Vec<Stack>,
    ftbl: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Stack {
    tb: u64,
    tbk: u64,
    fs: Vec<usize>,
}

impl Profile {
    fn add_up(&self, sources: &Path) -> Allocations {
        let frames: Vec<Option<Frame<'_>>> =
            self.ftbl.iter().map(|text| Frame::parse(text)).collect();
        let mut sites = BTreeMap::<Frame<'_>, (u64, u64)>::new();
        let mut total = Allocations::default();
        for stack in &self.pps {
            total.blocks += stack.tbk;
            total.bytes += stack.tb;
            let own = stack
                .fs
                .iter()
                .filter_map(|&index| frames.get(index).copied().flatten())
                .find(|frame| Path::new(frame.file).starts_with(sources));
            if let Some(frame) = own {
                let site = sites.entry(frame).or_default();
                site.0 += stack.tbk;
                site.1 += stack.tb;
            }
        }
        total.sites = sites
            .into_iter()
            .map(|(frame, (blocks, bytes))| Site {
                function: frame.function.to_owned(),
                file: PathBuf::from(frame.file),
                line: frame.line,
                blocks,
                bytes,
            })
            .collect();
        total.sites.sort_by_key(|site| std::cmp::Reverse(site.blocks));
        total
    }
}

/// `0x401234: function (path/file.rs:12)`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Frame<'a> {
    file: &'a str,
    line: u32,
    function: &'a str,
}

impl<'a> Frame<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (_address, rest) = text.split_once(": ")?;
        let (function, place) = rest.rsplit_once(" (")?;
        let (file, line) = place.strip_suffix(')')?.rsplit_once(':')?;
        Some(Self { file, line: line.parse().ok()?, function })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_added_up_by_the_innermost_own_frame() {
        let profile: Profile = serde_json::from_str(
            r#"{"pps":[{"tb":100,"tbk":10,"fs":[1,2,3]},{"tb":5,"tbk":1,"fs":[1,2,3]},
                       {"tb":7,"tbk":2,"fs":[1]}],
                "ftbl":["[root]","0x1: alloc (/rustc/lib/alloc.rs:9)",
                        "0x2: app::hot (/p/src/hot.rs:12)","0x3: main (/p/src/main.rs:3)"]}"#,
        )
        .unwrap();
        let got = profile.add_up(Path::new("/p"));
        assert_eq!((got.blocks, got.bytes, got.sites.len()), (13, 112, 1));
        let site = &got.sites[0];
        assert_eq!((site.function.as_str(), site.line, site.blocks), ("app::hot", 12, 11));
    }
}
