//! nginx as an HTTP backend, with every file of its own in a temporary folder.
//!
//! It runs as a single process in the foreground: killing a master would leave its workers behind.

use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;

use super::server::Server;
use crate::http::try_request;
use crate::installed::require;
use crate::port::free_address;
use crate::process::{Launch, Process};

/// An nginx on a port of its own.
///
/// `/` is a page of 612 bytes, `/health` answers 200 until [`set_healthy`](Self::set_healthy) says
/// otherwise, and each answer has the server's port in the header `x-backend`. Connections are
/// kept alive without a bound on requests.
#[derive(Debug)]
pub struct Nginx {
    // Before the folder, so that it is killed before its files go.
    server: Server,
    folder: TempDir,
}

impl Nginx {
    /// Starts one; `None` when nginx is not installed.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 seconds.
    #[track_caller]
    pub fn start() -> Option<Self> {
        let program = require("nginx")?;
        let folder = TempDir::with_prefix("tidemill-nginx-").expect("a temporary folder");
        let address = free_address();
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("the folder is ours");
        };
        write("nginx.conf", &CONFIGURATION.replace("ADDRESS", &address.to_string()));
        write("index.html", &".".repeat(PAGE_BYTES));
        write(HEALTH_FILE, "ok\n");
        let launch = Launch::new(program).args(["-p"]).args([folder.path()]).args([
            "-c",
            "nginx.conf",
            "-e",
            "stderr",
        ]);
        let server = Server::start(launch, address, |address, _| {
            try_request(address, "GET", "/health", &[], "").is_ok_and(|answer| answer.status == 200)
        });
        Some(Self { server, folder })
    }

    /// Makes `/health` answer 200 or 503 from now on.
    ///
    /// # Panics
    ///
    /// When the server's folder cannot be written.
    pub fn set_healthy(&self, healthy: bool) {
        let file = self.folder.path().join(HEALTH_FILE);
        if healthy {
            fs::write(file, "ok\n").expect("the folder is ours");
        } else if file.exists() {
            fs::remove_file(file).expect("the folder is ours");
        }
    }

    /// Kills it if it runs; its port stays its own.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Kills it if it runs, and starts it again on the same port, healthy.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 seconds.
    #[track_caller]
    pub fn restart(&mut self) {
        self.set_healthy(true);
        self.server.restart();
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns its process.
    ///
    /// # Panics
    ///
    /// When it is stopped.
    #[track_caller]
    pub fn process(&self) -> &Process {
        self.server.process()
    }
}

/// Relative paths are below the prefix (`-p`).
const CONFIGURATION: &str = "\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    sendfile on;
    default_type text/plain;
    server {
        listen ADDRESS backlog=4096;
        root .;
        add_header X-Backend $server_port always;
        location = / { try_files /index.html =404; }
        location = /health { try_files /health =503; }
        location / { return 404; }
    }
}
";
const HEALTH_FILE: &str = "health";
/// The size of the page that nginx ships, which other measurements use.
const PAGE_BYTES: usize = 612;
