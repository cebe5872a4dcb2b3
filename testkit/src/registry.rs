//! Programs from PyPI and npm, installed below the target folder in the versions that are named.
//!
//! An installation is kept: its folder is named after what is in it, and a mark inside says that it
//! is whole. Test processes that want the same wait for each other. Where a registry cannot be
//! reached, a line `skipped: …` says so.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::installed::require;
use crate::process::Launch;

/// Returns the `bin` folder of a Python environment with these packages, such as `mcp==2.3.0`.
///
/// `cache` is `env!("CARGO_TARGET_TMPDIR")`. `None`, and a line `skipped: …`, where there is no
/// Python or no registry.
///
/// # Panics
///
/// When the folder cannot be written, or an installation takes longer than five minutes.
#[track_caller]
pub fn python(cache: &str, packages: &[&str]) -> Option<PathBuf> {
    let python = require("python3")?;
    let folder = installed(cache, "python", packages, |folder| {
        let made = Launch::new(&python).args(["-m", "venv"]).args([folder]).run(WITHIN);
        if !made.status.success() {
            return Err(made.stderr);
        }
        let pip = Launch::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages)
            .run(WITHIN);
        if pip.status.success() { Ok(()) } else { Err(pip.stderr) }
    })?;
    Some(folder.join("bin"))
}

/// Returns a folder whose `node_modules` holds these packages, such as `playwright-core@1.65.1`.
///
/// # Panics
///
/// As [`python`].
#[track_caller]
pub fn npm(cache: &str, packages: &[&str]) -> Option<PathBuf> {
    require("node")?;
    let npm = require("npm")?;
    installed(cache, "npm", packages, |folder| {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let install = Launch::new(&npm)
            .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"])
            .args(["--prefix"])
            .args([folder])
            .args(packages)
            .run(WITHIN);
        if install.status.success() { Ok(()) } else { Err(install.stderr + &install.stdout) }
    })
}

/// Returns the folder of an installation, made by `install` where it is not whole.
#[track_caller]
fn installed(
    cache: &str,
    kind: &str,
    packages: &[&str],
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Option<PathBuf> {
    let name = format!("{kind} {}", packages.join(" "));
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let folder = Path::new(cache).join(name);
    let lock = File::create(folder.with_extension("lock")).expect("the target can be written");
    lock.lock().expect("a file of one's own can be locked");
    let mark = folder.join("whole");
    if mark.is_file() {
        return Some(folder);
    }
    // What an interrupted installation left; nothing there is as good.
    let _ = fs::remove_dir_all(&folder);
    match install(&folder) {
        Ok(()) => {
            fs::write(mark, "").expect("the target can be written");
            Some(folder)
        }
        Err(said) => {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            // A standard output that is closed has nobody to tell.
            let _ = writeln!(io::stdout(), "skipped: {kind} cannot install {packages:?}: {last}");
            None
        }
    }
}

const WITHIN: Duration = Duration::from_secs(300);
