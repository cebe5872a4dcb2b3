//! Memory of a proxy for each connection that is open and silent.
//!
//! This process is client and backend at once. Each connection carries one byte each way before it
//! falls silent, so that it has been used like a real one and what stays is what a quiet client
//! costs. Memory is the proxy's own (PSS of all its processes); socket buffers of the kernel are
//! the same for every proxy and not in it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Context, Error, Result};
use crate::process::Server;
use crate::{interrupt, process, procfs};

/// The backend's side: a listener of this process.
#[derive(Debug)]
pub(crate) struct Backend {
    listener: TcpListener,
}

impl Backend {
    /// Listens on a free loopback port.
    pub(crate) fn new() -> Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, process::free_port()?);
        let listener =
            TcpListener::bind(address).context(|| "cannot listen as backend".to_owned())?;
        Ok(Self { listener })
    }

    /// Returns the port on which it listens.
    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr().context(|| "no address".to_owned())?.port())
    }

    /// Opens connections through `proxy`, which listens on `port`; returns bytes per connection.
    pub(crate) fn bytes_per_connection(&self, proxy: &Server, port: u16) -> Result<f64> {
        raise_file_limit()?;
        // What the proxy allocates once, for its first connections, is not what one more costs.
        for pair in self.open(port, WARM_UP_CONNECTIONS)? {
            pair.close()?;
        }
        let before = procfs::memory_bytes(proxy.pid());
        let pairs = self.open(port, CONNECTIONS)?;
        let after = procfs::memory_bytes(proxy.pid());
        drop(pairs);
        if before == 0 || after == 0 {
            return Err(Error::outside("the memory of the proxy cannot be read"));
        }
        Ok((after as f64 - before as f64).max(0.0) / f64::from(CONNECTIONS))
    }

    fn open(&self, port: u16, count: u32) -> Result<Vec<Pair>> {
        (0..count).map(|index| self.open_one(port, index)).collect()
    }

    fn open_one(&self, port: u16, index: u32) -> Result<Pair> {
        interrupt::check()?;
        let attempt = || format!("connection {}", index + 1);
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context(attempt)?;
        client.set_read_timeout(Some(ANSWER_LIMIT)).context(attempt)?;
        client.write_all(b"?").context(attempt)?;
        loop {
            self.wait_for_connection().context(attempt)?;
            let (mut server, _) = self.listener.accept().context(attempt)?;
            server.set_read_timeout(Some(ANSWER_LIMIT)).context(attempt)?;
            let mut byte = [0];
            // A connection without a byte is a health probe.
            if server.read(&mut byte).context(attempt)? == 1 {
                server.write_all(b"!").context(attempt)?;
                client.read_exact(&mut byte).context(attempt)?;
                return Ok(Pair { client, server });
            }
        }
    }

    fn wait_for_connection(&self) -> Result<()> {
        let limit = Timespec::try_from(ANSWER_LIMIT).expect("a few seconds");
        let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
        match poll(&mut ready, Some(&limit)) {
            Ok(0) => Err(Error::outside("the proxy did not reach its backend")),
            Ok(_) => Ok(()),
            Err(_) => interrupt::check(),
        }
    }
}

/// Both ends of a connection through the proxy.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    /// Closes the client's end and waits until the proxy has passed that on.
    fn close(mut self) -> Result<()> {
        drop(self.client);
        match self.server.read(&mut [0]) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Ok(_) => Err(Error::outside("a byte came that nobody sent")),
            Err(error) => {
                Err(Error::outside(format!("the proxy kept a closed connection: {error}")))
            }
        }
    }
}

/// Lets this process open what both ends of every connection need.
fn raise_file_limit() -> Result<()> {
    let needed = u64::from(CONNECTIONS) * 2 + 100;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        let maximum = limit.maximum.unwrap_or_default();
        return Err(Error::outside(format!(
            "{needed} open files are needed and {maximum} allowed; raise `ulimit -Hn`"
        )));
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context(|| "cannot raise the file limit".to_owned())
}

const CONNECTIONS: u32 = 5_000;
const WARM_UP_CONNECTIONS: u32 = 64;

/// How long one connection or answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
