//! redis-server, keeping everything in memory.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::server::Server;
use crate::installed::require;
use crate::port::free_address;
use crate::process::{Launch, Process};

/// A redis-server on a port of its own; it takes up to 10,000 clients where the file limit allows.
#[derive(Debug)]
pub struct Redis(Server);

impl Redis {
    /// Starts one; `None` when redis-server is not installed.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 seconds.
    #[track_caller]
    pub fn start() -> Option<Self> {
        let program = require("redis-server")?;
        let address = free_address();
        let launch = Launch::new(program)
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir", "/"]);
        Some(Self(Server::start(launch, address, |address, _| ping(address).is_ok())))
    }

    /// Kills it if it runs; its port stays its own.
    pub fn stop(&mut self) {
        self.0.stop();
    }

    /// Kills it if it runs, and starts it again on the same port with no data.
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

/// Sends PING and expects +PONG.
fn ping(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    match &answer {
        b"+PONG\r\n" => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

const PATIENCE: Duration = Duration::from_secs(1);
