//! Programs of others that tests and comparisons need, and how Debian calls them.
//!
//! What is missing is installed when this runs as root on a system with `apt-get`; otherwise it is
//! named. Nothing is started by an installation: runlevel 1 and, where there is none yet, a
//! temporary `policy-rc.d` that forbids every service.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::getuid;

use crate::error::{Context, Error, Result};

/// One Debian package and the file that shows that it, or an equal, is there.
#[derive(Debug)]
pub(crate) struct Package {
    name: &'static str,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    Program(&'static str),
    File(&'static str),
}

/// Everything that some test uses.
pub(crate) const FOR_TESTS: &[&Package] = &[
    &CHROMIUM,
    &CPIO,
    &GIT,
    &HAPROXY,
    &IPERF3,
    &NATS,
    &NGINX,
    &NGINX_STREAM,
    &NODEJS,
    &NPM,
    &PROMETHEUS,
    &PYTHON,
    &QEMU,
    &REDIS,
    &REDIS_TOOLS,
    &TREE,
    &VALGRIND,
    &WRK,
];

/// What the emulated machine of the kernel step needs.
pub(crate) const FOR_KERNEL: &[&Package] = &[&CPIO, &QEMU];

/// What `compare proxy` runs against.
pub(crate) const FOR_PROXY_COMPARISON: &[&Package] =
    &[&HAPROXY, &IPERF3, &NGINX, &NGINX_STREAM, &REDIS, &REDIS_TOOLS, &WRK];

/// What `compare scheduler` runs against.
pub(crate) const FOR_SCHEDULER_COMPARISON: &[&Package] = &[&NATS];

/// What `compare workstream` runs against; Backlog.md comes from npm.
pub(crate) const FOR_WORKSTREAM_COMPARISON: &[&Package] = &[&GIT, &NODEJS, &NPM, &TASKWARRIOR];

/// Returns the packages of `wanted` that are not there.
pub(crate) fn missing(wanted: &[&'static Package]) -> Vec<&'static Package> {
    wanted.iter().copied().filter(|package| !package.is_there()).collect()
}

/// Installs packages, streaming what `apt-get` says.
///
/// # Errors
///
/// Fails with the packages' names when this is not root, there is no `apt-get`, or it fails.
pub(crate) fn install(packages: &[&Package]) -> Result<()> {
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    let list = names.join(" ");
    if !getuid().is_root() || find_program("apt-get").is_none() {
        return Err(Error::outside(format!("not installed: {list} (as root: apt-get install)")));
    }
    let _policy = ServicePolicy::forbid_all()?;
    // Lists may be missing on a fresh machine; where they cannot be had, old ones may do.
    if let Err(error) = apt_get(&["update", "--quiet"]) {
        println!("{error}");
    }
    let mut arguments = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    arguments.extend(names);
    apt_get(&arguments)?;
    let still: Vec<_> = packages.iter().filter(|p| !p.is_there()).map(|p| p.name).collect();
    if still.is_empty() {
        return Ok(());
    }
    Err(Error::outside(format!("installed, and yet not found: {}", still.join(" "))))
}

/// Returns the path of a program on the search path or in a folder for administrators.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "programs are looked for where a shell would")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

/// Returns a command for a program that [`missing`] knows.
pub(crate) fn command(program: &str) -> Result<Command> {
    let path = find_program(program).ok_or_else(|| {
        Error::outside(format!(
            "{program} is not installed; `cargo xtask test` as root installs it"
        ))
    })?;
    Ok(Command::new(path))
}

impl Package {
    /// Returns the package's name in Debian.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn is_there(&self) -> bool {
        match self.proof {
            Proof::Program(program) => find_program(program).is_some(),
            Proof::File(path) => Path::new(path).exists(),
        }
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null())
        .status()
        .context(|| "cannot run apt-get".to_owned())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::outside(format!("apt-get {}: {status}", arguments.join(" "))))
}

/// A temporary rule that packages start no service; dropping it removes it.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    fn forbid_all() -> Result<Self> {
        let path = Path::new(POLICY_PATH);
        if path.exists() {
            return Ok(Self { ours: false });
        }
        let context = || format!("cannot write {POLICY_PATH}");
        fs::write(path, "#!/bin/sh\nexit 101\n").context(context)?;
        let policy = Self { ours: true };
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context(context)?;
        Ok(policy)
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY_PATH)
        {
            eprintln!("remove {POLICY_PATH} by hand: {error}");
        }
    }
}

const POLICY_PATH: &str = "/usr/sbin/policy-rc.d";

/// Where Debian's nginx keeps the module for TCP.
pub(crate) const NGINX_STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

const CHROMIUM: Package = program("chromium", "chromium");
const CPIO: Package = program("cpio", "cpio");
const GIT: Package = program("git", "git");
const HAPROXY: Package = program("haproxy", "haproxy");
const IPERF3: Package = program("iperf3", "iperf3");
const NATS: Package = program("nats-server", "nats-server");
const NGINX: Package = program("nginx-light", "nginx");
const NGINX_STREAM: Package =
    Package { name: "libnginx-mod-stream", proof: Proof::File(NGINX_STREAM_MODULE) };
const NODEJS: Package = program("nodejs", "node");
const NPM: Package = program("npm", "npm");
const PROMETHEUS: Package = program("prometheus", "promtool");
// Brings Python where there is none; without it an environment cannot be made.
const PYTHON: Package = program("python3-venv", "python3");
const QEMU: Package = program("qemu-system-x86", "qemu-system-x86_64");
const REDIS: Package = program("redis-server", "redis-server");
const REDIS_TOOLS: Package = program("redis-tools", "redis-benchmark");
const TASKWARRIOR: Package = program("taskwarrior", "task");
const TREE: Package = program("tree", "tree");
const VALGRIND: Package = program("valgrind", "valgrind");
const WRK: Package = program("wrk", "wrk");

const fn program(name: &'static str, program: &'static str) -> Package {
    Package { name, proof: Proof::Program(program) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_or_not() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
        assert!(find_program("..").is_none(), "a folder is no program");
    }

    #[test]
    fn what_is_missing_is_named() {
        static NOWHERE: Package = program("nowhere", "no-such-program-anywhere");
        static SHELL: Package = program("dash", "sh");
        let names: Vec<_> = missing(&[&NOWHERE, &SHELL]).iter().map(|p| p.name()).collect();
        assert_eq!(names, ["nowhere"]);
    }
}
