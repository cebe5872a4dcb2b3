//! The folder on the disk: bounded reading, listing, and replacing a file without losing an edit.
//!
//! Paths are relative to the workspace, with `/`. Links are not followed. A file is replaced by
//! exchanging it with the new one, so what somebody saved in the last moment is in hand afterwards
//! and can be put back; where the file system cannot exchange, by renaming over it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;

/// A workspace's folders of files.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    root: PathBuf,
    /// Where new files are written, on the same file system and not watched.
    drafts: PathBuf,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    File(Vec<u8>),
    Missing,
    /// Something is there that is not read; says why.
    Unreadable(String),
}

/// The files that are there.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: BTreeSet<String>,
    /// What kept the list from being whole; then nothing may be taken as vanished.
    pub(super) problems: Vec<(String, String)>,
}

/// One file to write.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) path: String,
    pub(super) content: Vec<u8>,
    /// What is to be there before; `None` for a new file.
    pub(super) before: Option<Vec<u8>>,
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum Written {
    Done,
    /// Somebody else wrote first; the disk is as they left it.
    Outrun,
    Failed(String),
}

impl Disk {
    /// Makes the folders and removes drafts of a process that was killed.
    pub(super) fn open(root: &Path, state: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let drafts = state.join("drafts");
        let folders = FOLDERS.map(|name| root.join(name));
        for folder in folders.iter().chain([&drafts]) {
            fs::create_dir_all(folder).map_err(|error| (folder.clone(), error))?;
        }
        let stale = fs::read_dir(&drafts).map_err(|error| (drafts.clone(), error))?;
        for entry in stale.flatten() {
            // One that stays is overwritten when its number comes again.
            drop(fs::remove_file(entry.path()));
        }
        Ok(Self { root: root.to_owned(), drafts })
    }

    /// Returns the whole path.
    pub(super) fn absolute(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Returns the path within the workspace, if it can be that of a task or memory entry.
    pub(super) fn relative(&self, path: &Path) -> Option<String> {
        let relative = path.strip_prefix(&self.root).ok()?.to_str()?;
        is_candidate(relative).then(|| relative.to_owned())
    }

    /// Returns true when anything is at the path.
    pub(super) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.absolute(path)).is_ok()
    }

    /// Reads a file of bounded size.
    pub(super) fn read(&self, path: &str) -> Found {
        match self.try_read(path) {
            Ok(found) => found,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Found::Missing,
                _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                    Found::Unreadable("is a link; links are not followed".to_owned())
                }
                _ => Found::Unreadable(format!("cannot be read: {error}")),
            },
        }
    }

    /// Returns when a file was changed, in nanoseconds since 1970; 0 for what is not there.
    pub(super) fn changed_at(&self, path: &str) -> i128 {
        fs::symlink_metadata(self.absolute(path)).map_or(0, |metadata| changed_at(&metadata))
    }

    /// Lists every candidate. An incomplete list says so.
    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing::default();
        for folder in FOLDERS {
            self.list_folder(folder, 0, &mut listing);
        }
        listing
    }

    /// Writes files; one answer for each. Everything is on the disk when this returns.
    pub(super) fn write(&self, drafts: &[Draft]) -> Vec<Written> {
        let is_bulk = drafts.len() > BULK_FILES_MIN;
        let mut prepared = Vec::with_capacity(drafts.len());
        for (number, draft) in drafts.iter().enumerate() {
            let temporary = self.drafts.join(format!("{number}.draft"));
            prepared.push(self.prepare(&temporary, draft, is_bulk).map(|()| temporary));
        }
        if is_bulk && let Err(error) = self.sync() {
            return drafts.iter().map(|_| Written::Failed(error.to_string())).collect();
        }
        let placed = drafts.iter().zip(prepared).map(|(draft, temporary)| {
            let temporary = match temporary {
                Ok(temporary) => temporary,
                Err(error) => return Written::Failed(error.to_string()),
            };
            let written = match self.place(&temporary, draft) {
                Ok(true) => Written::Done,
                Ok(false) => Written::Outrun,
                Err(error) => Written::Failed(error.to_string()),
            };
            // After an exchange the old file is left over, after a refusal the new one.
            drop(fs::remove_file(&temporary));
            written
        });
        placed.collect()
    }

    /// Removes a file if it holds what it should; returns whether it is gone.
    pub(super) fn remove(&self, path: &str, content: &[u8]) -> io::Result<bool> {
        let target = self.absolute(path);
        let temporary = self.drafts.join("removed.draft");
        match renameat_with(CWD, &target, CWD, &temporary, RenameFlags::empty()) {
            Err(Errno::NOENT) => return Ok(true),
            other => other?,
        }
        let found = fs::read(&temporary)?;
        if found == content {
            fs::remove_file(&temporary)?;
            return Ok(true);
        }
        // Not over a file that was made meanwhile; then that one is looked at and this one stays.
        renameat_with(CWD, &temporary, CWD, &target, RenameFlags::NOREPLACE)?;
        Ok(false)
    }

    /// Returns true for a file that its owner may not write either.
    pub(super) fn is_read_only(&self, path: &str) -> bool {
        let mode = fs::symlink_metadata(self.absolute(path)).map(|metadata| metadata.mode());
        mode.is_ok_and(|mode| mode & 0o222 == 0)
    }

    fn try_read(&self, path: &str) -> io::Result<Found> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        if self.has_linked_parent(path) {
            return Ok(Found::Unreadable("lies behind a link; links are not followed".to_owned()));
        }
        let file = OpenOptions::new().read(true).custom_flags(flags).open(self.absolute(path))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Found::Unreadable("is no file".to_owned()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(4_096));
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Ok(Found::Unreadable(format!("is larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(Found::File(bytes))
    }

    /// Returns true when a folder on the way is a link.
    fn has_linked_parent(&self, path: &str) -> bool {
        path.match_indices('/').any(|(at, _)| {
            let folder = fs::symlink_metadata(self.absolute(&path[..at]));
            folder.is_ok_and(|metadata| metadata.file_type().is_symlink())
        })
    }

    fn list_folder(&self, folder: &str, depth: usize, listing: &mut Listing) {
        let mut problem = |path: &str, what: String| listing.problems.push((path.to_owned(), what));
        if depth > DEPTH_MAX {
            return problem(folder, "lies too deep; it is not read".to_owned());
        }
        let absolute = self.absolute(folder);
        match fs::symlink_metadata(&absolute) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return problem(folder, "is no folder; links are not followed".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return problem(folder, format!("cannot be read: {error}")),
        }
        let entries = match fs::read_dir(&absolute) {
            Ok(entries) => entries,
            Err(error) => return problem(folder, format!("cannot be read: {error}")),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.problems.push((folder.to_owned(), format!("cannot be read: {error}")));
                    return;
                }
            };
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = format!("{folder}/{name}");
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !name.starts_with('.') {
                self.list_folder(&path, depth + 1, listing);
            } else if is_candidate(&path) {
                if listing.files.len() >= FILES_MAX {
                    let what =
                        format!("there are more than {FILES_MAX} files; the rest is not read");
                    listing.problems.push((folder.to_owned(), what));
                    return;
                }
                listing.files.insert(path);
            }
        }
    }

    fn prepare(&self, temporary: &Path, draft: &Draft, is_bulk: bool) -> io::Result<()> {
        let target = self.absolute(&draft.path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(temporary)?;
        file.write_all(&draft.content)?;
        if let (Some(_), Ok(metadata)) = (&draft.before, fs::symlink_metadata(&target)) {
            file.set_permissions(metadata.permissions())?;
        }
        if is_bulk { Ok(()) } else { file.sync_data() }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(syncfs(File::open(&self.drafts)?)?)
    }

    /// Puts a prepared file in its place; false if what is there is not what was expected.
    fn place(&self, temporary: &Path, draft: &Draft) -> io::Result<bool> {
        let target = self.absolute(&draft.path);
        let Some(before) = &draft.before else {
            return match renameat_with(CWD, temporary, CWD, &target, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => Ok(false),
                Err(Errno::INVAL) if !self.exists(&draft.path) => {
                    fs::rename(temporary, &target).map(|()| true)
                }
                other => Ok(other.map(|()| true)?),
            };
        };
        let has_before = || self.read(&draft.path) == Found::File(before.clone());
        if !has_before() {
            return Ok(false);
        }
        match renameat_with(CWD, temporary, CWD, &target, RenameFlags::EXCHANGE) {
            Err(Errno::NOENT) => return Ok(false),
            Err(Errno::INVAL) => return fs::rename(temporary, &target).map(|()| true),
            other => other?,
        }
        if fs::read(temporary)? == *before {
            return Ok(true);
        }
        renameat_with(CWD, temporary, CWD, &target, RenameFlags::EXCHANGE)?;
        Ok(false)
    }
}

fn changed_at(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// Returns true for a path that a task or memory entry can have.
pub(super) fn is_candidate(path: &str) -> bool {
    let Some((folder, rest)) = path.split_once('/') else { return false };
    if rest.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return false;
    }
    // What editors leave beside a file for a moment is nobody's.
    let is_passing = [".tmp", ".swp", ".part", "~"].iter().any(|ending| rest.ends_with(ending));
    match folder {
        "tasks" => rest.ends_with(".md"),
        "memory" => rest.matches('/').count() == 1 && rest.contains('.') && !is_passing,
        _ => false,
    }
}

/// The folders that hold files.
pub(super) const FOLDERS: [&str; 2] = ["tasks", "memory"];
/// A body of 256 Ki characters of up to 4 bytes, and a front matter.
const FILE_BYTES_MAX: u64 = (1 << 20) + (64 << 10);
const FILES_MAX: usize = 500_000;
const DEPTH_MAX: usize = 8;
/// From so many files on, the file system is synced once instead of each file.
const BULK_FILES_MIN: usize = 8;
