//! Peers to put behind a proxy: real servers, and a TCP peer in this process.

pub(crate) mod iperf3;
pub(crate) mod nats;
pub(crate) mod nginx;
pub(crate) mod redis;
mod server;
pub(crate) mod tcp;
