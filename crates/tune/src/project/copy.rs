//! A copy of the project's sources, in which everything is tried.
//!
//! What Cargo builds, other caches and what git keeps are left out. The copy knows the text of
//! every file it changed, so that [`Copy::reset`] brings back exactly what was copied.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::metadata::Project;
use crate::error::Error;
use crate::progress::Stop;

/// The project's sources at another place. The folder is removed on drop, its builds are not.
#[derive(Debug)]
pub struct Copy {
    root: PathBuf,
    target_folder: PathBuf,
    /// The text before the first change, by path relative to the root.
    originals: BTreeMap<PathBuf, Vec<u8>>,
}

impl Copy {
    /// Copies `project` into `folder`/source, replacing what an interrupted session left there.
    ///
    /// # Errors
    ///
    /// The sources take more than 2 GiB or 200,000 files, the disk is full, or the session was
    /// stopped.
    pub fn new(project: &Project, folder: &Path, stop: &Stop) -> Result<Self, Error> {
        let root = folder.join("source");
        remove(&root)?;
        let copy = Self { root, target_folder: folder.join("build"), originals: BTreeMap::new() };
        let mut left = Left { files: FILES_MAX, bytes: BYTES_MAX };
        // Where the session's own folder lies below the project, it is not copied into itself.
        let skipped = [project.target_folder.as_path(), folder];
        copy_folder(&project.root, &copy.root, &skipped, &mut left, stop)?;
        Ok(copy)
    }

    /// Returns the root of the copied workspace.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where Cargo builds the copy.
    #[must_use]
    pub fn target_folder(&self) -> &Path {
        &self.target_folder
    }

    /// Replaces the text of a file, `path` relative to the root.
    ///
    /// # Errors
    ///
    /// The path leaves the copy, or the file cannot be read or written.
    pub fn write(&mut self, path: &Path, text: &[u8]) -> Result<(), Error> {
        let is_inside =
            path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            return Err(Error::request(format!("{} leaves the project", path.display())));
        }
        let place = self.root.join(path);
        if !self.originals.contains_key(path) {
            let original = fs::read(&place).map_err(|error| Error::file("read", &place, error))?;
            self.originals.insert(path.to_owned(), original);
        }
        fs::write(&place, text).map_err(|error| Error::file("write", &place, error))
    }

    /// Brings back every file as it was copied.
    ///
    /// # Errors
    ///
    /// A file cannot be written; asking again goes on where it stopped.
    pub fn reset(&mut self) -> Result<(), Error> {
        while let Some((path, original)) = self.originals.first_key_value() {
            let place = self.root.join(path);
            fs::write(&place, original).map_err(|error| Error::file("write", &place, error))?;
            self.originals.pop_first();
        }
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The next session removes what could not be removed now.
        let _ = remove(&self.root);
    }
}

struct Left {
    files: u64,
    bytes: u64,
}

fn copy_folder(
    from: &Path,
    to: &Path,
    skipped: &[&Path],
    left: &mut Left,
    stop: &Stop,
) -> Result<(), Error> {
    stop.check()?;
    fs::create_dir_all(to).map_err(|error| Error::file("create", to, error))?;
    let entries = fs::read_dir(from).map_err(|error| Error::file("read", from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::file("read", from, error))?;
        let (path, name) = (entry.path(), entry.file_name());
        if name == ".git" || skipped.iter().any(|skipped| path == *skipped) {
            continue;
        }
        let kind = entry.file_type().map_err(|error| Error::file("read", &path, error))?;
        let place = to.join(&name);
        // A cache by its own word (bford.info/cachedir), such as another target folder.
        if kind.is_dir() && path.join("CACHEDIR.TAG").is_file() {
            continue;
        }
        if kind.is_dir() {
            copy_folder(&path, &place, skipped, left, stop)?;
        } else if kind.is_symlink() {
            fs::read_link(&path)
                .and_then(|link| std::os::unix::fs::symlink(link, &place))
                .map_err(|error| Error::file("copy", &path, error))?;
        } else if kind.is_file() {
            let bytes =
                fs::copy(&path, &place).map_err(|error| Error::file("copy", &path, error))?;
            *left = Left {
                files: left.files.checked_sub(1).ok_or_else(|| too_large(from))?,
                bytes: left.bytes.checked_sub(bytes).ok_or_else(|| too_large(from))?,
            };
        }
    }
    Ok(())
}

fn too_large(folder: &Path) -> Error {
    Error::request(format!(
        "the project holds more than 2 GiB or 200,000 files beside what Cargo builds ({} is where \
         counting stopped); move data out of it",
        folder.display()
    ))
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", folder, error))
        }
        _ => Ok(()),
    }
}

const FILES_MAX: u64 = 200_000;
const BYTES_MAX: u64 = 2 << 30;
