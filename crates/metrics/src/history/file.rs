//! The history's file: appended to at each flush, bounded, read again at the next start.
//!
//! ```text
//! metrics.history    the file written to      rotated when it reaches half of `bytes_max`:
//! metrics.history.1  the one before it        it becomes the older one, the oldest one goes
//! ```
//!
//! A flush appends one write of what changed and syncs it, so a kill at any moment costs at most
//! what came after the last flush; a half-written record at the end is cut off at the next start,
//! a damaged stretch is skipped. A new file begins with every series and value, so that it can be
//! read alone. A flush that fails (the disk is full) takes back what it wrote; the next one writes
//! it all. One process at a time may have a file; who opens it sees to that.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::record::{self, HEAD, Record, Scan};
use super::{History, millis};
use crate::sample::Value;

/// An open history file.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
    bytes_max: u64,
    file: File,
    /// Bytes of whole records.
    length: u64,
    /// What the file says of each series now.
    written: HashMap<String, (u64, Value)>,
    next_number: u64,
}

/// What was found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Moments of which there are values.
    pub flushes: usize,
    /// Bytes that could not be read: a flush that was cut short, or damage.
    pub damaged_bytes: usize,
}

impl HistoryFile {
    /// Opens or creates the file at `path`, and puts what it holds into `history`. It and the one
    /// before it take at most `bytes_max`, which is taken as 64 KiB to 2 GiB.
    ///
    /// # Errors
    ///
    /// When a file is of another version or no history at all, which leaves it untouched; when it
    /// cannot be read or written.
    pub fn open(
        path: &Path,
        bytes_max: u64,
        history: &mut History,
    ) -> Result<(Self, Recovered), HistoryError> {
        let older = read(&older_path(path))?;
        let newer = read(path)?;
        let mut recovered = Recovered::default();
        let (mut written, mut next_number) = (HashMap::new(), 0);
        for scan in [&older, &newer].into_iter().flatten() {
            (written, next_number) = restore(scan, history);
            recovered.damaged_bytes += scan.damaged;
            recovered.flushes +=
                scan.records.iter().filter(|it| matches!(it, Record::Values { .. })).count();
        }
        if newer.is_none() {
            // Numbers and values count from the beginning of each file.
            (written, next_number) = (HashMap::new(), 0);
        }
        let error = |error| HistoryError::io("open", path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(error)?;
        let length = match &newer {
            Some(scan) => scan.good_until as u64,
            None => {
                file.set_len(0).and_then(|()| file.write_all(&head())).map_err(error)?;
                head().len() as u64
            }
        };
        file.set_len(length).map_err(error)?;
        let bytes_max = bytes_max.clamp(BYTES_MIN, 2 * BYTES_MAX);
        let path = path.to_owned();
        Ok((Self { path, bytes_max, file, length, written, next_number }, recovered))
    }

    /// Appends what changed since the last flush and syncs it.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the file is then as it was, and the next flush has it all.
    pub fn flush(&mut self, history: &History, at: SystemTime) -> Result<(), HistoryError> {
        let changes = Changes::since(&self.written, self.next_number, history, millis(at));
        if self.length + changes.bytes.len() as u64 > self.bytes_max / 2 {
            return self.rotate(history, millis(at));
        }
        let file = &mut self.file;
        let appended = file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| file.write_all(&changes.bytes))
            .and_then(|()| file.sync_data());
        if let Err(error) = appended {
            // Where even that fails, the next start cuts the rest off.
            let _ = file.set_len(self.length);
            return Err(HistoryError::io("write", &self.path, error));
        }
        self.length += changes.bytes.len() as u64;
        (self.written, self.next_number) = (changes.written, changes.next_number);
        Ok(())
    }

    /// Returns the bytes of the file that is written to.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Begins a new file with everything that is there now.
    fn rotate(&mut self, history: &History, at_ms: u64) -> Result<(), HistoryError> {
        let all = Changes::since(&HashMap::new(), 0, history, at_ms);
        let bytes = [&head()[..], &all.bytes].concat();
        if bytes.len() as u64 > self.bytes_max / 2 {
            return Err(HistoryError(Kind::TooSmall {
                path: self.path.clone(),
                needed: 2 * bytes.len() as u64,
            }));
        }
        let new_path = with_suffix(&self.path, ".new");
        let replace = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&new_path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            match fs::rename(&self.path, older_path(&self.path)) {
                // An earlier rotation came this far: it is the older one already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
            fs::rename(&new_path, &self.path)?;
            Ok(file)
        };
        match replace() {
            Ok(file) => {
                self.file = file;
                self.length = bytes.len() as u64;
                (self.written, self.next_number) = (all.written, all.next_number);
            }
            Err(error) => {
                let _ = fs::remove_file(&new_path);
                return Err(HistoryError::io("rotate", &self.path, error));
            }
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| HistoryError::io("sync the folder of", &self.path, error))
    }
}

/// What a flush has to write, and what the file says once it is written.
struct Changes {
    bytes: Vec<u8>,
    written: HashMap<String, (u64, Value)>,
    next_number: u64,
}

impl Changes {
    fn since(
        before: &HashMap<String, (u64, Value)>,
        mut next_number: u64,
        history: &History,
        at_ms: u64,
    ) -> Self {
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        let mut written = HashMap::with_capacity(history.series.len());
        for track in &history.series {
            let Some(value) = track.last else { continue };
            let number = match before.get(&track.name) {
                Some((number, old)) if same_kind(*old, value) => {
                    if !old.is_same(value) {
                        values.push((*number, value));
                    }
                    *number
                }
                _ => {
                    let number = next_number;
                    next_number += 1;
                    let record = Record::Series {
                        number,
                        created_ms: track.created_ms,
                        is_counter: track.is_counter,
                        is_count: matches!(value, Value::Count(_)),
                        name: track.name.clone(),
                    };
                    record.encode(&mut bytes);
                    values.push((number, value));
                    number
                }
            };
            written.insert(track.name.clone(), (number, value));
        }
        let is_gone = |(name, _): &(&String, &(u64, Value))| !written.contains_key(*name);
        let numbers: Vec<_> = before.iter().filter(is_gone).map(|(_, (n, _))| *n).collect();
        if !numbers.is_empty() {
            Record::Gone { at_ms, numbers }.encode(&mut bytes);
        }
        Record::Values { at_ms, values }.encode(&mut bytes);
        Self { bytes, written, next_number }
    }
}

fn same_kind(a: Value, b: Value) -> bool {
    matches!(a, Value::Count(_)) == matches!(b, Value::Count(_))
}

/// Puts a file's records into the history and returns what the file says now.
fn restore(scan: &Scan, history: &mut History) -> (HashMap<String, (u64, Value)>, u64) {
    let (mut tracks, mut names, mut values) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut next_number = 0;
    for record in &scan.records {
        history.restore(record, &mut tracks);
        match record {
            Record::Series { number, name, .. } => {
                next_number = next_number.max(number + 1);
                names.insert(*number, name.clone());
            }
            Record::Values { values: new, .. } => values.extend(new.iter().copied()),
            Record::Gone { numbers, .. } => {
                for number in numbers {
                    names.remove(number);
                }
            }
        }
    }
    let named = names.into_iter().filter_map(|(number, name)| {
        let value = *values.get(&number)?;
        Some((name, (number, value)))
    });
    (named.collect(), next_number)
}

/// Reads and scans a file; `None` when it is not there or has not even a head, which a crash
/// right after its making leaves.
fn read(path: &Path) -> Result<Option<Scan>, HistoryError> {
    let error = |error| HistoryError::io("read", path, error);
    // Before it is opened, which for a pipe waits until somebody writes.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(HistoryError(Kind::Foreign { path: path.to_owned() })),
    }
    let file = File::open(path).map_err(error)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() < head().len() && head().starts_with(&bytes) {
        return Ok(None);
    }
    let version = bytes.strip_prefix(&HEAD).and_then(|rest| rest.first_chunk());
    let Some(version) = version.map(|version| u32::from_le_bytes(*version)) else {
        return Err(HistoryError(Kind::Foreign { path: path.to_owned() }));
    };
    if version != VERSION {
        return Err(HistoryError(Kind::Version { path: path.to_owned(), version }));
    }
    Ok(Some(record::scan(&bytes)))
}

fn head() -> [u8; 12] {
    let mut head = [0; 12];
    head[..8].copy_from_slice(&HEAD);
    head[8..].copy_from_slice(&VERSION.to_le_bytes());
    head
}

fn older_path(path: &Path) -> PathBuf {
    with_suffix(path, ".1")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Why a history file could not be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HistoryError(Kind);

impl HistoryError {
    /// Returns true when the file is of another version, or no history at all: somebody has to
    /// decide what becomes of it.
    pub fn is_foreign(&self) -> bool {
        matches!(self.0, Kind::Version { .. } | Kind::Foreign { .. })
    }

    fn io(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self(Kind::Io { verb, path: path.to_owned(), source })
    }
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("cannot {verb} the metrics history {}: {source}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} is a metrics history of version {version} and this program knows version {VERSION}; \
         move it away, or start the program that wrote it", path.display()
    )]
    Version { path: PathBuf, version: u32 },
    #[error("{} is not a metrics history; move it away", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "the metrics history {} has no room for the series that there are; give it {needed} bytes \
         or more", path.display()
    )]
    TooSmall { path: PathBuf, needed: u64 },
}

const VERSION: u32 = 1;

const BYTES_MIN: u64 = 64 << 10;

/// The most that we write into one file, so that a foreign one is not read whole.
const BYTES_MAX: u64 = 1 << 30;
