//! Boots an emulated two-node machine for what the host's kernel cannot show.
//!
//! Debian's kernel under qemu, without KVM, with a static test binary as `/init`: about ten seconds
//! for each binary. The host has one NUMA node and may be locked down, so nothing else can show
//! that pages go where they should. Correctness only, never speed.
//!
//! A [`Program`] is an example of one of our crates that mounts what it needs, prints its findings
//! and at the end one line, its verdict, and powers the machine off. What is missing (a tool, the
//! kernel's package) is named, and the lane is skipped.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::packages::{self, FOR_KERNEL};
use crate::process;

/// How the lane ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Every program said that all is well.
    Passed,
    /// A program said otherwise, or did not get that far: the end of its console.
    Failed(String),
    /// Something is missing: what, and how to get it.
    Skipped(String),
}

/// A test binary that runs as the only process of a machine of its own.
struct Program {
    package: &'static str,
    example: &'static str,
    /// The line that says that all is well.
    verdict: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { package: "tidemill-memory", example: "numa_init", verdict: "NUMA PASS" },
    Program { package: "tidemill-profile", example: "trace_init", verdict: "TRACE PASS" },
];

/// Builds every program, boots it and reads its console. `work` keeps the kernel between runs.
///
/// # Errors
///
/// When a tool that is there cannot be run, and on an interrupt.
pub(crate) fn run(root: &Path, work: &Path) -> Result<Outcome> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Outcome::Skipped("kernel: the emulated machine is an x86-64 one".to_owned()));
    }
    let missing: Vec<_> = packages::missing(FOR_KERNEL).iter().map(|p| p.name()).collect();
    if !missing.is_empty() {
        let how = format!("kernel: apt-get install {}", missing.join(" "));
        return Ok(Outcome::Skipped(how));
    }
    fs::create_dir_all(work).context(|| format!("cannot create {}", work.display()))?;
    let Some(kernel) = kernel(work)? else {
        return Ok(Outcome::Skipped("kernel: no linux-image-amd64 package can be had".to_owned()));
    };
    for program in PROGRAMS {
        println!("{} of {} as /init", program.example, program.package);
        let init = match build(root, work, program)? {
            Ok(init) => init,
            Err(said) => return Ok(Outcome::Failed(format!("{}: {said}", program.example))),
        };
        let archive = pack(&init, work)?;
        let console = boot(&kernel, &archive)?;
        println!("{}", console.trim_end());
        if !console.lines().any(|line| line.trim_end() == program.verdict) {
            return Ok(Outcome::Failed(format!("{}: {}", program.example, last_line(&console))));
        }
    }
    Ok(Outcome::Passed)
}

fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("said nothing")
}

/// Finds the kernel of an earlier run, else downloads and unpacks Debian's.
fn kernel(work: &Path) -> Result<Option<PathBuf>> {
    if let Some(kernel) = find(&work.join("boot"), "vmlinuz-")? {
        return Ok(Some(kernel));
    }
    let Some(package) = kernel_package()? else { return Ok(None) };
    let mut download = Command::new("apt-get");
    download.args(["download", &package]).current_dir(work);
    if !process::run(download, DOWNLOAD_TIME_MAX)?.success {
        return Ok(None);
    }
    let Some(archive) = find(work, "linux-image-")? else { return Ok(None) };
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").args([&archive, work]);
    if !process::run(unpack, DOWNLOAD_TIME_MAX)?.success {
        return Ok(None);
    }
    // Modules are most of it, and the programs load none.
    for path in [archive, work.join("lib")] {
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.context(|| format!("cannot remove {}", path.display()))?;
    }
    find(&work.join("boot"), "vmlinuz-")
}

/// Asks the package lists what `linux-image-amd64` stands for.
fn kernel_package() -> Result<Option<String>> {
    let mut lists = Command::new("apt-cache");
    lists.args(["depends", "linux-image-amd64"]);
    let output = process::run(lists, DOWNLOAD_TIME_MAX)?.stdout;
    Ok(first_dependency(&output))
}

/// The first package that `apt-cache depends` names.
fn first_dependency(listing: &str) -> Option<String> {
    let mut packages = listing.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    packages.next().map(str::to_owned)
}

fn find(directory: &Path, prefix: &str) -> Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(None) };
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {}", directory.display()))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Builds a program without shared libraries; else what cargo said.
fn build(
    root: &Path,
    work: &Path,
    program: &Program,
) -> Result<std::result::Result<PathBuf, String>> {
    let target = work.join("target");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--package", program.package, "--example", program.example])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target)
        // The C library's own static form: it is there wherever Rust can link at all, while
        // another target has to be fetched first.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(root);
    let output = process::run(cargo, BUILD_TIME_MAX)?;
    let binary = target.join(TARGET).join("debug/examples").join(program.example);
    Ok(if output.success { Ok(binary) } else { Err(output.stderr) })
}

/// Packs the binary as `/init` of an initial file system.
fn pack(init: &Path, work: &Path) -> Result<PathBuf> {
    let tree = work.join("tree");
    for folder in ["dev", "proc", "sys"] {
        let folder = tree.join(folder);
        fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::copy(init, tree.join("init")).context(|| format!("cannot copy {}", init.display()))?;
    let archive = work.join("initramfs.cpio");
    let context = || format!("cannot write {}", archive.display());
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "--create", "--format=newc"])
        .current_dir(&tree)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&archive).context(context)?)
        .spawn()
        .context(|| "cannot run cpio".to_owned())?;
    if let Some(mut names) = cpio.stdin.take() {
        names.write_all(b".\ndev\nproc\nsys\ninit\n").context(context)?;
    }
    let status = cpio.wait().context(context)?;
    if status.success() { Ok(archive) } else { Err(Error::outside(format!("cpio: {status}"))) }
}

/// Boots two nodes with one processor and 256 MiB each; returns what the console said.
fn boot(kernel: &Path, archive: &Path) -> Result<String> {
    let mut qemu = packages::command("qemu-system-x86_64")?;
    qemu.args(["-accel", "tcg", "-smp", "2", "-m", "512M"])
        .args(["-nographic", "-no-reboot", "-net", "none"])
        .args(["-object", "memory-backend-ram,id=m0,size=256M"])
        .args(["-object", "memory-backend-ram,id=m1,size=256M"])
        .args(["-numa", "node,nodeid=0,cpus=0,memdev=m0"])
        .args(["-numa", "node,nodeid=1,cpus=1,memdev=m1"])
        .args(["-numa", "dist,src=0,dst=1,val=20"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        .args(["-append", "console=ttyS0 quiet panic=-1"]);
    Ok(process::run(qemu, BOOT_TIME_MAX)?.stdout)
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
const DOWNLOAD_TIME_MAX: Duration = Duration::from_secs(300);
const BUILD_TIME_MAX: Duration = Duration::from_secs(900);
const BOOT_TIME_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_behind_the_name_is_found() {
        let listing = "linux-image-amd64\n  Depends: linux-image-6.1.0-1-amd64\n  Depends: other\n";
        assert_eq!(first_dependency(listing).as_deref(), Some("linux-image-6.1.0-1-amd64"));
        assert_eq!(first_dependency("linux-image-amd64\n"), None);
    }

    #[test]
    fn a_machine_that_stops_is_told_by_its_last_words() {
        assert_eq!(last_line("a\nNUMA FAIL: b\n\n"), "NUMA FAIL: b");
        assert_eq!(last_line(""), "said nothing");
    }
}
