//! Accepts connections for the API and serves HTTP/1.1 on them, all within bounds.
//!
//! At most [`CONNECTIONS_MAX`] at a time (further ones wait in the kernel), a request's head within
//! [`HEAD_MAX`] and [`HEAD_BYTES_MAX`], and no connection older than [`CONNECTION_MAX`]: a client
//! that sends or reads slowly holds one of the places for that long at most.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::{Api, router};

/// A running server; [`stop`](Self::stop) ends it.
#[derive(Debug)]
pub(crate) struct Server {
    api: Arc<Api>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `api` on `listener` from now on.
    pub(crate) fn start(listener: TcpListener, api: Arc<Api>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, router(Arc::clone(&api)), stopped));
        Self { api, stop, task }
    }

    /// Returns the address listened on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.api.address
    }

    /// Sets what `/readyz` answers.
    pub(crate) fn set_ready(&self, is_ready: bool) {
        self.api.is_ready.store(is_ready, Ordering::Release);
    }

    /// Stops accepting and lets requests under way end, for [`STOP_MAX`] at most.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.api.events.close();
        // What does not end by then ends with the runtime.
        let _ = timeout(STOP_MAX, self.task).await;
    }
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while !*stopped.borrow() {
        let has_room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, router.clone(), stopped.clone()));
                }
                Err(error) => pause_after(&error).await,
            },
            Some(_) = connections.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let is_over = tokio::select! {
        _ = connection.as_mut() => true,
        _ = stopped.wait_for(|stopped| *stopped) => false,
        () = sleep(CONNECTION_MAX) => false,
    };
    if !is_over {
        connection.as_mut().graceful_shutdown();
        // A client that broke off, or breaks off now, is its own affair.
        let _ = timeout(STOP_MAX, connection).await;
    }
}

/// Waits after an error that would repeat at once; one of a single connection passes.
async fn pause_after(error: &io::Error) {
    let is_of_one_connection =
        matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !is_of_one_connection {
        tracing::warn!("the API cannot accept connections: {error}; trying again in a second");
        sleep(ACCEPT_PAUSE).await;
    }
}

const CONNECTIONS_MAX: usize = 256;

const CONNECTION_MAX: Duration = Duration::from_secs(600);

const HEAD_MAX: Duration = Duration::from_secs(15);

const HEAD_BYTES_MAX: usize = 64 << 10;

const STOP_MAX: Duration = Duration::from_secs(5);

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
