//! Ports for servers under test.
//!
//! The usual way, binding port 0 and letting go, is a race: between letting go and the server's
//! own bind the kernel may give the port to any outgoing connection, and load tests make
//! thousands. So a port is taken from below the kernel's ephemeral range, and kept from other
//! test processes by an abstract Unix socket of that name, held until this process ends. What is
//! left is a program that does not ask us; a bind is tried first to see those.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::process;
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

/// Takes a TCP port on 127.0.0.1 that no other caller gets, in this process or in another, while
/// this process lives.
///
/// # Panics
///
/// When every port of the range is in use.
#[track_caller]
pub fn free_port() -> u16 {
    let range_end = ephemeral_begin().clamp(RANGE_BEGIN + 1, RANGE_END_MAX);
    let count = range_end - RANGE_BEGIN;
    let mut claims = CLAIMS.lock().expect("no code panics while it holds the lock");
    // Processes start at different places, so that they seldom try the same port.
    let start = (process::id() % u32::from(count)) as u16;
    let free = (0..count).map(|step| RANGE_BEGIN + (start + step) % count).find_map(|port| {
        if claims.contains_key(&port) {
            return None;
        }
        let claim = claim(port)?;
        is_bindable(port).then_some(())?;
        Some((port, claim))
    });
    let Some((port, claim)) = free else {
        drop(claims);
        panic!("no port from {RANGE_BEGIN} to {range_end} is free on 127.0.0.1");
    };
    claims.insert(port, claim);
    port
}

/// Takes a port as [`free_port`] does, as an address.
///
/// # Panics
///
/// When every port of the range is in use.
#[track_caller]
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// Whether nobody listens on the port. Bound and never listening: a child that is being forked by
/// another thread keeps the descriptor until its exec, and must not stand in the way meanwhile.
fn is_bindable(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(socket) = Socket::new(Domain::IPV4, Type::STREAM, None) else { return false };
    socket.set_reuse_address(true).is_ok() && socket.bind(&address.into()).is_ok()
}

fn claim(port: u16) -> Option<UnixListener> {
    let name = format!("tidemill-testkit-port-{port}");
    UnixListener::bind_addr(&UnixAddr::from_abstract_name(name).ok()?).ok()
}

/// Where the kernel's range for outgoing connections begins.
fn ephemeral_begin() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let begin = range.split_whitespace().next().and_then(|begin| begin.parse().ok());
    begin.unwrap_or(RANGE_END_MAX)
}

static CLAIMS: Mutex<BTreeMap<u16, UnixListener>> = Mutex::new(BTreeMap::new());

/// Above the ports that people know by heart.
const RANGE_BEGIN: u16 = 20_000;
const RANGE_END_MAX: u16 = 32_768;
