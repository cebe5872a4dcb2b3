//! An iperf3 server.

use std::net::SocketAddr;

use super::server::Server;
use crate::installed::require;
use crate::port::free_address;
use crate::process::{Launch, Process};

/// An iperf3 server on a port of its own; it serves one test at a time.
#[derive(Debug)]
pub struct Iperf3(Server);

impl Iperf3 {
    /// Starts one; `None` when iperf3 is not installed.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 seconds.
    #[track_caller]
    pub fn start() -> Option<Self> {
        let program = require("iperf3")?;
        let address = free_address();
        let launch = Launch::new(program)
            .args(["--server", "--port", &address.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--forceflush"]);
        // Connecting to see would begin a test.
        let is_ready = |_, process: &Process| process.stdout().contains("Server listening on");
        Some(Self(Server::start(launch, address, is_ready)))
    }

    /// Kills it if it runs; its port stays its own.
    pub fn stop(&mut self) {
        self.0.stop();
    }

    /// Kills it if it runs, and starts it again on the same port.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 seconds.
    #[track_caller]
    pub fn restart(&mut self) {
        self.0.restart();
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Returns its process.
    ///
    /// # Panics
    ///
    /// When it is stopped.
    #[track_caller]
    pub fn process(&self) -> &Process {
        self.0.process()
    }
}
