//! The life of one client connection: admission, choice of a backend, relay, account.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::net::TcpStream;

use super::backend::{Lease, Proxy, Snapshot};
use super::buffers::Buffer;
use super::clock;
use super::descriptors::Reservation;
use super::dial::{DialError, dial};
use super::gate::{Entry, Permit};
use super::instruments::{Close, Reject};
use super::relay::{Ends, Outcome, Relay, Traffic, reset_on_close};
use super::signals::Signal;
use super::worker::{Registered, Worker};
use crate::core::balance::Balancer;

/// What the connections of one proxy on one worker share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) worker: Arc<Worker>,
    pub(crate) proxy: Arc<Proxy>,
    balancer: Mutex<Balancer>,
}

/// An accepted client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    pub(crate) address: SocketAddr,
    pub(crate) reservation: Reservation,
    pub(crate) registered: Registered,
}

/// A backend that was reached.
struct Link {
    stream: TcpStream,
    _lease: Lease,
}

impl Service {
    pub(crate) fn new(worker: Arc<Worker>, proxy: Arc<Proxy>) -> Arc<Self> {
        let policy = proxy.snapshot.load().settings.balance;
        let balancer = Mutex::new(Balancer::for_worker(policy, worker.index()));
        Arc::new(Self { worker, proxy, balancer })
    }

    /// Serves one client until its connection has ended, and accounts for it.
    pub(crate) async fn serve(self: Arc<Self>, client: Client) {
        let instruments = &self.proxy.instruments;
        // Dropped last, when the sockets are closed.
        let _reservation = client.reservation;
        instruments.connections_total.inc();
        instruments.connections.add(1);
        match self.carry(client.socket, client.address, &client.registered).await {
            Ok(close) => instruments.closed(close).inc(),
            Err(reject) => instruments.rejected(reject).inc(),
        }
        instruments.connections.sub(1);
    }

    async fn carry(
        &self,
        client: OwnedFd,
        address: SocketAddr,
        registered: &Registered,
    ) -> Result<Close, Reject> {
        let snapshot = self.proxy.snapshot.load_full();
        let _permit = match self.admit(&client, &snapshot, registered).await {
            Ok(permit) => permit,
            Err(reject) => return refuse(&client, reject),
        };
        let Ok((mut first, client_ended)) = read_first(&client) else {
            return Ok(Close::ClientReset);
        };
        let link = match self.reach(address, &mut first, registered).await {
            Ok(link) => link,
            Err(reject) => return refuse(&client, reject),
        };
        let client = TcpStream::from_std(client.into()).map_err(|error| {
            let what = format_args!("cannot watch a connection: {error}");
            self.proxy.connecting.begin(&self.proxy.name, &what);
            Reject::NoResources
        })?;
        let ends = Ends { client, upstream: link.stream, first, client_ended };
        let traffic = Traffic {
            upstream_bytes: self.proxy.instruments.upstream_bytes.clone(),
            downstream_bytes: self.proxy.instruments.downstream_bytes.clone(),
        };
        let timers = Arc::clone(self.worker.timers());
        let signals = Arc::clone(registered.signals());
        let idle = snapshot.settings.timeouts.idle;
        drop(snapshot);
        Ok(Relay::new(ends, idle, timers, signals, traffic).await.into())
    }

    /// Passes the connection limit, waiting in the queue where it is reached.
    async fn admit(
        &self,
        client: &OwnedFd,
        snapshot: &Snapshot,
        registered: &Registered,
    ) -> Result<Permit, Reject> {
        let signals = registered.signals();
        let place = match self.proxy.gate.enter(signals) {
            Entry::Permit(permit) => return Ok(permit),
            Entry::Waiting(place) => place,
            Entry::Full => return Err(Reject::QueueFull),
        };
        let deadline = clock::now() + snapshot.settings.timeouts.queue;
        loop {
            let now = clock::now();
            let at = deadline.min(now + QUEUE_CHECK);
            let timer = self.worker.timers().schedule(at, signals, Signal::Timer);
            let signal = std::future::poll_fn(|cx| signals.poll(cx)).await;
            self.worker.timers().cancel(timer);
            signals.clear(Signal::Timer);
            return match signal {
                Signal::Granted => Ok(place.granted()),
                Signal::Timer if has_left(client) => Err(Reject::ClientLeft),
                Signal::Timer if at < deadline => continue,
                Signal::Timer => Err(Reject::QueueTimeout),
                _ => Err(Reject::Stopping),
            };
        }
    }

    /// Connects to a backend, and to another one while no byte has reached the first.
    async fn reach(
        &self,
        client: SocketAddr,
        first: &mut Option<Buffer>,
        registered: &Registered,
    ) -> Result<Link, Reject> {
        let snapshot = self.proxy.snapshot.load_full();
        let mut tried = Vec::new();
        let mut failure = Reject::NoBackend;
        while tried.len() <= snapshot.settings.retries as usize {
            let start = clock::now();
            let Some(index) = self.pick(&snapshot, client, &tried, start) else {
                return Err(failure);
            };
            if !tried.is_empty() {
                self.proxy.instruments.retries.inc();
            }
            let backend = &snapshot.backends[index];
            let lease = backend.lease();
            registered.use_backend(backend.key);
            let timeout = snapshot.settings.timeouts.connect;
            let (timers, signals) = (self.worker.timers(), registered.signals());
            failure = match dial(backend.address, first, timeout, timers, signals).await {
                Ok((stream, sent)) => {
                    self.proxy.instruments.upstream_bytes.add(sent as u64);
                    let now = clock::now();
                    backend.connected(now, now - start);
                    registered.reached_backend();
                    self.proxy.connecting.end(&self.proxy.name, "connecting to backends again");
                    return Ok(Link { stream, _lease: lease });
                }
                Err(DialError::Upstream(error)) => {
                    tracing::debug!("proxy {}: {}: {error}", self.proxy.name, backend.address);
                    backend.instruments.connect_failures.inc();
                    Reject::ConnectFailed
                }
                Err(DialError::Timeout) => {
                    tracing::debug!("proxy {}: {}: no answer", self.proxy.name, backend.address);
                    backend.instruments.connect_failures.inc();
                    Reject::ConnectFailed
                }
                Err(DialError::Us(error)) => {
                    let what = format_args!("cannot connect to a backend: {error}");
                    self.proxy.connecting.begin(&self.proxy.name, &what);
                    Reject::NoResources
                }
                Err(DialError::Closed(Signal::BackendDown | Signal::Disabled)) => {
                    Reject::ConnectFailed
                }
                Err(DialError::Closed(_)) => return Err(Reject::Stopping),
            };
            tried.push(index);
        }
        Err(failure)
    }

    fn pick(
        &self,
        snapshot: &Snapshot,
        client: SocketAddr,
        tried: &[usize],
        now: Instant,
    ) -> Option<usize> {
        let mut balancer = self.balancer.lock().unwrap_or_else(PoisonError::into_inner);
        let policy = snapshot.settings.balance;
        if balancer.policy() != policy {
            *balancer = Balancer::for_worker(policy, self.worker.index());
        }
        let fleet = snapshot.fleet(now, tried);
        balancer.pick(&fleet, snapshot.maglev(), client.ip(), fastrand::u64(..))
    }
}

impl From<Outcome> for Close {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::ClientReset => Self::ClientReset,
            Outcome::UpstreamReset => Self::UpstreamReset,
            Outcome::Idle => Self::Idle,
            Outcome::Closed(Signal::BackendDown) => Self::BackendDown,
            Outcome::Closed(Signal::Disabled) => Self::Disabled,
            Outcome::Closed(Signal::Drained) => Self::Drained,
            Outcome::Closed(Signal::Stopped | Signal::Timer | Signal::Granted) => Self::Stopped,
        }
    }
}

fn refuse(client: &OwnedFd, reject: Reject) -> Result<Close, Reject> {
    reset_on_close(client);
    Err(reject)
}

/// Whether the client has closed or reset its connection without having said anything.
fn has_left(client: &OwnedFd) -> bool {
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let mut byte = [0; 1];
    match rustix::net::recv(client, &mut byte, flags) {
        Ok((count, _)) => count == 0,
        Err(errno) => errno != Errno::AGAIN,
    }
}

/// Reads what the client has sent already, without waiting; true when its FIN came too.
fn read_first(client: &OwnedFd) -> Result<(Option<Buffer>, bool), Errno> {
    let mut buffer = Buffer::take();
    match rustix::net::recv(client, buffer.space(), RecvFlags::DONTWAIT) {
        Ok((0, _)) => Ok((None, true)),
        Ok((count, _)) => {
            buffer.fill(count);
            Ok((Some(buffer), false))
        }
        Err(Errno::AGAIN) => Ok((None, false)),
        Err(errno) => Err(errno),
    }
}

/// A connection in the queue is looked at this often, so that who left gives up the place.
const QUEUE_CHECK: Duration = Duration::from_secs(1);
