//! The built node under test, at home in a temporary folder.
//!
//! `HOME` is that folder, so the default `data_dir` and `.workspace` lie in it, and nothing of the
//! person who runs the tests is read or written. A configuration without `listen` in `[node]`
//! takes the default port, which tests running side by side cannot share: write
//! `listen = "127.0.0.1:0"`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Response};
use crate::process::{Finished, Launch, Process};

/// A node about to be started.
#[derive(Debug)]
pub struct Tidemill {
    home: TempDir,
    launch: Launch,
    args: Vec<OsString>,
}

impl Tidemill {
    /// Begins with the binary, `env!("CARGO_BIN_EXE_tidemill")`; without more it runs `up`.
    ///
    /// # Panics
    ///
    /// When no temporary folder can be made.
    #[track_caller]
    pub fn new(binary: impl AsRef<Path>) -> Self {
        let home = TempDir::with_prefix("tidemill-home-").expect("a temporary folder");
        let launch = Launch::new(binary)
            .folder(home.path())
            .env("HOME", home.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("TIDEMILL_TOKEN");
        Self { home, launch, args: Vec::new() }
    }

    /// Writes this configuration to `tidemill.toml` in the folder where it runs.
    #[must_use]
    pub fn config(self, text: &str) -> Self {
        replace(&self.config_file(), text);
        self
    }

    /// Adds arguments; the first ones replace `up`.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Gives an environment variable a value.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.launch = self.launch.env(name, value);
        self
    }

    /// Limits its open file descriptors.
    #[must_use]
    pub fn limit_files(mut self, files_max: u64) -> Self {
        self.launch = self.launch.limit_files(files_max);
        self
    }

    /// Returns the folder where it runs, which is also its home.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Starts it and waits for the line `ready` on standard error.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 seconds or ends before.
    #[track_caller]
    pub fn start(self) -> Node {
        let process = self.arguments().start();
        let is_ready = || process.lines().iter().any(|line| is_ready_line(line)).then_some(());
        if process.poll(READY_WITHIN, is_ready).is_none() {
            panic!("not ready after {READY_WITHIN:?}: {process}");
        }
        Node { process, tidemill: self }
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    ///
    /// When it is not done `within` this time.
    #[track_caller]
    pub fn run(&self, within: Duration) -> Finished {
        self.arguments().run(within)
    }

    fn arguments(&self) -> Launch {
        match self.args.as_slice() {
            [] => self.launch.clone().args(["up"]),
            args => self.launch.clone().args(args),
        }
    }

    fn config_file(&self) -> PathBuf {
        self.home.path().join("tidemill.toml")
    }

    fn data_dir(&self) -> PathBuf {
        self.home.path().join(".local/state/tidemill")
    }
}

/// A node that is ready; dropping it kills it.
#[derive(Debug)]
pub struct Node {
    // Before its home, so that it is killed before its files go.
    process: Process,
    tidemill: Tidemill,
}

impl Node {
    /// Replaces the configuration file in one step, as an editor or a deployment does.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn write_config(&self, text: &str) {
        replace(&self.tidemill.config_file(), text);
    }

    /// Asks it to read its configuration again (SIGHUP).
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Asks it to end with SIGTERM and waits for that.
    ///
    /// # Panics
    ///
    /// When it does not end `within` this time.
    #[track_caller]
    pub fn terminate(&self, within: Duration) -> ExitStatus {
        self.process.terminate(within)
    }

    /// Runs another command of the same binary, such as `["status", "--json"]`, with the same
    /// home and configuration.
    ///
    /// # Panics
    ///
    /// When it is not done `within` this time.
    #[track_caller]
    pub fn command(
        &self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        within: Duration,
    ) -> Finished {
        self.tidemill.launch.clone().args(args).run(within)
    }

    /// Returns a header with its API token.
    ///
    /// # Panics
    ///
    /// When it has none.
    #[track_caller]
    pub fn bearer(&self) -> String {
        let file = self.data_dir().join("token");
        match fs::read_to_string(&file) {
            Ok(token) => format!("Bearer {}", token.trim()),
            Err(error) => panic!("{}: {error}: {}", file.display(), self.process),
        }
    }

    /// Makes a request to the API with its token and a JSON body, if that is not empty.
    ///
    /// # Panics
    ///
    /// When there is no complete answer.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Response {
        let bearer = self.bearer();
        let mut headers = vec![("Authorization", bearer.as_str())];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        http::request(self.address(), method, path, &headers, body)
    }

    /// Kills it with SIGKILL, unless it has ended, and returns it as it was before the start, with
    /// everything that it left on disk.
    pub fn into_stopped(self) -> Tidemill {
        self.process.kill();
        self.tidemill
    }

    /// Returns the folder where it runs, which is also its home.
    pub fn folder(&self) -> &Path {
        self.tidemill.folder()
    }

    /// Returns its process: signals, output, open files, CPU time.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Returns the lines on standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.process.stderr().lines().map(str::to_owned).collect()
    }

    /// Returns its `data_dir`, where the configuration leaves the default.
    pub fn data_dir(&self) -> PathBuf {
        self.tidemill.data_dir()
    }

    /// Returns where the page, API and metrics are, from `addresses.json`.
    ///
    /// # Panics
    ///
    /// When the file is not there or does not name it.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        let addresses = self.addresses();
        self.parse_address(&addresses["node"], "node")
    }

    /// Returns where a proxy listens, from `addresses.json`.
    ///
    /// # Panics
    ///
    /// When the file is not there or does not name it.
    #[track_caller]
    pub fn proxy(&self, name: &str) -> SocketAddr {
        let addresses = self.addresses();
        self.parse_address(&addresses["proxies"][name], name)
    }

    /// Gets a page of the node with its API token, where it has one.
    ///
    /// # Panics
    ///
    /// When there is no complete answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        let token = fs::read_to_string(self.data_dir().join("token")).unwrap_or_default();
        let bearer = format!("Bearer {}", token.trim());
        http::request(self.address(), "GET", path, &[("Authorization", &bearer)], "")
    }

    /// Reads `/metrics` and returns the series by the name and labels under which they stand
    /// there, such as `tidemill_proxy_connections{proxy="redis"}`.
    ///
    /// # Panics
    ///
    /// When there is no complete answer with status 200.
    #[track_caller]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let response = http::get(self.address(), "/metrics");
        assert_eq!(response.status, 200, "{}", response.body);
        let samples = response.body.lines().filter(|line| !line.starts_with('#'));
        samples
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)))
            .collect()
    }

    #[track_caller]
    fn addresses(&self) -> Value {
        let file = self.data_dir().join("addresses.json");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => panic!("{}: {error}: {}", file.display(), self.process),
        };
        match serde_json::from_str(&text) {
            Ok(addresses) => addresses,
            Err(error) => panic!("{}: {error} in: {text}", file.display()),
        }
    }

    #[track_caller]
    fn parse_address(&self, value: &Value, name: &str) -> SocketAddr {
        match value.as_str().and_then(|text| text.parse().ok()) {
            Some(address) => address,
            None => panic!("no address of {name} in addresses.json, but {value}: {}", self.process),
        }
    }
}

/// The last word may follow a time and a level.
fn is_ready_line(line: &str) -> bool {
    line.split_whitespace().next_back() == Some("ready")
}

/// Writes a file under another name in the same folder and renames it.
#[track_caller]
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("toml.new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, file));
    if let Err(error) = written {
        panic!("cannot write {}: {error}", file.display());
    }
}

const READY_WITHIN: Duration = Duration::from_secs(20);
