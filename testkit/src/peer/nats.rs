//! nats-server with JetStream: one, or a cluster, each with files of its own.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tempfile::TempDir;

use super::server::Server;
use crate::installed::require;
use crate::port::{free_address, free_port};
use crate::process::{Launch, Process};

/// nats-servers that know each other, on ports of their own; they keep their files when stopped.
#[derive(Debug)]
pub struct Nats {
    // Before their files, so that they are killed before those go.
    servers: Vec<Server>,
    _files: TempDir,
}

impl Nats {
    /// Starts as many as asked for; `None` when nats-server is not installed. They answer when
    /// this returns, and may still be electing their leader.
    ///
    /// # Panics
    ///
    /// When one is not ready within 20 seconds.
    #[track_caller]
    pub fn start(count: usize) -> Option<Self> {
        let program = require("nats-server")?;
        let files = TempDir::with_prefix("tidemill-nats-").expect("a temporary folder");
        let routes: Vec<_> =
            (0..count).map(|_| format!("nats://127.0.0.1:{}", free_port())).collect();
        let start = |(number, route): (usize, &String)| {
            let address = free_address();
            let mut launch = Launch::new(&program)
                .args(["-a", "127.0.0.1", "-p", &address.port().to_string(), "-js"])
                .args(["-n", &format!("n{number}"), "-sd"])
                .args([files.path().join(format!("n{number}"))]);
            if count > 1 {
                launch = launch
                    .args(["-cluster_name", "test", "-cluster", route])
                    .args(["-routes", &routes.join(",")]);
            }
            Server::start(launch, address, |address, _| greets(address))
        };
        let servers = routes.iter().enumerate().map(start).collect();
        Some(Self { servers, _files: files })
    }

    /// Returns where each is, as clients write it.
    pub fn urls(&self) -> Vec<String> {
        self.addresses().iter().map(|address| format!("nats://{address}")).collect()
    }

    /// Returns where each listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }

    /// Kills one; its files stay.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    #[track_caller]
    pub fn stop(&mut self, number: usize) {
        self.servers[number].stop();
    }

    /// Returns whether one was started and not stopped since.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    #[track_caller]
    pub fn is_running(&self, number: usize) -> bool {
        self.servers[number].is_running()
    }

    /// Starts one again, on the same port with the same files.
    ///
    /// # Panics
    ///
    /// When there is no such server, or it is not ready within 20 seconds.
    #[track_caller]
    pub fn restart(&mut self, number: usize) {
        self.servers[number].restart();
    }

    /// Returns the process of one, to stop it with SIGSTOP, say.
    ///
    /// # Panics
    ///
    /// When there is no such server, or it is stopped.
    #[track_caller]
    pub fn process(&self, number: usize) -> &Process {
        self.servers[number].process()
    }
}

/// A server speaks first.
fn greets(address: SocketAddr) -> bool {
    let greeting = || -> std::io::Result<[u8; 5]> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting)?;
        Ok(greeting)
    };
    greeting().is_ok_and(|greeting| &greeting == b"INFO ")
}

const PATIENCE: Duration = Duration::from_secs(1);
