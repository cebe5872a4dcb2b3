//! Where the kernel's tracing files are, and the instances that crashed runs left there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::instance;
use crate::Error;
use crate::error::Kind;

/// A mounted tracefs.
#[derive(Debug, Clone)]
pub struct Tracefs {
    root: PathBuf,
}

impl Tracefs {
    /// Finds the mounted tracefs, wherever it is; the old place within debugfs too.
    ///
    /// # Errors
    ///
    /// When none is mounted, or this process may not look into it.
    pub fn find() -> Result<Self, Error> {
        let mounts = fs::read_to_string("/proc/self/mounts")
            .map_err(|error| Error::io("/proc/self/mounts cannot be read", error))?;
        let root = place(&mounts).ok_or(Kind::NoTracefs)?;
        match fs::read_dir(root.join("instances")) {
            Ok(_) => Ok(Self { root }),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(Kind::Rights { path: root.display().to_string(), source }.into())
            }
            Err(source) => Err(Error::io(format!("{} has no instances", root.display()), source)),
        }
    }

    /// Returns the folder it is mounted at.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes instances whose process is gone; returns how many. One that is still read by
    /// somebody, perhaps in another container, cannot be removed and stays.
    pub fn remove_leftovers(&self) -> usize {
        let Ok(entries) = fs::read_dir(self.root.join("instances")) else { return 0 };
        let left = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(instance::is_left_over));
        left.filter(|entry| instance::remove(&entry.path()).is_ok()).count()
    }
}

/// Finds tracefs in a table of mounts: `device folder type options ...`.
fn place(mounts: &str) -> Option<PathBuf> {
    let of_type = |wanted: &str| {
        mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let folder = fields.next()?;
            (fields.next()? == wanted).then(|| PathBuf::from(unescaped(folder)))
        })
    };
    of_type("tracefs").or_else(|| Some(of_type("debugfs")?.join("tracing")))
}

/// Spaces and a few others are written as three octal digits.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracefs_is_found_where_it_is_mounted() {
        let debugfs = "debugfs /sys/kernel/debug debugfs rw 0 0\n";
        assert_eq!(place(debugfs), Some(PathBuf::from("/sys/kernel/debug/tracing")));
        let both = format!("{debugfs}t /mnt/a\\040b tracefs rw 0 0\n");
        assert_eq!(place(&both), Some(PathBuf::from("/mnt/a b")));
        assert_eq!(place("proc /proc proc rw 0 0\n"), None);
    }
}
