//! Projects that cannot be tuned, changes that must not be kept, and sessions that are stopped:
//! each is told with whose fault it is, and the tree stays as it was.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tidemill_tune::ErrorKind;
use tidemill_tune::find::unified;
use tidemill_tune::judge::Verdict;
use tidemill_tune::progress::{Observer, Progress, Stop};
use tidemill_tune::session::{Options, Session};

/// A list that is searched, a set whose order is printed, and a rule that only the test knows.
const MAIN: &str = "\
use std::collections::BTreeSet;

fn main() {
    let words: Vec<u64> = (0..4_000).map(|i| i * 7 % 9_001).collect();
    println!(\"{} {:?} {}\", common(&words), ordered(&words[..9]), capped(3));
}

#[inline(never)]
fn common(words: &[u64]) -> usize {
    let mut count = 0;
    for i in 0..6_000_u64 {
        if words.contains(&i) {
            count += 1;
        }
    }
    count
}

fn ordered(words: &[u64]) -> Vec<u64> {
    let sorted: BTreeSet<u64> = words.iter().copied().collect();
    sorted.into_iter().rev().collect()
}

fn capped(value: u64) -> u64 {
    value.min(100)
}

#[test]
fn values_are_capped() {
    assert_eq!((capped(200), common(&[]), ordered(&[]).len()), (100, 0, 0));
}
";

/// Writes a project with this text as its only source.
fn plant(folder: &Path, main: &str) {
    fs::create_dir_all(folder.join("src")).expect("scratch space");
    let manifest = "[package]\nname = \"app\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).expect("scratch space");
    fs::write(folder.join("src/main.rs"), main).expect("scratch space");
}

/// Measures a project that cannot be, and returns whose fault it is and what is said.
#[track_caller]
fn refused(main: &str) -> (ErrorKind, String) {
    let scratch = tempfile::tempdir().unwrap();
    plant(scratch.path(), main);
    let stop = Stop::default();
    let observer = Observer::new(&|_| (), &stop);
    let error = Session::open(scratch.path(), Options::default(), observer)
        .and_then(|mut session| session.measure(observer).map(drop))
        .expect_err("nothing to tune");
    assert_eq!(fs::read_to_string(scratch.path().join("src/main.rs")).unwrap(), main);
    assert!(!scratch.path().join("target/tune/source").exists(), "the copy is gone");
    (error.kind(), error.to_string())
}

#[test]
fn what_does_not_compile_is_the_project_s_fault() {
    let (kind, message) = refused("fn main() { let _: u32 = \"a\"; }");
    assert_eq!(kind, ErrorKind::Project);
    assert!(message.contains("does not compile") && message.contains("E0308"), "{message}");
}

#[test]
fn tests_that_fail_before_any_change_are_told_first() {
    let (kind, message) = refused("fn main() {}\n#[test]\nfn never() { assert_eq!(1, 2); }");
    assert_eq!(kind, ErrorKind::Project);
    assert!(message.contains("fail before anything was changed"), "{message}");
}

#[test]
fn output_that_changes_proves_nothing() {
    let (kind, message) =
        refused("fn main() { println!(\"{:?}\", std::time::SystemTime::now()); }");
    assert_eq!(kind, ErrorKind::Project);
    assert!(message.contains("output = \"none\""), "says what to do: {message}");
}

#[test]
fn a_project_without_a_program_is_asked_for_a_workload() {
    let scratch = tempfile::tempdir().unwrap();
    plant(scratch.path(), "");
    fs::rename(scratch.path().join("src/main.rs"), scratch.path().join("src/lib.rs")).unwrap();
    let stop = Stop::default();
    let observer = Observer::new(&|_| (), &stop);
    let error = Session::open(scratch.path(), Options::default(), observer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.to_string().contains("tune.toml"), "{error}");
    assert!(!scratch.path().join("target").exists(), "told before any work");
}

#[test]
fn a_session_that_is_stopped_leaves_neither_copy_nor_lock() {
    let scratch = tempfile::tempdir().unwrap();
    plant(scratch.path(), MAIN);
    let stop = Stop::default();
    let was_seen = AtomicBool::new(false);
    let tell = |progress: &Progress| {
        if progress.what == "build" {
            was_seen.store(true, Ordering::Relaxed);
            stop.request();
        }
    };
    let observer = Observer::new(&tell, &stop);
    let mut session = Session::open(scratch.path(), Options::default(), observer).unwrap();
    let quiet = Stop::default();
    let other = Observer::new(&|_| (), &quiet);
    let second = Session::open(scratch.path(), Options::default(), other).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Request);
    assert!(second.to_string().contains("another tune is at work"), "{second}");

    let error = session.measure(observer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(was_seen.load(Ordering::Relaxed));
    drop(session);
    assert!(!scratch.path().join("target/tune/source").exists());
    assert_eq!(fs::read_to_string(scratch.path().join("src/main.rs")).unwrap(), MAIN);
    let third = Session::open(scratch.path(), Options::default(), other);
    assert!(third.is_ok(), "the lock went with the session: {third:?}");
}

/// The same answer after a sixth more work.
const MORE: &str = "\
let mut count = 0;
    for i in 0..1_000_u64 {
        std::hint::black_box(words.contains(&std::hint::black_box(i)));
    }";

/// Changes that look like fixes, and why each must not be kept.
const DECOYS: [(&str, &str, &str, &str); 5] = [
    ("does not compile", "value.min(100)", "value.smaller(100)", "does not compile"),
    ("breaks a test", "value.min(100)", "value", "tests fail"),
    ("changes the order", ".rev()", "", "prints something else"),
    ("does more work", "let mut count = 0;", MORE, "more instructions"),
    ("gains nothing", "value.min(100)", "if value < 100 { value } else { 100 }", "not faster"),
];

#[test]
fn changes_that_are_wrong_or_worth_nothing_are_rejected_by_their_gate() {
    let scratch = tempfile::tempdir().unwrap();
    plant(scratch.path(), MAIN);
    let stop = Stop::default();
    let observer = Observer::new(&|_| (), &stop);
    let mut session = Session::open(scratch.path(), Options::default(), observer).unwrap();
    session.measure(observer).unwrap();
    let has_instructions =
        session.notes().iter().all(|note| !note.contains("gate of instructions"));
    for (name, before, after, why) in DECOYS {
        let patch = unified("src/main.rs".as_ref(), MAIN, &MAIN.replace(before, after));
        let trial = session.try_patch(name, &patch, observer).unwrap();
        println!("{name}: {} {}", trial.verdict.as_str(), trial.reason);
        assert_ne!(trial.verdict, Verdict::Keep, "{name}: {trial:?}");
        // A noisy machine may only say that it cannot tell, and one without valgrind has to time
        // what does more work; the other gates depend on nothing.
        if trial.ratio.is_none() || trial.verdict == Verdict::Reject && has_instructions {
            assert!(trial.reason.contains(why), "{name}: {}", trial.reason);
        }
        let is_decided_by_time = name == "gains nothing" || name == "does more work";
        assert!(trial.ratio.is_none() || is_decided_by_time, "{name}: {trial:?}");
    }
    let refused = session.accept(&["breaks a test".to_owned()], false).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Request);
    assert_eq!(fs::read_to_string(scratch.path().join("src/main.rs")).unwrap(), MAIN);
}
