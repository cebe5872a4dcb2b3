//! One process per workspace: a lock file with the holder's process id.
//!
//! The kernel's lock on the open file decides, and it ends with the process however that ends. The
//! text in the file is for people, and it tells how the last holder ended: a clean stop empties it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    was_clean: bool,
}

impl Lock {
    /// Takes the lock of the state folder of a workspace.
    pub(super) fn take(workspace: &Path, state: &Path) -> Result<Self, Error> {
        let path = state.join("lock");
        let failed = |action| {
            let path = path.clone();
            move |source| Error::from(Kind::File { action, path, source })
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open"))?;
        let is_taken = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        };
        let mut holder = String::new();
        // A holder that is just writing its id may leave nothing to read yet.
        (&file).take(HOLDER_BYTES_MAX).read_to_string(&mut holder).map_err(failed("read"))?;
        let holder = holder.trim().to_owned();
        if is_taken {
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
            return Err(Kind::Locked { workspace: workspace.to_owned(), holder }.into());
        }
        file.set_len(0).map_err(failed("write"))?;
        file.rewind().map_err(failed("write"))?;
        writeln!(file, "{}", std::process::id()).map_err(failed("write"))?;
        Ok(Self { file, path, was_clean: holder.is_empty() })
    }

    /// Returns true when the last holder stopped in order, or there was none.
    pub(super) fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// Says that everything is in order, and lets go.
    pub(super) fn release_clean(self) -> Result<(), Error> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.sync_all());
        emptied.map_err(|source| Kind::File { action: "write", path: self.path, source }.into())
    }
}

const HOLDER_BYTES_MAX: u64 = 64;
