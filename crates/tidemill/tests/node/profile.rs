//! `perf` and `trace` as commands: what they print, hand on and refuse.

use std::fs;

use serde_json::Value;
use testkit::Finished;

use crate::{SOON, fails, tidemill};

#[track_caller]
fn run(args: &[&str]) -> Finished {
    tidemill().args(args).run(SOON)
}

#[test]
fn stat_counts_a_command_and_hands_its_end_on() {
    let good = run(&["perf", "stat", "--", "sh", "-c", "echo told; exit 0"]);
    assert_eq!((good.status.code(), good.stdout.as_str()), (Some(0), "told\n"), "{good:?}");
    for part in ["Counts for 'sh -c echo told; exit 0'", "task-clock", "seconds elapsed"] {
        assert!(good.stderr.contains(part), "no {part:?} in {}", good.stderr);
    }
    fails(&run(&["perf", "stat", "--", "sh", "-c", "exit 7"]), 7, "exit status: 7");
    fails(&run(&["perf", "stat", "--", "sh", "-c", "kill -9 $$"]), 137, "SIGKILL");
}

#[test]
fn stat_in_json_has_an_answer_for_each_event() {
    let events = "task-clock,cycles,page-faults";
    let finished = run(&["--json", "perf", "stat", "-e", events, "--", "true"]);
    let document: Value = serde_json::from_str(&finished.stdout).expect("one document");
    let answers = document["events"].as_array().expect("events");
    let names: Vec<_> = answers.iter().map(|event| event["event"].as_str()).collect();
    assert_eq!(names, [Some("task-clock"), Some("cycles"), Some("page-faults")]);
    for event in answers {
        match event["answer"].as_str() {
            Some("counted") => assert!(event["value"].is_u64(), "{event}"),
            Some("instead" | "unsupported") => {
                assert!(event["reason"]["why"].is_string(), "{event}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(document["exit_code"], 0);
}

#[test]
fn misuse_says_what_would_be_right() {
    fails(&run(&["perf", "stat"]), 2, "write it after `--`");
    fails(&run(&["perf", "stat", "--", "/no/such/program"]), 2, "`/no/such/program`");
    fails(&run(&["perf", "stat", "-e", "cycels", "--", "true"]), 2, "no event is called `cycels`");
    fails(&run(&["perf", "stat", "--pid", "2000000000"]), 2, "no process has the id 2000000000");
    fails(&run(&["perf", "record", "--pid", "2000000000"]), 2, "no process has the id 2000000000");
    fails(&run(&["perf", "record", "-F", "0", "--", "true"]), 2, "0 Hz is out of range");
    fails(&run(&["perf", "record", "-o", "a.bmp", "--", "true"]), 2, ".svg, .folded");
    fails(&run(&["perf", "record", "-o", "/no/folder/a.svg", "--", "true"]), 2, "no such folder");
    fails(&run(&["perf", "record", "--pid", "1", "--", "true"]), 2, "cannot be used with");
    fails(&run(&["trace", "--filter", "a < 3", "--", "true"]), 2, "--event");
}

#[test]
fn record_writes_every_form_or_says_why_it_may_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (svg, folded, pprof, firefox) =
        (path("a.svg"), path("b.folded"), path("c.pb"), path("d.json"));
    let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 4";
    let files = ["-o", &svg, "-o", &folded, "-o", &pprof, "-o", &firefox];
    let args = [&["--json", "perf", "record"][..], &files, &["--", "sh", "-c", burn]].concat();
    let finished = run(&args);
    if finished.status.code() == Some(3) {
        assert!(finished.stderr.contains("cannot be opened"), "{finished:?}");
        println!("skipped: {}", finished.stderr.trim());
        return;
    }
    assert_eq!(finished.status.code(), Some(4), "{finished:?}");
    let document: Value = serde_json::from_str(&finished.stdout).expect("one document");
    assert!(document["samples"].as_u64().is_some_and(|samples| samples > 0), "{document}");
    assert!(document["losses"]["records"].is_u64() && document["functions"].is_array());
    let text = |path: &str| fs::read_to_string(path).expect("written");
    assert!(text(&svg).starts_with("<svg ") && text(&svg).trim_end().ends_with("</svg>"));
    assert!(text(&folded).lines().all(|line| line.starts_with("sh")), "{}", text(&folded));
    assert!(serde_json::from_str::<Value>(&text(&firefox)).is_ok());
    assert!(fs::metadata(&pprof).is_ok_and(|file| file.len() > 100));
    // A sample a second of processor time: `true` ends before the first.
    let none = run(&["perf", "record", "-F", "1", "-o", &folded, "--", "true"]);
    assert!(none.stderr.contains("no samples in"), "{none:?}");
    assert_eq!(text(&folded), "");
}

#[test]
fn trace_without_tracefs_or_rights_says_what_is_missing() {
    let finished = run(&["trace", "--event", "sched:sched_process_exec", "--", "true"]);
    match finished.status.code() {
        Some(0) => assert!(finished.stdout.contains("sched_process_exec"), "{finished:?}"),
        _ => {
            let told = ["mount -t tracefs", "by root only"];
            let is_told = told.iter().any(|part| finished.stderr.contains(part));
            assert!(finished.status.code() == Some(3) && is_told, "{finished:?}");
        }
    }
    fails(&run(&["trace", "--event", "x:y"]), 2, "write it after `--`");
}
