//! Models and sanitizers: what proves lock-free and unsafe code beyond its tests.
//!
//! No single tool suffices. loom runs each protocol under every interleaving that matters, shuttle
//! larger scenarios under random ones; Miri sees undefined behaviour and races under weak memory,
//! AddressSanitizer what is used after it was freed, ThreadSanitizer races at full speed. All but
//! the first two need a nightly toolchain; where it, or a part of it, is missing, a lane is
//! skipped, says so, and names the command that would mend it. Each tool builds in a folder of its
//! own below the target folder, so that no lane throws away what another one compiled.
//!
//! A crate with models of its own gets a line in [`LANES`].

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cargo::Workspace;
use crate::error::Result;
use crate::suite::{self, Report};

/// Runs every lane that this machine can run.
pub(crate) fn run(root: &Path, quick: bool, report: &mut Report) -> Result<()> {
    if quick {
        report.skipped("models and sanitizers: left out by --quick");
        return Ok(());
    }
    let target_dir = Workspace::read(root)?.target_dir;
    for lane in LANES {
        if let Some(why) = lane.tool.missing() {
            println!("skipped: {}: {why}", lane.name());
            report.skipped(&format!("{}: {why}", lane.name()));
            continue;
        }
        let mut command = lane.tool.command(&target_dir);
        command.args(lane.arguments);
        println!("\n--- {} ---", lane.name());
        suite::stream(root, command, report)?;
    }
    Ok(())
}

/// One tool over some tests of one crate.
struct Lane {
    tool: Tool,
    /// What cargo is told: package, targets, names of tests.
    arguments: &'static [&'static str],
}

impl Lane {
    fn name(&self) -> String {
        let package = self.arguments.get(1).unwrap_or(&"");
        format!("{} on {package}", self.tool.name())
    }
}

#[derive(Clone, Copy)]
enum Tool {
    Loom,
    Shuttle,
    /// Miri, with so many seeds for its scheduler and its weak memory.
    Miri(u32),
    AddressSanitizer,
    ThreadSanitizer,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Loom => "loom",
            Self::Shuttle => "shuttle",
            Self::Miri(_) => "Miri",
            Self::AddressSanitizer => "AddressSanitizer",
            Self::ThreadSanitizer => "ThreadSanitizer",
        }
    }

    /// Says what is missing on this machine and how to get it; `None` when nothing is.
    fn missing(self) -> Option<String> {
        let component = match self {
            Self::Loom | Self::Shuttle => return None,
            Self::Miri(_) => "miri",
            Self::AddressSanitizer => "rustc",
            Self::ThreadSanitizer => "rust-src",
        };
        if !matches!(self, Self::Miri(_)) && !cfg!(target_arch = "x86_64") {
            return Some(format!("runs on {TARGET} only"));
        }
        let sysroot = output(nightly("rustc").args(["--print", "sysroot"]));
        let Some(sysroot) = sysroot else {
            return Some("no nightly toolchain: rustup toolchain install nightly".to_owned());
        };
        let is_there = match component {
            "miri" => output(nightly("cargo").args(["miri", "--version"])).is_some(),
            "rust-src" => Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library").is_dir(),
            _ => true,
        };
        let how = format!("rustup component add --toolchain nightly {component}");
        (!is_there).then(|| format!("no {component}: {how}"))
    }

    /// Cargo as the tool wants it, up to the package.
    fn command(self, target_dir: &Path) -> Command {
        let (folder, flags) = match self {
            Self::Loom => ("loom", "--cfg loom"),
            Self::Shuttle => ("shuttle", "--cfg shuttle"),
            Self::Miri(_) => ("miri", ""),
            Self::AddressSanitizer => ("asan", "-Zsanitizer=address"),
            Self::ThreadSanitizer => ("tsan", "-Zsanitizer=thread"),
        };
        let mut command = match self {
            Self::Loom | Self::Shuttle => Command::new("cargo"),
            Self::Miri(_) | Self::AddressSanitizer | Self::ThreadSanitizer => nightly("cargo"),
        };
        match self {
            // As it ships but for the linker's optimisation, which would take most of the time.
            Self::Loom | Self::Shuttle => command
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
                .args(["test", "--release"]),
            Self::Miri(seeds) => {
                let flags = format!("-Zmiri-disable-isolation -Zmiri-many-seeds=0..{seeds}");
                command.env("MIRIFLAGS", flags).args(["miri", "test"])
            }
            // An allocation that no memory suffices for is answered, as without the sanitizer.
            Self::AddressSanitizer => command
                .env("ASAN_OPTIONS", "allocator_may_return_null=1")
                .args(["test", "--target", TARGET]),
            // The standard library must be instrumented too, or its locks look like races.
            Self::ThreadSanitizer => command
                .env("TSAN_OPTIONS", "allocator_may_return_null=1")
                .args(["test", "-Zbuild-std", "--target", TARGET]),
        };
        command.env("RUSTFLAGS", flags).arg("--target-dir").arg(target_dir.join(folder));
        command
    }
}

/// A program of the nightly toolchain.
fn nightly(program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", program]);
    command
}

/// What `command` prints, if it can be run and is content.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is proved, cheapest first. About eight minutes on two cores, half of it compiling.
const LANES: &[Lane] = &[
    Lane {
        tool: Tool::Loom,
        arguments: &["--package", "tidemill-memory", "--lib", "--", "models"],
    },
    Lane { tool: Tool::Loom, arguments: &["--package", "tidemill-bus", "--lib", "--tests"] },
    Lane {
        tool: Tool::Loom,
        arguments: &["--package", "tidemill-metrics", "--lib", "--", "models"],
    },
    Lane {
        tool: Tool::Shuttle,
        arguments: &["--package", "tidemill-memory", "--lib", "--", "scenarios"],
    },
    Lane { tool: Tool::Shuttle, arguments: &["--package", "tidemill-bus", "--test", "shuttle"] },
    Lane { tool: Tool::Miri(1), arguments: &["--package", "tidemill-memory", "--lib"] },
    Lane {
        tool: Tool::Miri(2),
        arguments: &["--package", "tidemill-bus", "--test", "behaviour", "--test", "waiting"],
    },
    Lane {
        tool: Tool::AddressSanitizer,
        arguments: &["--package", "tidemill-memory", "--lib", "--tests"],
    },
    Lane {
        tool: Tool::AddressSanitizer,
        arguments: &["--package", "tidemill-bus", "--lib", "--tests"],
    },
    // One test after the other: the sanitizer does not see system calls that bypass libc, so that
    // an address of a mapping that is gone looks shared by tests that run side by side.
    Lane {
        tool: Tool::ThreadSanitizer,
        arguments: &["--package", "tidemill-memory", "--lib", "--", "--test-threads=1"],
    },
    Lane {
        tool: Tool::ThreadSanitizer,
        arguments: &["--package", "tidemill-bus", "--test", "behaviour", "--test", "waiting"],
    },
];

/// The sanitizers' target; naming it keeps build scripts and macros out of their reach.
const TARGET: &str = "x86_64-unknown-linux-gnu";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_names_its_package_first() {
        for lane in LANES {
            assert_eq!(lane.arguments[0], "--package", "{}", lane.name());
            assert!(lane.name().contains(" on tidemill-"));
        }
    }

    #[test]
    fn tools_build_in_folders_of_their_own() {
        let tools = [Tool::Loom, Tool::Shuttle, Tool::Miri(1), Tool::AddressSanitizer];
        let mut folders: Vec<_> = tools
            .iter()
            .map(|tool| tool.command(Path::new("t")).get_args().last().map(ToOwned::to_owned))
            .collect();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), tools.len());
    }
}
