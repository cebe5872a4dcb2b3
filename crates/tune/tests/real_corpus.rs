//! Small projects with a planted problem each, and a decoy that must not be kept.
//!
//! Each is a Cargo project of its own under `corpus`. The whole corpus takes about twenty minutes
//! on a quiet machine; every fifth project is run unless `TIDEMILL_CORPUS` is `all` or names one:
//!
//! ```sh
//! TIDEMILL_CORPUS=all cargo test -p tidemill-tune --test real_corpus -- --nocapture
//! ```
#![expect(clippy::print_stdout, reason = "what became of each project is the result")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidemill_tune::progress::{Observer, Stop};
use tidemill_tune::report::Report;
use tidemill_tune::session::{Options, Session};

/// A project, the function that is slow in it, and the rule that mends it.
struct Planted {
    name: &'static str,
    hot: &'static str,
    rule: &'static str,
}

const CORPUS: [Planted; 18] = [
    planted("searched-list", "count_known", "contains-in-loop"),
    planted("growing-list", "distinct", "contains-in-loop"),
    planted("list-as-queue", "rounds", "front-removal"),
    planted("counted-characters", "changes", "char-index"),
    planted("unbuffered-file", "write_rows", "unbuffered-io"),
    planted("printed-lines", "print_rows", "print-in-loop"),
    planted("locked-items", "add_all", "lock-per-item"),
    planted("known-size", "squares", "capacity"),
    planted("formatted-pieces", "rows", "format-in-loop"),
    planted("formatted-numbers", "digits", "format-in-loop"),
    planted("compiled-pattern", "matching", "regex-compiled"),
    planted("integer-keys", "collisions", "integer-hash"),
    planted("last-copy", "sum_of_row", "last-clone"),
    planted("looked-up-twice", "first_places", "clippy::map_entry"),
    planted("cloned-too-early", "last_long", "clippy::iter_overeager_cloned"),
    planted("compared-copies", "equal_to", "clippy::cmp_owned"),
    planted("collected-to-count", "matching", "clippy::needless_collect"),
    planted("owned-for-nothing", "largest", "clippy::unnecessary_to_owned"),
];

const fn planted(name: &'static str, hot: &'static str, rule: &'static str) -> Planted {
    Planted { name, hot, rule }
}

/// What became of one project.
#[derive(Default)]
struct Score {
    ranked_first: usize,
    fixed: usize,
    decoys_kept: usize,
    tests_broken: usize,
    runs: usize,
}

#[test]
fn what_is_planted_is_found_and_mended_and_no_decoy_is_kept() {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let chosen = std::env::var("TIDEMILL_CORPUS").unwrap_or_default();
    let mut score = Score::default();
    for (index, planted) in CORPUS.iter().enumerate() {
        let is_chosen = match chosen.as_str() {
            "" => index % 5 == 0,
            "all" => true,
            name => name == planted.name,
        };
        if is_chosen {
            score.add(planted);
        }
    }
    let Score { ranked_first, fixed, decoys_kept, tests_broken, runs } = score;
    println!(
        "{runs} projects: hot function first in {ranked_first}, fixed {fixed}, decoys kept \
         {decoys_kept}, tests broken {tests_broken}"
    );
    assert!(runs > 0, "no project is called {chosen}");
    assert_eq!((decoys_kept, tests_broken), (0, 0));
    assert!(ranked_first * 10 >= runs * 9, "{ranked_first} of {runs}");
    assert!(fixed * 10 >= runs * 8, "{fixed} of {runs}");
}

impl Score {
    fn add(&mut self, planted: &Planted) {
        let scratch = tempfile::tempdir().expect("scratch space");
        let folder = copy(planted.name, scratch.path());
        let (report, is_sound) = session(&folder);
        let is_hot = |name: Option<&str>| name == Some(planted.hot);
        let first = report.hotspots.first().map(|spot| spot.function.as_str());
        let is_fixed = report.kept().any(|trial| {
            is_hot(trial.function.as_deref()) && trial.finding.starts_with(planted.rule)
        });
        let decoys = report.kept().filter(|trial| !is_hot(trial.function.as_deref())).count();
        println!("{}: hot {first:?}, fixed {is_fixed}, decoys {decoys}", planted.name);
        for trial in &report.trials {
            println!("  {} {} {}", trial.finding, trial.verdict.as_str(), trial.reason);
        }
        self.runs += 1;
        self.ranked_first += usize::from(is_hot(first));
        self.fixed += usize::from(is_fixed);
        self.decoys_kept += decoys;
        self.tests_broken += usize::from(!is_sound);
    }
}

/// Copies a project of the corpus, so that its builds stay out of the tree.
fn copy(name: &str, scratch: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let to = scratch.join(name);
    fs::create_dir_all(to.join("src")).expect("scratch space");
    for file in ["Cargo.toml", "src/main.rs"] {
        fs::copy(from.join(file), to.join(file)).expect("a project of the corpus");
    }
    to
}

/// Tunes a project, writes what was kept into it, and tells whether its tests still pass.
fn session(folder: &Path) -> (Report, bool) {
    let stop = Stop::default();
    let observer = Observer::new(&|_| (), &stop);
    let mut options = Options::default();
    options.levers = false;
    let mut session = Session::open(folder, options, observer).expect("a project that can be run");
    let report = session.run(observer).expect("a session that ends");
    session.accept(&[], false).expect("a tree that can be written");
    let tests = Command::new("cargo")
        .args(["test", "--quiet"])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .current_dir(folder)
        .output()
        .expect("cargo");
    (report, tests.status.success())
}

#[test]
fn every_project_of_the_corpus_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut there: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut listed: Vec<&str> = CORPUS.iter().map(|planted| planted.name).collect();
    listed.sort_unstable();
    assert_eq!(there, listed);
    assert!(listed.len() >= 16);
}
