//! A plain TCP client that tells an orderly end from a reset.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

/// How a connection ended, as this side saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The other side closed in order (FIN).
    Fin,
    /// The other side broke it off (RST).
    Reset,
    /// This side ended it first.
    Here,
}

/// Connects; reads and writes then fail after 10 seconds without progress.
///
/// # Panics
///
/// When the connection is not made within 10 seconds; also when the other side resets it so soon
/// that connecting is already told ([`try_connect`]).
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    match try_connect(address) {
        Ok(stream) => stream,
        Err(error) => panic!("cannot connect to {address}: {error}"),
    }
}

/// Connects as [`connect`] does.
///
/// # Errors
///
/// When the connection is refused, is not made within 10 seconds, or is reset at once.
pub fn try_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads to the end and says what kind of end it was.
///
/// # Panics
///
/// When no byte comes for 10 seconds, or a read fails otherwise.
#[track_caller]
pub fn read_to_end(mut stream: &TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    // What was read before an error stays in `bytes`.
    let end = match stream.read_to_end(&mut bytes) {
        Ok(_) => End::Fin,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
        Err(error) => panic!("no end after {} bytes: {error}", bytes.len()),
    };
    (bytes, end)
}

/// Reads exactly as many bytes as are wanted.
///
/// # Panics
///
/// When the connection ends before, or no byte comes for 10 seconds.
#[track_caller]
pub fn read_exactly(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    if let Err(error) = stream.read_exact(&mut bytes) {
        panic!("fewer than {count} bytes: {error}");
    }
    bytes
}

/// Breaks a connection off, so that the other side sees RST.
pub fn reset(stream: TcpStream) {
    linger_zero(&stream);
    drop(stream);
}

/// Makes closing send RST and forget what is unsent.
pub(crate) fn linger_zero(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket has SO_LINGER");
}

const PATIENCE: Duration = Duration::from_secs(10);
