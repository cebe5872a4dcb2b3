//! What commands print, in files: the newest bytes of each job, within a bound.
//!
//! A job's log is a row of bytes, numbered from its first attempt's first byte on. Two files hold
//! the end of it, each up to half of the bound; a file's name says at which byte it begins:
//! `<job>/<begin>.log`. When the newer one is full, the older one goes. So a job that prints
//! without end goes on, and its log is its last words. A log survives its runner; nothing is
//! synced, because a log is no promise.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::Error;
use super::job::JobId;

/// The folder of all logs.
#[derive(Clone, Debug)]
pub struct Logs {
    folder: PathBuf,
    bytes_max: u64,
}

/// A piece of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogPart {
    /// The number of the first byte; above what was asked for where older ones are gone.
    pub begin: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many bytes there are to the log's end, this piece's included.
    pub end: u64,
}

impl Logs {
    /// Keeps logs in `folder`, each in at most `bytes_max` bytes; the folder has to exist.
    pub fn new(folder: impl Into<PathBuf>, bytes_max: u64) -> Self {
        Self { folder: folder.into(), bytes_max: bytes_max.max(2) }
    }

    /// Returns up to `count` bytes of a job's log from number `from` on; a job that printed
    /// nothing here has an empty one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when a file cannot be read.
    pub fn read(&self, id: JobId, from: u64, count: usize) -> Result<LogPart, Error> {
        let failed = |error| unusable(&self.folder, &error);
        let files = self.files(id).map_err(failed)?;
        let mut part = LogPart { begin: from, ..LogPart::default() };
        for (begin, path) in files {
            let mut file = match File::open(&path) {
                Ok(file) => file,
                // It was full and went while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            let length = file.metadata().map_err(failed)?.len();
            part.end = begin + length;
            if part.bytes.is_empty() {
                part.begin = part.begin.max(begin);
            }
            let next = part.begin + part.bytes.len() as u64;
            if next >= begin && next < begin + length && part.bytes.len() < count {
                file.seek(SeekFrom::Start(next - begin)).map_err(failed)?;
                let room = (count - part.bytes.len()) as u64;
                file.take(room).read_to_end(&mut part.bytes).map_err(failed)?;
            }
        }
        part.begin = part.begin.min(part.end);
        Ok(part)
    }

    /// Removes a job's log.
    pub fn remove(&self, id: JobId) {
        // There may be none; what cannot be removed stays within its bound.
        let _ = fs::remove_dir_all(self.folder_of(id));
    }

    /// Removes the logs that nothing was added to for `age` until `now_ms` after 1970.
    pub(super) fn remove_older(&self, age: Duration, now_ms: u64) {
        let Ok(folders) = fs::read_dir(&self.folder) else { return };
        let newest = |folder: &Path| -> Option<SystemTime> {
            let files = fs::read_dir(folder).ok()?;
            files.filter_map(|file| file.ok()?.metadata().ok()?.modified().ok()).max()
        };
        let before = (SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms)).checked_sub(age);
        for folder in folders.filter_map(|entry| Some(entry.ok()?.path())) {
            // Only what is named as a job is ours.
            let is_job = folder.file_name().and_then(|name| name.to_str());
            let is_job = is_job.is_some_and(|name| name.parse::<JobId>().is_ok());
            if is_job && newest(&folder).is_some_and(|newest| Some(newest) < before) {
                let _ = fs::remove_dir_all(folder);
            }
        }
    }

    /// Begins to write at the end of a job's log.
    pub(super) fn append(&self, id: JobId) -> io::Result<LogWriter> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.folder_of(id))?;
        let mut files = self.files(id)?;
        let (begin, path) = files.pop().unwrap_or_else(|| (0, self.path(id, 0)));
        let file = open(&path)?;
        let length = file.metadata()?.len();
        let older = files.pop().map(|(_, path)| path);
        Ok(LogWriter { logs: self.clone(), id, file, path, older, begin, length })
    }

    /// Returns a job's files, the older one first.
    fn files(&self, id: JobId) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(self.folder_of(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let begin = path.file_stem().and_then(|name| name.to_str());
            if let Some(begin) = begin.and_then(|begin| begin.parse().ok()) {
                files.push((begin, path));
            }
        }
        files.sort();
        Ok(files)
    }

    fn folder_of(&self, id: JobId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn path(&self, id: JobId, begin: u64) -> PathBuf {
        self.folder_of(id).join(format!("{begin}.log"))
    }
}

/// The end of one job's log.
#[derive(Debug)]
pub(super) struct LogWriter {
    logs: Logs,
    id: JobId,
    file: File,
    path: PathBuf,
    older: Option<PathBuf>,
    begin: u64,
    length: u64,
}

impl LogWriter {
    /// Adds bytes; the oldest ones go when there are too many.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let half = self.logs.bytes_max / 2;
        while !bytes.is_empty() {
            if self.length >= half {
                self.turn()?;
            }
            let room = usize::try_from(half - self.length).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.file.write_all(now)?;
            self.length += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        let begin = self.begin + self.length;
        let path = self.logs.path(self.id, begin);
        self.file = open(&path)?;
        if let Some(older) = self.older.replace(std::mem::replace(&mut self.path, path)) {
            fs::remove_file(older)?;
        }
        (self.begin, self.length) = (begin, 0);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn unusable(folder: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("cannot use the logs in {}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_are_kept_within_the_bound() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let logs = Logs::new(folder.path(), 100);
        let id = JobId::from_u128(1);
        assert_eq!(logs.read(id, 0, 10).expect("no log is an empty one"), LogPart::default());
        let all: Vec<u8> = (0..=255).collect();
        for piece in all.chunks(7) {
            // A writer for each piece, as after a restart.
            logs.append(id).and_then(|mut log| log.write(piece)).expect("the log takes bytes");
        }
        let part = logs.read(id, 0, 1_000).expect("a log");
        assert_eq!((part.begin, part.end), (200, 256));
        assert_eq!(part.bytes, &all[200..]);
        let part = logs.read(id, 225, 30).expect("a log");
        assert_eq!((part.begin, part.bytes.as_slice()), (225, &all[225..255]));
        let part = logs.read(id, 999, 30).expect("a log");
        assert_eq!((part.begin, part.bytes.len(), part.end), (256, 0, 256));
        assert_eq!(logs.files(id).expect("files").len(), 2);
        let now_ms = crate::durable::clock::now_ms();
        logs.remove_older(Duration::from_secs(60), now_ms);
        assert_eq!(logs.files(id).expect("files").len(), 2);
        logs.remove_older(Duration::from_secs(60), now_ms + 61_000);
        assert_eq!(logs.files(id).expect("no files").len(), 0);
        logs.append(id).and_then(|mut log| log.write(b"again")).expect("the log takes bytes");
        logs.remove(id);
        assert_eq!(logs.read(id, 0, 10).expect("gone"), LogPart::default());
    }
}
