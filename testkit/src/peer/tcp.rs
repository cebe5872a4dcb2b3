//! A TCP peer in this process that behaves as a test wants and reports what it saw.
//!
//! One thread and one epoll instance serve all connections of a peer, so 5,000 idle ones cost
//! 5,000 descriptors and nothing more. Level-triggered. Rules: (1) a connection reads only while
//! less than 64 KiB wait to be written, so a slow client slows itself; (2) it is registered for
//! exactly what it can use, so the thread never spins; (3) at 10,000 connections the peer stops
//! accepting until one ends.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

use crate::client::{End, linger_zero};
use crate::port::free_address;
use crate::wait::wait_for;

/// A TCP server with one behaviour on a port of its own; dropping it closes everything.
#[derive(Debug)]
pub struct TcpPeer {
    address: SocketAddr,
    behaviour: Behaviour,
    seen: SeenList,
    running: Option<Running>,
}

/// What a peer saw of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The other side's address.
    pub from: SocketAddr,
    /// Bytes received.
    pub bytes: u64,
    /// The first of those bytes, at most 4,096.
    pub head: Vec<u8>,
    /// How the other side's stream ended; `None` while it is open.
    pub end: Option<End>,
}

#[derive(Debug, Clone)]
enum Behaviour {
    /// Sends the banner, then sends back what comes, and closes once the other side has.
    Echo { banner: Vec<u8> },
    /// Sends the banner, closes its half, and takes what still comes.
    HalfClose { banner: Vec<u8> },
    /// Takes everything up to the other side's FIN, then sends the answer and closes.
    AnswerAtEnd { answer: Vec<u8> },
    /// Breaks the connection off once this many bytes have come.
    ResetAfter { bytes: u64 },
    /// Never reads.
    Deaf,
}

impl TcpPeer {
    /// Starts a peer that sends back what it receives, and closes when the other side has closed
    /// and everything is sent.
    #[track_caller]
    pub fn echo() -> Self {
        Self::banner(b"")
    }

    /// Starts a peer that speaks first, then sends back what it receives.
    #[track_caller]
    pub fn banner(banner: &[u8]) -> Self {
        Self::start(Behaviour::Echo { banner: banner.to_vec() })
    }

    /// Starts a peer that speaks, closes its half, and takes what still comes.
    #[track_caller]
    pub fn half_close(banner: &[u8]) -> Self {
        Self::start(Behaviour::HalfClose { banner: banner.to_vec() })
    }

    /// Starts a peer that says nothing until the other side has closed its half, then answers and
    /// closes.
    #[track_caller]
    pub fn answer_at_end(answer: &[u8]) -> Self {
        Self::start(Behaviour::AnswerAtEnd { answer: answer.to_vec() })
    }

    /// Starts a peer that sends RST once it has received this many bytes; with 0, as soon as it
    /// has accepted.
    #[track_caller]
    pub fn reset_after(bytes: u64) -> Self {
        Self::start(Behaviour::ResetAfter { bytes })
    }

    /// Starts a peer that accepts and never reads; what it reports has no bytes.
    #[track_caller]
    pub fn never_read() -> Self {
        Self::start(Behaviour::Deaf)
    }

    /// Closes its listener and all connections; its port stays its own.
    ///
    /// # Panics
    ///
    /// When its thread has failed; the message stands above.
    #[track_caller]
    pub fn stop(&mut self) {
        let Some(Running { wake, thread }) = self.running.take() else { return };
        drop(wake);
        let failed = thread.join().is_err();
        assert!(!failed || thread::panicking(), "the peer on {} has failed", self.address);
    }

    /// Stops it and starts it again on the same port; what it saw before is kept.
    ///
    /// # Panics
    ///
    /// When its thread has failed or the port cannot be bound.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        let (wake, woken) = UnixStream::pair().expect("two descriptors");
        let listener = listen(self.address);
        let mut looper = Loop::new(listener, woken, self.behaviour.clone(), Arc::clone(&self.seen));
        let thread = thread::Builder::new().name("tcp-peer".to_owned());
        let thread = thread.spawn(move || looper.run()).expect("a thread");
        self.running = Some(Running { wake, thread });
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what it saw, in the order in which it accepted.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.seen).clone()
    }

    /// Counts the connections whose other side has not ended.
    pub fn open(&self) -> usize {
        locked(&self.seen).iter().filter(|seen| seen.end.is_none()).count()
    }

    /// Waits until it has accepted this many connections in all.
    ///
    /// # Panics
    ///
    /// When that does not happen `within` this time.
    #[track_caller]
    pub fn wait_for_accepted(&self, count: usize, within: Duration) {
        wait_for(format_args!("{count} connections at {}", self.address), within, || {
            (locked(&self.seen).len() >= count).then_some(())
        });
    }

    /// Waits until a connection, counted from 0 as accepted, has ended, and returns what was seen.
    ///
    /// # Panics
    ///
    /// When that does not happen `within` this time.
    #[track_caller]
    pub fn wait_for_end(&self, index: usize, within: Duration) -> Seen {
        wait_for(format_args!("the end of connection {index} at {}", self.address), within, || {
            locked(&self.seen).get(index).filter(|seen| seen.end.is_some()).cloned()
        })
    }

    #[track_caller]
    fn start(behaviour: Behaviour) -> Self {
        let seen = SeenList::default();
        let mut peer = Self { address: free_address(), behaviour, seen, running: None };
        peer.restart();
        peer
    }
}

impl Drop for TcpPeer {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Debug)]
struct Running {
    /// Closing it ends the thread.
    wake: UnixStream,
    thread: JoinHandle<()>,
}

type SeenList = Arc<Mutex<Vec<Seen>>>;

/// Everything of the peer's thread.
struct Loop {
    epoll: OwnedFd,
    listener: TcpListener,
    accepting: bool,
    _woken: UnixStream,
    behaviour: Behaviour,
    connections: BTreeMap<u64, Connection>,
    seen: SeenList,
}

struct Connection {
    stream: TcpStream,
    /// Its place in the list of what was seen.
    index: usize,
    /// Bytes to be written.
    pending: Vec<u8>,
    reading: bool,
    interest: EventFlags,
}

/// What becomes of a connection after an event.
#[derive(PartialEq)]
enum Next {
    Keep,
    Close,
}

impl Loop {
    fn new(listener: TcpListener, woken: UnixStream, behaviour: Behaviour, seen: SeenList) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor");
        add(&epoll, &listener, LISTENER, EventFlags::IN);
        add(&epoll, &woken, WOKEN, EventFlags::IN);
        let connections = BTreeMap::new();
        Self { epoll, listener, accepting: true, _woken: woken, behaviour, connections, seen }
    }

    fn run(&mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; PENDING_BYTES_MAX];
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("epoll_wait: {error}"),
            }
            for event in events.drain(..) {
                let (data, flags) = (event.data, event.flags);
                match data.u64() {
                    WOKEN => return,
                    LISTENER => self.accept(),
                    token => self.turn(token, flags, &mut buffer),
                }
            }
            let accepting = self.connections.len() < CONNECTIONS_MAX;
            if accepting != self.accepting {
                self.accepting = accepting;
                let flags = if accepting { EventFlags::IN } else { EventFlags::empty() };
                modify(&self.epoll, &self.listener, LISTENER, flags);
            }
        }
    }

    fn accept(&mut self) {
        let (stream, from) = match self.listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if is_passing(&error) || error.kind() == ErrorKind::ConnectionAborted => {
                return;
            }
            Err(error) => panic!("accept: {error}"),
        };
        stream.set_nonblocking(true).expect("a socket has O_NONBLOCK");
        stream.set_nodelay(true).expect("a TCP socket has TCP_NODELAY");
        let index = {
            let mut seen = locked(&self.seen);
            seen.push(Seen { from, bytes: 0, head: Vec::new(), end: None });
            seen.len() - 1
        };
        let (pending, interest) = match &self.behaviour {
            Behaviour::Echo { banner } | Behaviour::HalfClose { banner } => {
                (banner.clone(), EventFlags::OUT)
            }
            Behaviour::AnswerAtEnd { .. } => (Vec::new(), EventFlags::IN),
            Behaviour::ResetAfter { bytes: 0 } => {
                locked(&self.seen)[index].end = Some(End::Here);
                linger_zero(&stream);
                return;
            }
            Behaviour::ResetAfter { .. } => (Vec::new(), EventFlags::IN),
            Behaviour::Deaf => (Vec::new(), EventFlags::RDHUP),
        };
        // Indices are never used twice, so neither are tokens.
        let token = index as u64 + FIRST_TOKEN;
        add(&self.epoll, &stream, token, interest);
        self.connections
            .insert(token, Connection { stream, index, pending, reading: true, interest });
    }

    fn turn(&mut self, token: u64, flags: EventFlags, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let next = if matches!(self.behaviour, Behaviour::Deaf) {
            connection.watch(flags, &self.seen)
        } else {
            match connection.relay(&self.behaviour, buffer, &self.seen) {
                Ok(next) => next,
                Err(error) if is_passing(&error) => Next::Keep,
                Err(_) => {
                    locked(&self.seen)[connection.index].end.get_or_insert(End::Reset);
                    Next::Close
                }
            }
        };
        if next == Next::Close {
            // Closing the descriptor takes it out of epoll.
            self.connections.remove(&token);
            return;
        }
        let wanted = connection.wanted(&self.behaviour);
        if wanted != connection.interest {
            connection.interest = wanted;
            modify(&self.epoll, &connection.stream, token, wanted);
        }
    }
}

impl Connection {
    /// Writes what is pending and reads once; an error other than "not now" means a reset.
    fn relay(
        &mut self,
        behaviour: &Behaviour,
        buffer: &mut [u8],
        seen: &SeenList,
    ) -> io::Result<Next> {
        self.flush(behaviour)?;
        if self.reading && self.pending.len() < PENDING_BYTES_MAX {
            let read = match self.stream.read(buffer) {
                Err(error) if is_passing(&error) => return Ok(Next::Keep),
                read => read?,
            };
            let bytes = &buffer[..read];
            let total = note(seen, self.index, bytes);
            match behaviour {
                Behaviour::Echo { .. } => self.pending.extend_from_slice(bytes),
                Behaviour::AnswerAtEnd { answer } if read == 0 => self.pending.clone_from(answer),
                Behaviour::ResetAfter { bytes } if total >= *bytes => {
                    locked(seen)[self.index].end = Some(End::Here);
                    linger_zero(&self.stream);
                    return Ok(Next::Close);
                }
                _ => {}
            }
            self.reading = read > 0;
            self.flush(behaviour)?;
        }
        let done = !self.reading && self.pending.is_empty();
        Ok(if done { Next::Close } else { Next::Keep })
    }

    fn flush(&mut self, behaviour: &Behaviour) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if is_passing(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        match behaviour {
            Behaviour::HalfClose { .. } => self.stream.shutdown(std::net::Shutdown::Write),
            _ => Ok(()),
        }
    }

    /// Learns how a connection ended that is never read.
    fn watch(&mut self, flags: EventFlags, seen: &SeenList) -> Next {
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        let end = if broken { End::Reset } else { End::Fin };
        locked(seen)[self.index].end.get_or_insert(end);
        self.reading = false;
        if broken { Next::Close } else { Next::Keep }
    }

    fn wanted(&self, behaviour: &Behaviour) -> EventFlags {
        let mut wanted = EventFlags::empty();
        if matches!(behaviour, Behaviour::Deaf) {
            wanted.set(EventFlags::RDHUP, self.reading);
        } else {
            wanted.set(EventFlags::IN, self.reading && self.pending.len() < PENDING_BYTES_MAX);
            wanted.set(EventFlags::OUT, !self.pending.is_empty());
        }
        wanted
    }
}

/// Notes received bytes, an empty read as the end, and returns how many there were in all.
fn note(seen: &SeenList, index: usize, bytes: &[u8]) -> u64 {
    let mut seen = locked(seen);
    let seen = &mut seen[index];
    seen.bytes += bytes.len() as u64;
    let room = HEAD_BYTES_MAX - seen.head.len();
    seen.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    if bytes.is_empty() {
        seen.end = Some(End::Fin);
    }
    seen.bytes
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn locked(seen: &SeenList) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().expect("no code panics while it holds the lock")
}

#[track_caller]
fn listen(address: SocketAddr) -> TcpListener {
    // A child that another thread is forking keeps the listener before a restart until its exec.
    wait_for(format_args!("{address} to be free"), Duration::from_secs(10), || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
        socket.set_reuse_address(true).expect("a TCP socket has SO_REUSEADDR");
        socket.set_nonblocking(true).expect("a socket has O_NONBLOCK");
        let listens = socket.bind(&address.into()).and_then(|()| socket.listen(BACKLOG));
        listens.is_ok().then(|| socket.into())
    })
}

fn add(epoll: &OwnedFd, source: impl std::os::fd::AsFd, token: u64, flags: EventFlags) {
    epoll::add(epoll, source, EventData::new_u64(token), flags)
        .expect("a descriptor is added once");
}

fn modify(epoll: &OwnedFd, source: impl std::os::fd::AsFd, token: u64, flags: EventFlags) {
    epoll::modify(epoll, source, EventData::new_u64(token), flags).expect("it was added before");
}

const LISTENER: u64 = 0;
const WOKEN: u64 = 1;
const FIRST_TOKEN: u64 = 2;
const EVENTS_MAX: usize = 256;
const BACKLOG: i32 = 4096;
const CONNECTIONS_MAX: usize = 10_000;
const PENDING_BYTES_MAX: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 4096;
