//! A server program on a port of its own that can be stopped and started again.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::process::{Launch, Process};

/// What the servers have in common.
pub(crate) struct Server {
    launch: Launch,
    address: SocketAddr,
    is_ready: fn(SocketAddr, &Process) -> bool,
    process: Option<Process>,
}

impl Server {
    /// Starts the server and waits until `is_ready` says so.
    #[track_caller]
    pub(crate) fn start(
        launch: Launch,
        address: SocketAddr,
        is_ready: fn(SocketAddr, &Process) -> bool,
    ) -> Self {
        let mut server = Self { launch, address, is_ready, process: None };
        server.restart();
        server
    }

    /// Kills the server if it runs; its port stays reserved.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Stops the server, starts it again on the same port and waits until it is ready.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.stop();
        let process = self.launch.start();
        let ready =
            process.poll(READY_WITHIN, || (self.is_ready)(self.address, &process).then_some(()));
        // A server that could not bind has ended: whoever answered on its port was not it.
        if ready.is_none() || process.has_ended() {
            panic!("not ready on {} after {READY_WITHIN:?}: {process}", self.address);
        }
        self.process = Some(process);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    #[track_caller]
    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("the server was stopped and not started again")
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

const READY_WITHIN: Duration = Duration::from_secs(20);
