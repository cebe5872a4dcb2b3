//! Opens listening sockets: one per worker on the same address, so that the kernel spreads
//! connections over the workers (SO_REUSEPORT, socket(7)).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

use crate::core::settings::ProxySettings;
use crate::error::{Error, Kind};

/// The sockets of one listener, one per worker.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The address in use, with the port that was taken where port 0 was asked for.
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<OwnedFd>,
}

/// Listens on behalf of `settings` with `workers` sockets. `ours` says that this process listens
/// there already, so that the address in use is no conflict.
///
/// # Errors
///
/// Says whose address is in use, or what else the kernel refused.
pub(crate) fn listen(
    settings: &ProxySettings,
    workers: usize,
    ours: bool,
) -> Result<Listening, Error> {
    let wanted = settings.listen;
    open(wanted, workers, ours, settings.limits.backlog).map_err(|source| {
        let proxy = settings.name.clone();
        if source.kind() == io::ErrorKind::AddrInUse {
            return Kind::AddressInUse { proxy, listen: wanted }.into();
        }
        Kind::Listen { proxy, listen: wanted, source }.into()
    })
}

fn open(wanted: SocketAddr, workers: usize, ours: bool, backlog: u32) -> io::Result<Listening> {
    if wanted.port() != 0 && !ours {
        refuse_if_taken(wanted)?;
    }
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    let mut address = wanted;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = new_socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        if let Some(bound) = socket.local_addr()?.as_socket() {
            address = bound;
        }
        sockets.push(socket);
    }
    for socket in &sockets {
        // Accepted sockets inherit it, which saves a system call for each.
        socket.set_tcp_nodelay(true)?;
        socket.listen(backlog)?;
    }
    Ok(Listening { address, sockets: sockets.into_iter().map(OwnedFd::from).collect() })
}

/// Finds out that somebody else listens on `address`: with SO_REUSEPORT, another process of the
/// same user would silently share it with us.
fn refuse_if_taken(address: SocketAddr) -> io::Result<()> {
    new_socket(address)?.bind(&address.into())
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of an earlier run in TIME_WAIT do not keep us from the address.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] can then be two listeners, whatever the system's default.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}
