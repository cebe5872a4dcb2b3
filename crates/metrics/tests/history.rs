//! Rings within their memory, and the file: found again, cut, flipped, full, foreign, killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use testkit::wait_until;
use tidemill_metrics::{Counter, History, HistoryFile, HistoryOptions, Options, Registry};

#[expect(clippy::disallowed_methods, reason = "a test may know the time")]
fn now() -> Instant {
    Instant::now()
}

/// A minute's beginning, and seconds after it.
fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_040 + second)
}

fn seconds(history: &History, name: &str) -> Vec<(u64, f64)> {
    let points = history.range(name, at(0), at(1_000_000));
    let second = |time: SystemTime| time.duration_since(at(0)).expect("after the start").as_secs();
    points.into_iter().map(|(time, value)| (second(time), value)).collect()
}

fn registry() -> (Registry, Counter) {
    let registry = Registry::new(Options { wall_clock: || at(0), ..Options::default() });
    let counter = registry.counter("a_total", "A.", &[("x", "1")]).expect("fits");
    (registry, counter)
}

const SERIES: &str = "a_total{x=\"1\"}";

#[test]
fn young_is_fine_and_old_is_coarse() {
    let (registry, counter) = registry();
    let mut history = History::new(HistoryOptions { places: [20, 16, 100], bytes_max: 1 << 20 });
    for second in 0..600 {
        counter.inc();
        history.sample(&registry, now(), at(second));
    }
    let points = seconds(&history, SERIES);
    let times: Vec<_> = points.iter().map(|(second, _)| *second).collect();
    let minutes = (0..420).step_by(60);
    let tens = (440..580).step_by(10);
    let want: Vec<_> = minutes.chain([420]).chain(tens).chain(580..600).collect();
    assert_eq!(times, want);
    assert!(points.iter().all(|(second, value)| *value == (second + 1) as f64), "{points:?}");
    assert!(seconds(&history, "b_total").is_empty());
}

#[test]
fn what_is_gone_leaves_a_gap_and_then_no_trace() {
    let (registry, counter) = registry();
    let mut history = History::new(HistoryOptions { places: [16; 3], bytes_max: 1 << 20 });
    counter.inc();
    history.sample(&registry, now(), at(0));
    registry.remove("a_total", &[("x", "1")]);
    history.sample(&registry, now(), at(1));
    registry.counter("a_total", "A.", &[("x", "1")]).expect("fits").add(5);
    history.sample(&registry, now(), at(2));
    assert_eq!(seconds(&history, SERIES), [(0, 1.0), (2, 5.0)]);
    registry.remove("a_total", &[("x", "1")]);
    (1..=17).for_each(|minute| history.sample(&registry, now(), at(60 * minute)));
    assert_eq!(history.names().count(), 0);
}

#[test]
fn memory_is_bounded_the_oldest_is_thinned_first() {
    let registry = Registry::default();
    let options = HistoryOptions { places: [64, 128, 256], bytes_max: 200 << 10 };
    let mut history = History::new(options);
    let mut before = history.places();
    for n in 0..500 {
        registry.gauge("g", "G.", &[("n", &n.to_string())]).expect("room").set(1);
        history.sample(&registry, now(), at(n));
        let places = history.places();
        let bytes = history.names().count() * (places.iter().sum::<usize>() * 8 + 512);
        assert!(bytes <= options.bytes_max, "{bytes} bytes, {places:?}");
        // A finer ring shrinks only when every coarser one cannot.
        assert!(places[1] == before[1] || places[2] == 16, "{before:?} to {places:?}");
        assert!(places[0] == before[0] || places[1..] == [16, 16], "{before:?} to {places:?}");
        before = places;
    }
    assert_eq!(before, [16; 3]);
    assert!(history.left_out() > 0);
    assert!(seconds(&history, "g{n=\"0\"}").len() >= 16, "who was there first is still there");
}

/// A folder with a file of 30 flushes, ten seconds apart.
fn written(bytes_max: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("metrics.history");
    let (registry, counter) = registry();
    let gauge = registry.float_gauge("g_ratio", "G.", &[]).expect("fits");
    let mut history = History::new(HistoryOptions::default());
    let (mut file, _) = HistoryFile::open(&path, bytes_max, &mut history).expect("a new file");
    for n in 1..=30 {
        counter.inc();
        gauge.set(n as f64 / 2.0);
        history.sample(&registry, now(), at(10 * n));
        file.flush(&history, at(10 * n)).expect("there is room");
    }
    (folder, path)
}

fn reopen(path: &Path) -> (History, HistoryFile, tidemill_metrics::Recovered) {
    let mut history = History::new(HistoryOptions::default());
    let (file, recovered) = HistoryFile::open(path, 1 << 20, &mut history).expect("a good file");
    (history, file, recovered)
}

#[test]
fn a_history_goes_on_after_a_restart_and_so_do_counters() {
    let (_folder, path) = written(1 << 20);
    let (mut history, mut file, recovered) = reopen(&path);
    assert_eq!((recovered.flushes, recovered.damaged_bytes), (30, 0));
    let want: Vec<_> = (1..=30).map(|n| (10 * n, n as f64)).collect();
    assert_eq!(seconds(&history, SERIES), want);
    assert_eq!(seconds(&history, "g_ratio").last(), Some(&(300, 15.0)));

    let counters = history.counters();
    assert_eq!(counters.len(), 1, "a gauge is no counter: {counters:?}");
    let registry = Registry::default();
    registry.carry(counters);
    let counter = registry.counter("a_total", "A.", &[("x", "1")]).expect("fits");
    counter.inc();
    assert_eq!(counter.value(), 31);
    let created = format!("a_created{{x=\"1\"}} {}\n", 1_700_000_040);
    assert!(registry.render_openmetrics().contains(&created), "it began in the first run");

    history.sample(&registry, now(), at(400));
    file.flush(&history, at(400)).expect("there is room");
    let (history, _, recovered) = reopen(&path);
    assert_eq!(recovered.flushes, 31);
    assert_eq!(seconds(&history, SERIES).last(), Some(&(400, 31.0)));
    assert_eq!(seconds(&history, "g_ratio").last(), Some(&(300, 15.0)), "it is not there any more");
}

#[test]
fn a_cut_file_keeps_all_but_the_cut_flush() {
    let (_folder, path) = written(1 << 20);
    let whole = fs::read(&path).expect("the file");
    for cut in [1, 5, 11] {
        fs::write(&path, &whole[..whole.len() - cut]).expect("written");
        let (history, mut file, recovered) = reopen(&path);
        assert_eq!(recovered.flushes, 29, "{cut} bytes missing");
        assert!(recovered.damaged_bytes > 0);
        assert_eq!(seconds(&history, SERIES).last(), Some(&(290, 29.0)));
        file.flush(&history, at(310)).expect("it goes on behind the last whole flush");
        assert_eq!(reopen(&path).2, tidemill_metrics::Recovered { flushes: 30, damaged_bytes: 0 });
    }
}

#[test]
fn a_flipped_bit_costs_one_flush() {
    let (_folder, path) = written(1 << 20);
    let mut bytes = fs::read(&path).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, &bytes).expect("written");
    let (history, _, recovered) = reopen(&path);
    assert_eq!(recovered.flushes, 29);
    assert!(recovered.damaged_bytes > 0);
    assert_eq!(seconds(&history, SERIES).len(), 29);
    assert_eq!(seconds(&history, SERIES).last(), Some(&(300, 30.0)), "what came later is good");
}

#[test]
fn a_file_of_another_version_or_of_somebody_else_is_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("metrics.history");
    for (bytes, says) in [
        (&b"TIDEHIST\x02\0\0\0later"[..], "is a metrics history of version 2"),
        (&b"Dear diary, today I"[..], "is not a metrics history; move it away"),
    ] {
        fs::write(&path, bytes).expect("written");
        let opened = HistoryFile::open(&path, 0, &mut History::new(HistoryOptions::default()));
        let error = opened.expect_err("foreign");
        assert!(error.is_foreign() && error.to_string().contains(says), "{error}");
        assert_eq!(fs::read(&path).expect("still there"), bytes);
    }
    let full =
        HistoryFile::open(Path::new("/dev/full"), 0, &mut History::new(HistoryOptions::default()));
    assert!(full.expect_err("a device").is_foreign());
}

#[test]
fn a_file_is_bounded_and_the_oldest_goes_first() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("metrics.history");
    let (registry, counter) = registry();
    let mut history = History::new(HistoryOptions::default());
    let (mut file, _) = HistoryFile::open(&path, 0, &mut history).expect("a new file");
    let flushes = 3_000;
    for n in 1..=flushes {
        counter.add(1_000_000);
        history.sample(&registry, now(), at(10 * n));
        file.flush(&history, at(10 * n)).expect("there is room");
    }
    let sizes = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("a file").len());
    let sizes: Vec<_> = sizes.collect();
    assert_eq!(sizes.len(), 2, "the file and the one before it");
    assert!(sizes.iter().sum::<u64>() <= 64 << 10, "{sizes:?}");
    let (history, _, recovered) = reopen(&path);
    assert_eq!(recovered.damaged_bytes, 0);
    assert_eq!(seconds(&history, SERIES).last(), Some(&(10 * flushes, 1e6 * flushes as f64)));
}

/// Runs one of the tests below in a process of its own, with `script` before it.
fn child(test: &str, script: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    let own = std::env::current_exe().expect("this test");
    command.arg("-c").arg(format!("{script} exec \"$0\" \"$@\"")).arg(own);
    command.args(["--exact", test, "--ignored", "--nocapture"]).env("HISTORY_PATH", path);
    command
}

#[expect(clippy::disallowed_methods, reason = "how a test tells its child where to write")]
fn path_of_child() -> PathBuf {
    std::env::var_os("HISTORY_PATH").expect("run by its parent").into()
}

#[test]
#[ignore = "the child of `a_full_disk_costs_nothing_but_the_file`"]
fn child_writes_until_the_disk_is_full() {
    let path = path_of_child();
    let (registry, counter) = registry();
    let mut history = History::new(HistoryOptions::default());
    let (mut file, _) = HistoryFile::open(&path, 1 << 20, &mut history).expect("a new file");
    let mut written = 0;
    let error = loop {
        counter.inc();
        history.sample(&registry, now(), at(10 * (written + 1)));
        match file.flush(&history, at(10 * (written + 1))) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100_000, "it never got full");
    };
    assert!(error.to_string().starts_with("cannot write the metrics history"), "{error}");
    assert!(!error.is_foreign());
    let length = fs::metadata(&path).expect("the file").len();
    assert_eq!(length, file.length(), "what was written of the last flush is taken back");
    assert!(file.flush(&history, at(10 * written + 20)).is_err(), "it is still full");
    println!("written {written}");
}

#[track_caller]
fn check_full(script: &str, path: &Path) {
    let output = child("child_writes_until_the_disk_is_full", script, path).output();
    let output = output.expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let written = said.lines().find_map(|line| line.split_once("written ")?.1.parse().ok());
    let (_, _, recovered) = reopen(path);
    let want = tidemill_metrics::Recovered { flushes: written.expect(&said), damaged_bytes: 0 };
    assert_eq!(recovered, want);
}

#[test]
fn a_full_disk_costs_nothing_but_the_file() {
    let folder = TempDir::new().expect("a folder");
    // A limit on the size of files fails a write as a full disk does, half-way through it.
    check_full("trap '' XFSZ; ulimit -f 8;", &folder.path().join("metrics.history"));

    let mount = folder.path().join("small");
    fs::create_dir(&mount).expect("a folder");
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", "size=16k", "none"]).arg(&mount);
    if !command.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: a really full disk: this process may not mount one");
        return;
    }
    let result = std::panic::catch_unwind(|| check_full("", &mount.join("metrics.history")));
    let unmounted = Command::new("umount").arg(&mount).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
#[ignore = "the child of `a_kill_costs_at_most_one_interval`"]
fn child_flushes_for_ever() {
    let path = path_of_child();
    let (registry, counter) = registry();
    let mut history = History::new(HistoryOptions::default());
    let (mut file, _) = HistoryFile::open(&path, 1 << 20, &mut history).expect("a new file");
    for n in 1.. {
        counter.inc();
        history.sample(&registry, now(), at(10 * n));
        file.flush(&history, at(10 * n)).expect("there is room");
        fs::write(path.with_extension("acknowledged"), n.to_string()).expect("written");
    }
}

#[test]
fn a_kill_costs_at_most_one_interval() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("metrics.history");
    let acknowledged = path.with_extension("acknowledged");
    for _ in 0..3 {
        let mut child = child("child_flushes_for_ever", "", &path).spawn().expect("a shell");
        let read = || fs::read_to_string(&acknowledged).ok()?.parse::<u64>().ok();
        wait_until("some flushes", Duration::from_secs(20), || read().is_some_and(|n| n > 20));
        child.kill().and_then(|()| child.wait()).expect("it ran");
        let (history, _, _) = reopen(&path);
        let value = seconds(&history, SERIES).last().expect("there are points").1 as u64;
        // The number is written after the flush; a kill in between leaves the old one, or none.
        assert!(read().is_none_or(|n| value >= n), "{value}");
        fs::remove_file(&path).and_then(|()| fs::remove_file(&acknowledged)).expect("clean");
        let _ = fs::remove_file(folder.path().join("metrics.history.1"));
    }
}
