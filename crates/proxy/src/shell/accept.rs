//! Takes clients from a listening socket, and pauses while there are no descriptors for them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{SockFilter, SockRef};
use tokio::sync::oneshot;

use super::clock;
use super::connection::{Client, Service};
use super::signals::{Signal, Signals};
use super::watched::watch;

/// Clients taken in one turn of the event loop, so that they do not starve those being served.
const BATCH: usize = 32;

/// How long accepting pauses while descriptors are short.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a handshake that began before a listener closes may take: a round trip.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// What a batch came to.
enum Batch {
    /// The queue may hold more.
    Full,
    /// The queue is empty.
    Drained,
    /// Descriptors are short.
    Short,
}

/// Accepts until `closing` resolves or its sender is gone, then lets nobody begin and takes what is
/// left in the queue: the kernel has told those clients that they are connected.
pub(crate) async fn accept(
    service: Arc<Service>,
    socket: OwnedFd,
    mut closing: oneshot::Receiver<()>,
) {
    let signals = Arc::new(Signals::default());
    let socket = match watch(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!("proxy {}: cannot watch the listener: {error}", service.proxy.name);
            return;
        }
    };
    loop {
        let ready = tokio::select! {
            biased;
            _ = &mut closing => break,
            ready = socket.readable() => ready,
        };
        let Ok(mut ready) = ready else { break };
        match take_batch(&service, socket.get_ref()) {
            Batch::Full => tokio::task::yield_now().await,
            Batch::Drained => ready.clear_ready(),
            Batch::Short => {
                service.proxy.instruments.accept_pauses.inc();
                service.worker.timers().schedule(clock::now() + PAUSE, &signals, Signal::Timer);
                tokio::select! {
                    biased;
                    _ = &mut closing => break,
                    _ = std::future::poll_fn(|cx| signals.poll(cx)) => {}
                }
            }
        }
    }
    if let Err(error) = begin_no_handshake(socket.get_ref()) {
        tracing::debug!(
            "proxy {}: the listener takes SYNs to its end: {error}",
            service.proxy.name
        );
    }
    while matches!(take_batch(&service, socket.get_ref()), Batch::Full) {}
    // What had begun its handshake completes it meanwhile.
    let passed = Arc::new(Signals::default());
    service.worker.timers().schedule(clock::now() + HANDSHAKE, &passed, Signal::Timer);
    std::future::poll_fn(|cx| passed.poll(cx)).await;
    while matches!(take_batch(&service, socket.get_ref()), Batch::Full) {}
}

/// Drops SYNs to the listener from now on: closing it would reset whoever had connected after the
/// last look at its queue. Their kernel asks again in a second, and finds whoever listens then.
///
/// A classic socket filter, which sees a segment from its TCP header on (socket(7),
/// SO_ATTACH_FILTER; RFC 9293, 3.1). Connections inherit it, and send no SYN any more.
fn begin_no_handshake(socket: &OwnedFd) -> io::Result<()> {
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS),     // load the byte
        SockFilter::new(0x54, 0, 0, SYN | ACK), // and
        SockFilter::new(0x15, 1, 0, SYN),       // is it SYN alone?
        SockFilter::new(0x06, 0, 0, u32::MAX),  // no: keep the whole segment
        SockFilter::new(0x06, 0, 0, 0),         // yes: drop it
    ])
}

fn take_batch(service: &Arc<Service>, socket: &OwnedFd) -> Batch {
    let descriptors = service.worker.descriptors();
    let proxy = &service.proxy;
    for _ in 0..BATCH {
        let Some(reservation) = descriptors.reserve() else {
            let (max, files) = (descriptors.connections_max(), descriptors.files());
            let what = format_args!(
                "accepting pauses: all {max} connections that {files} open files allow are in \
                 use; raise `ulimit -n` (systemd: LimitNOFILE)"
            );
            proxy.accepting.begin(&proxy.name, &what);
            return Batch::Short;
        };
        match acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, address)) => {
                let address = address.and_then(|address| SocketAddr::try_from(address).ok());
                // The kernel names the peer of every TCP connection it hands out.
                let Some(address) = address else { continue };
                let registered = service.worker.register(proxy);
                let client = Client { socket, address, reservation, registered };
                tokio::spawn(Arc::clone(service).serve(client));
            }
            Err(Errno::AGAIN) => {
                proxy.accepting.end(&proxy.name, "accepting again");
                return Batch::Drained;
            }
            // Errors of one client's network that wait on its connection; accept(2) names them.
            Err(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NONET
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::PROTO,
            ) => {}
            Err(errno) => {
                let error = io::Error::from(errno);
                proxy.accepting.begin(&proxy.name, &format_args!("accepting pauses: {error}"));
                return Batch::Short;
            }
        }
    }
    Batch::Full
}
