//! Where the configuration is: the file that was named, or `tidemill.toml` here, or none.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::problem::position;
use super::{Config, Machine, NodeSettings, Problem, WorkstreamSettings, read};

/// The file that a configuration is read from, again at each reload.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    is_named: bool,
}

/// What a load found.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; the defaults where there is no file.
    pub config: Config,
    /// The file's text; `None` where there is no file.
    pub text: Option<String>,
}

impl Source {
    /// Returns the source for what was named on the command line.
    pub fn new(named: Option<&Path>) -> Self {
        let path = named.unwrap_or(Path::new(FILE_NAME)).to_owned();
        Self { path, is_named: named.is_some() }
    }

    /// Returns the path of the file, whether it is there or not.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder that the file is in or would be in.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Reads the file. Only one that was named must be there.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or with every problem that it has.
    pub fn load(&self, machine: &Machine<'_>) -> Result<Loaded, LoadError> {
        let text = self.text()?;
        let config = self.parse(text.as_deref(), machine)?;
        Ok(Loaded { config, text })
    }

    /// Reads what [`text`](Self::text) returned.
    ///
    /// # Errors
    ///
    /// With every problem of the text.
    pub fn parse(&self, text: Option<&str>, machine: &Machine<'_>) -> Result<Config, LoadError> {
        match text {
            Some(text) => read(&self.name(), text, machine).map_err(LoadError::Invalid),
            None => Ok(Config::default()),
        }
    }

    /// Returns the file's text, or `None` where none was named and none is here.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is larger than 1 MiB or is not UTF-8.
    pub fn text(&self) -> Result<Option<String>, LoadError> {
        let unreadable = |error| LoadError::Unreadable { path: self.path.clone(), error };
        let bytes = match read_bounded(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_named => {
                return Ok(None);
            }
            Err(error) => return Err(unreadable(error)),
        };
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let (line, column) = position(&text, valid);
            LoadError::Invalid(vec![Problem {
                file: self.name(),
                line,
                column,
                what: "the file is not UTF-8 from here on".to_owned(),
                right: "save it as UTF-8".to_owned(),
            }])
        })
    }

    /// Returns `node.data_dir` as far as the file tells it, whatever else is wrong in there: who
    /// asks a running node must be able to while the file is being mended.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn data_dir(&self) -> Result<String, LoadError> {
        let written = self.written("node", "data_dir")?;
        Ok(written.unwrap_or_else(|| NodeSettings::default().data_dir))
    }

    /// Returns `workstream.path` as far as the file tells it, as [`data_dir`](Self::data_dir) does.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn workspace(&self) -> Result<String, LoadError> {
        let written = self.written("workstream", "path")?;
        Ok(written.unwrap_or_else(|| WorkstreamSettings::default().path))
    }

    /// Returns a string of the file, broken or not.
    fn written(&self, section: &str, key: &str) -> Result<Option<String>, LoadError> {
        let text = self.text()?.unwrap_or_default();
        let (document, _) = DeTable::parse_recoverable(&text);
        let table = document.get_ref().get(section).and_then(|table| table.get_ref().as_table());
        let value = table.and_then(|table| table.get(key));
        Ok(value.and_then(|value| value.get_ref().as_str()).map(str::to_owned))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Why a file gave no configuration.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum LoadError {
    /// It could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It was read and is wrong; at least one problem, in the order of the file.
    Invalid(Vec<Problem>),
}

impl fmt::Display for LoadError {
    /// Writes one line for each thing to correct.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                let path = path.display();
                let right = "name a file that this user may read, with --config FILE";
                write!(f, "cannot read the configuration {path}: {error}; {right}")
            }
            Self::Invalid(problems) => {
                for (index, problem) in problems.iter().enumerate() {
                    let end = if index + 1 == problems.len() { "" } else { "\n" };
                    write!(f, "{problem}{end}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(bytes)
}

const FILE_NAME: &str = "tidemill.toml";

const BYTES_MAX: u64 = 1 << 20;
