//! The node's folder: who runs, with which token, at which addresses.
//!
//! | file | mode | content |
//! | --- | --- | --- |
//! | `lock` | 0600 | the holder's pid; held with `flock`, so a crash releases it |
//! | `token` | 0600 | 64 hex digits: 256 random bits, kept over restarts |
//! | `session` | 0600 | the same for the page's cookie; removing it signs every browser out |
//! | `addresses.json` | 0600 | the pid and the addresses in use; gone when the node has stopped |
//! | `metrics.history`, `metrics.history.1` | 0600 | what metrics were; see the crate of metrics |
//!
//! The folder has mode 0700. Every file but the lock and the history is written to a
//! temporary name, synced and renamed, so that a reader sees a whole one or none.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use super::environment;
use crate::command::Failure;

/// Where a node keeps its state.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    path: PathBuf,
}

/// Where a node is reached, for commands that look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The node's process.
    pub(crate) pid: u32,
    /// Page and API.
    pub(crate) node: SocketAddr,
    /// Each proxy by name.
    pub(crate) proxies: BTreeMap<String, SocketAddr>,
    /// The workspace it serves, without links in its path.
    #[serde(default)]
    pub(crate) workspace: Option<PathBuf>,
}

impl Addresses {
    /// Returns true while the node's process is there.
    pub(crate) fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid).is_ok())
    }
}

/// Held for as long as the node runs; the system releases it with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl DataDir {
    /// Finds the folder that `written` means in a configuration file inside `folder`.
    ///
    /// # Errors
    ///
    /// When it begins with `~` and there is no home folder.
    pub(crate) fn locate(written: &str, folder: &Path) -> Result<Self, Failure> {
        Ok(Self { path: resolve_folder("node.data_dir", written, folder)? })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the folder where it is missing, for this user only.
    ///
    /// # Errors
    ///
    /// When it cannot be made private.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let unusable = |error| self.failure("use", &self.path, &error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(unusable)?;
        self.make_private()
    }

    /// Creates the folder where it is missing and takes its lock.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made private, or another node holds the lock.
    pub(super) fn create_and_lock(&self) -> Result<Lock, Failure> {
        self.create()?;
        let path = self.path.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| self.failure("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.taken(&mut file)),
            Err(TryLockError::Error(error)) => return Err(self.failure("lock", &path, &error)),
        }
        let pid = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(|error| self.failure("write", &path, &error))?;
        Ok(Lock { _file: file })
    }

    /// Returns the token, made at the first start.
    ///
    /// # Errors
    ///
    /// When it can be neither read nor written.
    pub(super) fn keep_token(&self) -> Result<String, Failure> {
        self.keep_secret(TOKEN)
    }

    /// Returns the secret of the page's cookie, made at the first start.
    ///
    /// # Errors
    ///
    /// When it can be neither read nor written.
    pub(super) fn keep_session(&self) -> Result<String, Failure> {
        self.keep_secret(SESSION)
    }

    /// Returns the token, or `None` where no node has ever run.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read, or is none of ours.
    pub(crate) fn read_token(&self) -> Result<Option<String>, Failure> {
        self.read_secret(TOKEN)
    }

    /// Returns where the node is, or `None` where none runs.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub(crate) fn read_addresses(&self) -> Result<Option<Addresses>, Failure> {
        let Some(text) = self.read(ADDRESSES)? else { return Ok(None) };
        let damaged = |error| {
            let path = self.path.join(ADDRESSES);
            Failure::outside(format!("{} is damaged: {error}; restart the node", path.display()))
        };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    pub(super) fn write_addresses(&self, addresses: &Addresses) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(addresses).expect("names are strings");
        self.write(ADDRESSES, format!("{text}\n").as_bytes())
    }

    pub(super) fn remove_addresses(&self) {
        let path = self.path.join(ADDRESSES);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
    }

    fn keep_secret(&self, name: &str) -> Result<String, Failure> {
        if let Some(secret) = self.read_secret(name)? {
            let path = self.path.join(name);
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(|error| self.failure("protect", &path, &error))?;
            return Ok(secret);
        }
        let secret = random_hex()?;
        self.write(name, format!("{secret}\n").as_bytes())?;
        Ok(secret)
    }

    fn read_secret(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        let secret = text.trim_end();
        if secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Some(secret.to_owned()));
        }
        let path = self.path.join(name);
        Err(Failure::outside(format!(
            "{} is damaged: 64 hex digits are expected; remove it, and the next start makes a new one",
            path.display()
        )))
    }

    /// Takes the folder away from others, unless it may be somebody else's: an existing one has to
    /// be empty or a node's.
    fn make_private(&self) -> Result<(), Failure> {
        let unusable = |error| self.failure("use", &self.path, &error);
        let mode = fs::metadata(&self.path).map_err(unusable)?.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            return Ok(());
        }
        let is_ours = self.path.join(LOCK).exists()
            || fs::read_dir(&self.path).map_err(unusable)?.next().is_none();
        if !is_ours {
            return Err(Failure::outside(format!(
                "{0} is open to others (mode {mode:03o}) and holds what is not ours; choose another \
                 node.data_dir, or `chmod 700 {0}`",
                self.path.display()
            )));
        }
        fs::set_permissions(&self.path, Permissions::from_mode(0o700)).map_err(unusable)
    }

    fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        let path = self.path.join(name);
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(STATE_BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failure("read", &path, &error)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!(".{name}.new"));
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(|error| self.failure("write", &path, &error))
    }

    fn failure(&self, verb: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::outside(format!(
            "cannot {verb} {}: {error}; the folder is node.data_dir, choose one that belongs to you",
            path.display()
        ))
    }

    fn taken(&self, file: &mut File) -> Failure {
        let mut pid = String::new();
        let holder = match file.take(32).read_to_string(&mut pid) {
            Ok(_) if !pid.trim().is_empty() => format!("pid {}", pid.trim()),
            _ => "its pid is not known".to_owned(),
        };
        Failure::outside(format!(
            "another node runs with the data_dir {} ({holder}); stop it, or give this one a \
             node.data_dir of its own",
            self.path.display()
        ))
    }
}

/// Returns the folder that `written`, the value of `key`, means in a file inside `folder`.
///
/// # Errors
///
/// When it begins with `~` and there is no home folder.
pub(crate) fn resolve_folder(key: &str, written: &str, folder: &Path) -> Result<PathBuf, Failure> {
    match written.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = environment("HOME").ok_or_else(|| {
                Failure::input(format!(
                    "{key} is {written} and HOME is not set; set it, or write an absolute path"
                ))
            })?;
            Ok(Path::new(&home).join(rest.trim_start_matches('/')))
        }
        _ if folder == Path::new(".") => Ok(PathBuf::from(written)),
        _ => Ok(folder.join(written)),
    }
}

/// Returns 256 random bits as 64 hex digits.
///
/// # Errors
///
/// When the system gives none.
pub(crate) fn random_hex() -> Result<String, Failure> {
    let mut random = [0; 32];
    if getrandom(&mut random, GetRandomFlags::empty()) != Ok(random.len()) {
        return Err(Failure::outside("the system gave no random bytes for a secret"));
    }
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

const LOCK: &str = "lock";

const TOKEN: &str = "token";

const SESSION: &str = "session";

const ADDRESSES: &str = "addresses.json";

const STATE_BYTES_MAX: u64 = 4 << 20;
