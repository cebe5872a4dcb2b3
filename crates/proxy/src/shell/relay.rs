//! Passes bytes between two connected sockets until both directions have ended.
//!
//! ```text
//! client ──read──> [up: Half]   ──write──> upstream
//! client <──write── [down: Half] <──read── upstream
//! ```
//!
//! Each direction is `Flowing` (read, then write), `Ending` (its reader saw FIN; what is pending
//! is written, then FIN is passed on), `Failing` (its reader was reset; what was read before is
//! written once) or `Ended`. A direction that cannot write does not read: that is the backpressure.
//! A reset, or an end forced by us while bytes are pending, is never turned into an orderly end:
//! both sockets are closed with SO_LINGER 0, which sends RST.
//!
//! What keeps it cheap: a buffer is borrowed from the worker's pool per turn, so an idle connection
//! holds none; the end of a stream is noticed with the last data, so that FIN travels on the last
//! segment (MSG_MORE) and no shutdown call is made when the close itself sends FIN; no clock is
//! read, idleness is counted in timer ticks in which no byte moved.
//!
//! Never decides where bytes go, and never logs.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{SendFlags, Shutdown};
use tidemill_metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::buffers::Buffer;
use super::clock;
use super::signals::{Signal, Signals};
use super::timers::{TimerKey, Timers};

/// Reads of one direction in one turn, so that a fast peer does not starve the others.
const READS_PER_TURN: u32 = 16;

/// Idleness is looked at this often within the idle timeout.
pub(crate) const IDLE_CHECKS: u32 = 4;

/// Why a relay came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both sides sent FIN and everything was passed on.
    Done,
    /// The client reset the connection, or could not be written to.
    ClientReset,
    /// The upstream reset the connection, or could not be written to.
    UpstreamReset,
    /// No byte moved for the idle timeout.
    Idle,
    /// We had to close it; the signal says why.
    Closed(Signal),
}

/// Where the bytes that moved are counted.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    pub(crate) upstream_bytes: Counter,
    pub(crate) downstream_bytes: Counter,
}

/// Two sockets to be joined, and what was already read from the client.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) client: TcpStream,
    pub(crate) upstream: TcpStream,
    /// Read from the client and not yet passed on.
    pub(crate) first: Option<Buffer>,
    /// The client's FIN was read too.
    pub(crate) client_ended: bool,
}

/// A client and an upstream joined together.
#[derive(Debug)]
pub(crate) struct Relay {
    client: TcpStream,
    upstream: TcpStream,
    up: Half,
    down: Half,
    idle: IdleWatch,
    signals: Arc<Signals>,
    waker: Option<Waker>,
    traffic: Traffic,
}

impl Relay {
    /// Joins two sockets. Without a byte in either direction for `idle` the relay ends.
    pub(crate) fn new(
        ends: Ends,
        idle: Duration,
        timers: Arc<Timers>,
        signals: Arc<Signals>,
        traffic: Traffic,
    ) -> Self {
        let up_state = if ends.client_ended { HalfState::Ending } else { HalfState::Flowing };
        Self {
            client: ends.client,
            upstream: ends.upstream,
            up: Half { buffer: ends.first, state: up_state },
            down: Half { buffer: None, state: HalfState::Flowing },
            idle: IdleWatch::new(timers, idle / IDLE_CHECKS),
            signals,
            waker: None,
            traffic,
        }
    }

    fn poll_signals(&mut self, cx: &Context<'_>) -> Option<Outcome> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.signals.register(cx.waker());
            self.waker = Some(cx.waker().clone());
            self.idle.arm(&self.signals);
        }
        match self.signals.take()? {
            Signal::Timer => self.idle.tick(&self.signals).then_some(Outcome::Idle),
            Signal::Granted => None,
            signal => Some(Outcome::Closed(signal)),
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Self { client, upstream, up, down, .. } = self;
        let (up_bytes, up_result) = up.pump(client, upstream, down.state, cx);
        // Also after the upstream failed: what it sent before is still to be delivered.
        let (down_bytes, down_result) = down.pump(upstream, client, up.state, cx);
        if up_bytes > 0 {
            self.traffic.upstream_bytes.add(up_bytes);
        }
        if down_bytes > 0 {
            self.traffic.downstream_bytes.add(down_bytes);
        }
        self.idle.moved |= up_bytes + down_bytes > 0;

        match (up_result, down_result) {
            (Err(Broken::Reader), _) | (_, Err(Broken::Writer)) => {
                Poll::Ready(Outcome::ClientReset)
            }
            (_, Err(Broken::Reader)) | (Err(Broken::Writer), _) => {
                Poll::Ready(Outcome::UpstreamReset)
            }
            (Ok(()), Ok(())) if up.has_ended() && down.has_ended() => Poll::Ready(Outcome::Done),
            (Ok(()), Ok(())) => Poll::Pending,
        }
    }

    fn close(&self, outcome: Outcome) {
        let orderly = match outcome {
            Outcome::Done => return,
            Outcome::ClientReset | Outcome::UpstreamReset => false,
            Outcome::Closed(Signal::BackendDown | Signal::Disabled) => false,
            Outcome::Idle | Outcome::Closed(_) => self.up.is_empty() && self.down.is_empty(),
        };
        if !orderly {
            reset_on_close(&self.client);
            reset_on_close(&self.upstream);
        }
    }
}

impl Future for Relay {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = match self.poll_signals(cx) {
            Some(outcome) => outcome,
            None => ready!(self.poll_bytes(cx)),
        };
        self.close(outcome);
        Poll::Ready(outcome)
    }
}

/// Makes the close of `socket` send RST instead of FIN.
pub(crate) fn reset_on_close(socket: &impl AsFd) {
    // A socket that refuses the option is closed with FIN, and there is nobody left to tell.
    let _ = set_socket_linger(socket, Some(Duration::ZERO));
}

/// One direction.
#[derive(Debug)]
struct Half {
    buffer: Option<Buffer>,
    state: HalfState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HalfState {
    Flowing,
    Ending,
    Failing,
    Ended,
}

/// The side that failed while bytes were moved.
#[derive(Debug)]
enum Broken {
    Reader,
    Writer,
}

impl Half {
    /// Moves bytes until neither socket has more to give or take, and returns how many the writer
    /// took. `reverse` is the state of the other direction.
    fn pump(
        &mut self,
        reader: &mut TcpStream,
        writer: &mut TcpStream,
        reverse: HalfState,
        cx: &mut Context<'_>,
    ) -> (u64, Result<(), Broken>) {
        let mut moved = 0;
        for _ in 0..READS_PER_TURN {
            match self.poll_flush(writer, &mut moved, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return (moved, Err(Broken::Writer)),
                Poll::Pending if self.state == HalfState::Failing => {
                    return (moved, Err(Broken::Reader));
                }
                Poll::Pending => return (moved, Ok(())),
            }
            match self.state {
                HalfState::Flowing => match self.poll_fill(reader, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return (moved, Err(Broken::Reader)),
                    Poll::Pending => return (moved, Ok(())),
                },
                HalfState::Ending => {
                    self.state = HalfState::Ended;
                    // With both directions ended, closing the socket sends the FIN.
                    if reverse != HalfState::Ended && shutdown_write(writer).is_err() {
                        return (moved, Err(Broken::Writer));
                    }
                    return (moved, Ok(()));
                }
                HalfState::Failing => return (moved, Err(Broken::Reader)),
                HalfState::Ended => return (moved, Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        (moved, Ok(()))
    }

    /// Writes what is pending; afterwards no buffer is held.
    fn poll_flush(
        &mut self,
        writer: &mut TcpStream,
        moved: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(buffer) = &mut self.buffer else { return Poll::Ready(Ok(())) };
        while !buffer.pending().is_empty() {
            let count = if self.state == HalfState::Ending {
                ready!(poll_write_last(writer, buffer.pending(), cx))?
            } else {
                ready!(Pin::new(&mut *writer).poll_write(cx, buffer.pending()))?
            };
            buffer.consume(count);
            *moved += count as u64;
        }
        self.buffer = None;
        Poll::Ready(Ok(()))
    }

    /// Reads once, and notices an end that came with the bytes.
    fn poll_fill(&mut self, reader: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = Buffer::take();
        let mut space = ReadBuf::new(buffer.space());
        ready!(Pin::new(&mut *reader).poll_read(cx, &mut space))?;
        let (count, room) = (space.filled().len(), space.remaining());
        if count == 0 {
            self.state = HalfState::Ending;
            return Poll::Ready(Ok(()));
        }
        buffer.fill(count);
        if room > 0 {
            // Costs a system call only where FIN or RST has arrived: otherwise the short read has
            // cleared tokio's readiness.
            match reader.try_read(buffer.space()) {
                Ok(0) => self.state = HalfState::Ending,
                Ok(more) => buffer.fill(more),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.state = HalfState::Failing,
            }
        }
        self.buffer = Some(buffer);
        Poll::Ready(Ok(()))
    }

    fn has_ended(&self) -> bool {
        self.state == HalfState::Ended
    }

    fn is_empty(&self) -> bool {
        self.buffer.is_none()
    }
}

/// Writes bytes after which the stream ends: the kernel holds the last segment back for the FIN.
fn poll_write_last(
    writer: &TcpStream,
    bytes: &[u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(writer.poll_write_ready(cx))?;
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let send = || Ok(rustix::net::send(writer, bytes, flags)?);
        match writer.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

fn shutdown_write(writer: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::shutdown(writer, Shutdown::Write)?)
}

/// Counts timer ticks without traffic.
#[derive(Debug)]
struct IdleWatch {
    timers: Arc<Timers>,
    every: Duration,
    timer: Option<TimerKey>,
    moved: bool,
    quiet: u32,
}

impl IdleWatch {
    fn new(timers: Arc<Timers>, every: Duration) -> Self {
        Self { timers, every, timer: None, moved: true, quiet: 0 }
    }

    fn arm(&mut self, signals: &Arc<Signals>) {
        if let Some(timer) = self.timer.take() {
            self.timers.cancel(timer);
        }
        let at = clock::now() + self.every;
        self.timer = Some(self.timers.schedule(at, signals, Signal::Timer));
    }

    /// Takes note of a tick; true when it was the last of an idle timeout.
    fn tick(&mut self, signals: &Arc<Signals>) -> bool {
        self.quiet = if self.moved { 0 } else { self.quiet + 1 };
        self.moved = false;
        if self.quiet >= IDLE_CHECKS {
            return true;
        }
        self.arm(signals);
        false
    }
}

impl Drop for IdleWatch {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.timers.cancel(timer);
        }
    }
}
