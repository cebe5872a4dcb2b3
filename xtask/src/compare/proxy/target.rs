//! The proxies under test and the backends behind them, each started on a free loopback port.
//!
//! Two threads or workers each, plain TCP, no log, a listen queue of 4096; otherwise as their
//! makers ship them. Configuration files and logs go to a scratch folder that goes with the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, getrlimit};

use crate::error::{Context, Result};
use crate::packages::{self, NGINX_STREAM_MODULE};
use crate::process::{Server, free_port};

/// Who carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nobody: the client talks to the backend.
    Direct,
    Haproxy,
    Nginx,
    Tidemill,
    /// Ours with metrics switched off.
    Unmeasured,
}

impl Target {
    /// Every target, in the order of the first round.
    pub(crate) const ALL: [Self; 5] =
        [Self::Direct, Self::Haproxy, Self::Nginx, Self::Tidemill, Self::Unmeasured];

    /// Returns the name that tables and options use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Tidemill => "tidemill",
            Self::Unmeasured => "unmeasured",
        }
    }
}

/// What the servers of one run need to know.
#[derive(Debug)]
pub(crate) struct Bench {
    scratch: PathBuf,
    tidemill: PathBuf,
}

/// A way to a backend: the port to connect to, and the proxy in between if there is one.
#[derive(Debug)]
pub(crate) struct Way {
    /// Where a client connects.
    pub(crate) port: u16,
    /// The proxy; `None` for the direct way.
    pub(crate) proxy: Option<Server>,
}

impl Bench {
    /// Prepares an empty scratch folder; `tidemill` is our binary.
    pub(crate) fn new(scratch: PathBuf, tidemill: PathBuf) -> Result<Self> {
        fs::create_dir_all(&scratch).context(|| format!("cannot create {}", scratch.display()))?;
        Ok(Self { scratch, tidemill })
    }

    /// Starts `target` in front of the backend on port `backend`.
    pub(crate) fn proxy(&self, target: Target, backend: u16) -> Result<Way> {
        if target == Target::Direct {
            return Ok(Way { port: backend, proxy: None });
        }
        let port = free_port()?;
        let command = match target {
            Target::Haproxy => self.haproxy(port, backend)?,
            Target::Nginx => self.nginx_stream(port, backend)?,
            Target::Unmeasured => {
                let mut command = self.tidemill(port, backend);
                command.args(["--metrics", "off"]);
                command
            }
            Target::Direct | Target::Tidemill => self.tidemill(port, backend),
        };
        let proxy = self.start(target.name(), command, port)?;
        Ok(Way { port, proxy: Some(proxy) })
    }

    /// Starts Redis without persistence.
    pub(crate) fn redis(&self) -> Result<(u16, Server)> {
        let port = free_port()?;
        let mut command = packages::command("redis-server")?;
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--maxclients", "10000", "--dir"]);
        command.arg(&self.scratch);
        Ok((port, self.start("redis-server", command, port)?))
    }

    /// Starts nginx answering every request with a few bytes.
    pub(crate) fn http(&self) -> Result<(u16, Server)> {
        let port = free_port()?;
        let body = format!(
            "http {{ access_log off; keepalive_requests 1000000000; server {{ \
             listen 127.0.0.1:{port} reuseport backlog=4096; \
             location / {{ return 200 \"tidemill\\n\"; }} }} }}\n"
        );
        let command = self.nginx("http", "", &body)?;
        Ok((port, self.start("nginx-http", command, port)?))
    }

    /// Starts an iperf3 server that serves one test after the other.
    pub(crate) fn iperf(&self) -> Result<(u16, Server)> {
        let port = free_port()?;
        let mut command = packages::command("iperf3")?;
        command.args(["--server", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        Ok((port, self.start("iperf3", command, port)?))
    }

    fn haproxy(&self, port: u16, backend: u16) -> Result<Command> {
        let connections = connections_max();
        let text = format!(
            "global\n  nbthread 2\n  maxconn {connections}\n\
             defaults\n  mode tcp\n  backlog 4096\n  maxconn {connections}\n\
             \x20 timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             frontend clients\n  bind 127.0.0.1:{port}\n  default_backend servers\n\
             backend servers\n  server one 127.0.0.1:{backend}\n"
        );
        let path = self.write("haproxy.cfg", &text)?;
        let mut command = packages::command("haproxy")?;
        command.arg("-db").arg("-f").arg(path);
        Ok(command)
    }

    fn nginx_stream(&self, port: u16, backend: u16) -> Result<Command> {
        let module = format!("load_module {NGINX_STREAM_MODULE};\n");
        let body = format!(
            "stream {{ server {{ listen 127.0.0.1:{port} reuseport backlog=4096; \
             proxy_timeout 60s; proxy_pass 127.0.0.1:{backend}; }} }}\n"
        );
        self.nginx("stream", &module, &body)
    }

    fn nginx(&self, name: &str, module: &str, body: &str) -> Result<Command> {
        let files = connections_max() * 2;
        let text = format!(
            "{module}daemon off;\nworker_processes 2;\nerror_log stderr error;\n\
             pid nginx-{name}.pid;\n\
             events {{ worker_connections {files}; multi_accept on; }}\n{body}"
        );
        let path = self.write(&format!("nginx-{name}.conf"), &text)?;
        let mut command = packages::command("nginx")?;
        command.args(["-e", "stderr", "-p"]).arg(&self.scratch).arg("-c").arg(path);
        Ok(command)
    }

    fn tidemill(&self, port: u16, backend: u16) -> Command {
        let mut command = Command::new(&self.tidemill);
        command.args(["proxy", "--workers", "2"]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--backend", &format!("127.0.0.1:{backend}")]);
        command
    }

    fn start(&self, name: &str, command: Command, port: u16) -> Result<Server> {
        Server::start(name, command, port, self.scratch.join(format!("{name}.log")))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        remove(&self.scratch);
    }
}

fn remove(folder: &Path) {
    // It lies below Cargo's target folder: what stays is cleaned with it.
    let _ = fs::remove_dir_all(folder);
}

/// How many connections a peer is told to carry: two files each, within what a process may open.
fn connections_max() -> u64 {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    (files.saturating_sub(FILES_RESERVED) / 2).min(20_000)
}

/// Listeners, logs, pipes and epoll instances of a proxy.
const FILES_RESERVED: u64 = 200;
