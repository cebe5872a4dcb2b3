//! Opens the connection to a backend, and sends what the client has said already.
//!
//! When the client's first bytes are at hand, they are sent right behind the connect: on a
//! connection that is established at once (loopback, same host) this saves a turn of the event
//! loop, and with quick ACK off the handshake's last segment carries them. Without first bytes
//! quick ACK stays on: a server that speaks first must see the connection at once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, set_tcp_quickack, socket_error};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use tokio::net::TcpStream;

use super::buffers::Buffer;
use super::clock;
use super::signals::{Signal, Signals};
use super::timers::Timers;

/// Why a connection to a backend was not made.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The backend refused, reset or was unreachable; no byte reached it.
    Upstream(io::Error),
    /// It did not answer within the connect timeout.
    Timeout,
    /// We lacked a descriptor, a port or memory.
    Us(io::Error),
    /// We were told to close while connecting.
    Closed(Signal),
}

/// Connects to `address` and sends what it can of `first`; returns the stream and how many bytes
/// that were.
///
/// # Errors
///
/// Every error but [`DialError::Closed`] leaves `first` unsent and untouched, so that another
/// backend may be tried.
pub(crate) async fn dial(
    address: SocketAddr,
    first: &mut Option<Buffer>,
    timeout: Duration,
    timers: &Timers,
    signals: &Arc<Signals>,
) -> Result<(TcpStream, usize), DialError> {
    let socket = open(address, first.is_some()).map_err(DialError::Us)?;
    let established = match rustix::net::connect(&socket, &address) {
        Ok(()) => true,
        Err(Errno::INPROGRESS) => false,
        Err(errno) => return Err(blame(errno)),
    };
    let sent = send_first(&socket, first).map_err(blame)?;
    let stream = into_stream(socket).map_err(DialError::Us)?;
    if !established && sent == 0 {
        wait_until_connected(&stream, timeout, timers, signals).await?;
    }
    Ok((stream, sent))
}

fn open(address: SocketAddr, has_first: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    set_tcp_nodelay(&socket, true)?;
    if has_first {
        set_tcp_quickack(&socket, false)?;
    }
    Ok(socket)
}

/// Sends the first bytes where the connection stands already, and returns how many it took.
fn send_first(socket: &OwnedFd, first: &mut Option<Buffer>) -> Result<usize, Errno> {
    let Some(buffer) = first else { return Ok(0) };
    match rustix::net::send(socket, buffer.pending(), SendFlags::NOSIGNAL) {
        Ok(count) => {
            buffer.consume(count);
            if buffer.pending().is_empty() {
                *first = None;
            }
            Ok(count)
        }
        Err(Errno::AGAIN | Errno::NOTCONN) => Ok(0),
        Err(errno) => Err(errno),
    }
}

async fn wait_until_connected(
    stream: &TcpStream,
    timeout: Duration,
    timers: &Timers,
    signals: &Arc<Signals>,
) -> Result<(), DialError> {
    let timer = timers.schedule(clock::now() + timeout, signals, Signal::Timer);
    let result = std::future::poll_fn(|cx| {
        if let Poll::Ready(signal) = signals.poll(cx) {
            return Poll::Ready(Err(match signal {
                Signal::Timer => DialError::Timeout,
                signal => DialError::Closed(signal),
            }));
        }
        ready!(stream.poll_write_ready(cx)).map_err(DialError::Us)?;
        Poll::Ready(match socket_error(stream) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(errno)) | Err(errno) => Err(blame(errno)),
        })
    })
    .await;
    timers.cancel(timer);
    signals.clear(Signal::Timer);
    result
}

fn into_stream(socket: OwnedFd) -> io::Result<TcpStream> {
    TcpStream::from_std(std::net::TcpStream::from(socket))
}

fn blame(errno: Errno) -> DialError {
    match errno {
        Errno::MFILE
        | Errno::NFILE
        | Errno::NOBUFS
        | Errno::NOMEM
        | Errno::ADDRNOTAVAIL
        | Errno::ACCESS
        | Errno::PERM
        | Errno::INVAL => DialError::Us(errno.into()),
        _ => DialError::Upstream(errno.into()),
    }
}
