//! `tidemill tune` where it cannot work or is broken off: the message, the exit code, and a tree
//! that is as it was.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Finished, Launch, Signal, wait_until};

const MANIFEST: &str = "[package]\nname = \"app\"\nedition = \"2024\"\n\n[workspace]\n";

const MAIN: &str = "\
fn main() {
    println!(\"{}\", (0..200_000_u64).fold(1, |a, b| a ^ b.wrapping_mul(a)));
}
";

/// A small project under git.
struct Project(TempDir);

impl Project {
    fn new(main: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        fs::create_dir(project.folder().join("src")).unwrap();
        fs::write(project.folder().join("Cargo.toml"), MANIFEST).unwrap();
        fs::write(project.folder().join("src/main.rs"), main).unwrap();
        project.git(&["init", "--quiet"]);
        project.git(&["add", "--all"]);
        project.git(&["commit", "--quiet", "--message", "Begin"]);
        project
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
            .args(arguments)
            .current_dir(self.folder())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn tune(&self, arguments: &[&str]) -> Launch {
        Launch::new(env!("CARGO_BIN_EXE_tidemill"))
            .args(["tune"])
            .args(arguments)
            .folder(self.folder())
    }

    /// Returns the processes that work somewhere below the project.
    fn processes(&self) -> Vec<PathBuf> {
        let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        all.map(|entry| entry.path())
            .filter(|process| {
                fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.folder()))
            })
            .collect()
    }

    /// Git sees no change, and neither copy nor anything that runs is left.
    #[track_caller]
    fn is_as_it_was(&self) {
        assert_eq!(self.git(&["status", "--porcelain"]), "");
        assert!(!self.folder().join("target/tune/source").exists(), "the copy is left");
        wait_until("everything has ended", SOON, || self.processes().is_empty());
    }
}

#[track_caller]
fn check(finished: &Finished, code: i32, words: &str) {
    assert_eq!(finished.status.code(), Some(code), "{finished:?}");
    assert!(finished.stderr.contains(words), "{finished:?}");
}

#[test]
fn what_the_project_does_wrong_exits_with_1() {
    let project = Project::new("fn main() { let _: u32 = \"a\"; }");
    check(&project.tune(&[]).run(LONG), 1, "does not compile");
    project.is_as_it_was();
}

#[test]
fn what_is_asked_wrongly_exits_with_2() {
    let project = Project::new(MAIN);
    check(&project.tune(&["--bin", "other"]).run(SOON), 2, "it has: app");
    check(&project.tune(&["nowhere"]).run(SOON), 2, "name the folder of a Cargo project");
    project.is_as_it_was();
    fs::write(project.folder().join("src/main.rs"), "fn main() {}").unwrap();
    check(&project.tune(&["--apply"]).run(SOON), 2, "not committed");
    assert_eq!(project.git(&["status", "--porcelain"]), " M src/main.rs\n");
}

#[test]
fn a_full_disk_exits_with_3_before_any_work() {
    let project = Project::new(MAIN);
    let tiny = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "none"])
        .arg(tiny.path())
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("skipped: a small file system cannot be mounted");
        return;
    }
    let finished = project.tune(&[]).env("CARGO_TARGET_DIR", tiny.path()).run(SOON);
    let unmounted = Command::new("umount").arg(tiny.path()).status().unwrap();
    assert!(unmounted.success());
    check(&finished, 3, "set CARGO_TARGET_DIR to another disk");
    project.is_as_it_was();
}

#[test]
fn an_interrupt_ends_everything_and_a_kill_is_recovered_from() {
    let project = Project::new(MAIN);
    let at_work = || project.folder().join("target/tune/build/build.out").exists();

    let killed = project.tune(&[]).start();
    wait_until("it builds", LONG, at_work);
    check(&project.tune(&[]).run(SOON), 2, "another tune is at work");
    killed.kill();
    killed.wait(SOON);
    // Nobody could stop cargo then; it ends by itself.
    wait_until("the build has ended", LONG, || project.processes().is_empty());
    fs::remove_file(project.folder().join("target/tune/build/build.out")).unwrap();

    let interrupted = project.tune(&[]).start();
    wait_until("it builds again", LONG, at_work);
    interrupted.signal(Signal::INT);
    let status = interrupted.wait(SOON);
    assert_eq!(status.code(), Some(130), "{}", interrupted.stderr());
    project.is_as_it_was();
}

/// For what needs no build.
const SOON: Duration = Duration::from_secs(60);

/// For builds on a busy machine.
const LONG: Duration = Duration::from_secs(300);
