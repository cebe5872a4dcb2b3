//! What Tidemill's tests stand on: real peers, processes that never outlive their test, ports that
//! nobody else takes, and waiting that says what it waited for. A dev-dependency only.
//!
//! | to get | use |
//! |---|---|
//! | redis-server, nginx, an iperf3 server | [`Redis`], [`Nginx`], [`Iperf3`] |
//! | one nats-server, or a cluster of them | [`Nats`] |
//! | a TCP peer that misbehaves in a chosen way | [`TcpPeer`] |
//! | a client that sees FIN and RST apart | [`client`] |
//! | one HTTP request | [`http`] |
//! | redis-benchmark, wrk, iperf3 and their figures | [`tool`] |
//! | the built node | [`Tidemill`] |
//! | programs from PyPI and npm | [`registry`] |
//! | any other program | [`Launch`], [`Process`] |
//!
//! Rules: a peer is ready when it is returned and dies when it is dropped. A program that is not
//! installed is `None` and a line `skipped: …`, never a failure; everything else that goes wrong
//! panics, at the test's own line, with the program's last words. Every wait has a deadline.
//!
//! This is the only crate that sleeps, in `wait.rs`. It never uses a port in the range from which
//! the kernel serves outgoing connections, never kills by name, and never leaves 127.0.0.0/8.

pub mod client;
pub mod http;
mod installed;
mod peer;
mod port;
mod process;
mod procfs;
pub mod registry;
mod tidemill;
pub mod tool;
mod wait;

pub use installed::require;
pub use peer::iperf3::Iperf3;
pub use peer::nats::Nats;
pub use peer::nginx::Nginx;
pub use peer::redis::Redis;
pub use peer::tcp::{Seen, TcpPeer};
pub use port::{free_address, free_port};
pub use process::{Finished, Launch, Process};
pub use rustix::process::Signal;
pub use tidemill::{Node, Tidemill};
pub use wait::{wait_for, wait_until};
