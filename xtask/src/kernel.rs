//! Boots an emulated two-node machine to see memory placed for real.
//!
//! Debian's kernel under qemu, without KVM, with a static binary as `/init`: about ten seconds. The
//! host has one node, so nothing else can show that pages go where they should. Correctness only, never
//! speed. What is missing (tools, target, kernel package) is named, and the lane is skipped.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the lane ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Every page lay where it should.
    Passed,
    /// The machine said otherwise, or did not get that far: its console.
    Failed(String),
    /// Something is missing: what, and how to get it.
    Skipped(String),
}

/// Builds the binary, boots it and reads its console. `work` keeps the kernel between runs.
///
/// # Errors
///
/// When a tool that is there cannot be run.
pub(crate) fn run(root: &Path, work: &Path) -> Result<Outcome, Box<dyn Error>> {
    for (tool, package) in [("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio")] {
        if !is_installed(tool) {
            return Ok(Outcome::Skipped(format!("{tool} is missing: apt-get install {package}")));
        }
    }
    fs::create_dir_all(work)?;
    let Some(kernel) = kernel(work)? else {
        return Ok(Outcome::Skipped("no linux-image-amd64 package can be had".to_owned()));
    };
    let Some(init) = build(root, work)? else {
        let how = "rustup target add x86_64-unknown-linux-musl";
        return Ok(Outcome::Skipped(format!("the static binary cannot be built: {how}")));
    };
    let archive = pack(&init, work)?;
    let console = boot(&kernel, &archive)?;
    let passed = console.lines().any(|line| line.trim_end() == "NUMA PASS");
    Ok(if passed { Outcome::Passed } else { Outcome::Failed(console) })
}

fn is_installed(tool: &str) -> bool {
    let mut probe = Command::new(tool);
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Finds the kernel of an earlier run, else downloads and unpacks Debian's.
fn kernel(work: &Path) -> Result<Option<PathBuf>, Box<dyn Error>> {
    if let Some(kernel) = find(&work.join("boot"), "vmlinuz-")? {
        return Ok(Some(kernel));
    }
    let Some(package) = kernel_package()? else { return Ok(None) };
    let got = Command::new("apt-get").args(["download", &package]).current_dir(work).status()?;
    let Some(archive) = find(work, "linux-image-")?.filter(|_| got.success()) else {
        return Ok(None);
    };
    let unpacked = Command::new("dpkg-deb").arg("-x").args([&archive, work]).status()?;
    if !unpacked.success() {
        return Ok(None);
    }
    find(&work.join("boot"), "vmlinuz-")
}

/// Asks the package lists what `linux-image-amd64` stands for.
fn kernel_package() -> Result<Option<String>, Box<dyn Error>> {
    let output = Command::new("apt-cache").args(["depends", "linux-image-amd64"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut packages = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    Ok(packages.next().map(str::to_owned))
}

fn find(directory: &Path, prefix: &str) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(None) };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn build(root: &Path, work: &Path) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let target = work.join("target");
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "tidemill-memory"])
        .args(["--example", "numa_init", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .current_dir(root)
        .status()?;
    let binary = target.join(TARGET).join("release/examples/numa_init");
    Ok((status.success() && binary.exists()).then_some(binary))
}

/// Packs the binary as `/init` of an initial file system.
fn pack(init: &Path, work: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let tree = work.join("tree");
    for folder in ["dev", "proc", "sys"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy(init, tree.join("init"))?;
    let archive = work.join("initramfs.cpio");
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "--create", "--format=newc"])
        .current_dir(&tree)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&archive)?)
        .spawn()?;
    let mut names = cpio.stdin.take().ok_or("cpio has an input")?;
    names.write_all(b".\ndev\nproc\nsys\ninit\n")?;
    drop(names);
    if cpio.wait()?.success() { Ok(archive) } else { Err("cpio failed".into()) }
}

/// Boots two nodes with one processor and 256 MiB each; returns what the console said.
fn boot(kernel: &Path, archive: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new("timeout")
        .args([BOOT_SECONDS_MAX, "qemu-system-x86_64"])
        .args([
            "-accel",
            "tcg",
            "-smp",
            "2",
            "-m",
            "512M",
            "-nographic",
            "-no-reboot",
            "-net",
            "none",
        ])
        .args(["-object", "memory-backend-ram,id=m0,size=256M"])
        .args(["-object", "memory-backend-ram,id=m1,size=256M"])
        .args(["-numa", "node,nodeid=0,cpus=0,memdev=m0"])
        .args(["-numa", "node,nodeid=1,cpus=1,memdev=m1"])
        .args(["-numa", "dist,src=0,dst=1,val=20"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

const TARGET: &str = "x86_64-unknown-linux-musl";
const BOOT_SECONDS_MAX: &str = "120";
