//! `--demo`: two backends, a proxy over them and gentle traffic, all in this process.
//!
//! The backends answer every request with their name. [`CLIENTS`] clients send one request each per
//! [`PACE`], about 20 a second together; half of them keep their connection for a while, half
//! connect anew each time. Everything listens on loopback, and all of it ends with the node.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tidemill_proxy::core::settings::{BackendSettings, HealthSettings, Probe, ProxySettings};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::command::Failure;

/// The running demonstration; dropping it ends it.
#[derive(Debug)]
pub(super) struct Demo {
    settings: ProxySettings,
    /// Where the proxy listens; the port taken once it runs.
    proxy: SocketAddr,
    clients: Vec<AbortHandle>,
    tasks: JoinSet<()>,
}

impl Demo {
    /// Starts the backends and the traffic; the proxy is for the engine to run.
    ///
    /// # Errors
    ///
    /// When there is no free port for a backend.
    pub(super) async fn start(listen: SocketAddr) -> Result<Self, Failure> {
        let mut tasks = JoinSet::new();
        let mut backends = Vec::new();
        for name in ["a", "b"] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (address, listener) = bound.map_err(|error| {
                Failure::outside(format!("cannot start the demonstration's backend: {error}"))
            })?;
            backends.push(BackendSettings::new(address));
            tasks.spawn(serve_backend(listener, name));
        }
        let mut settings = ProxySettings::new(NAME, listen, backends);
        let probe = Probe::Http { path: "/".to_owned(), host: None, status: (200, 299) };
        settings.health = Some(HealthSettings { probe, ..HealthSettings::default() });
        Ok(Self { settings, proxy: listen, clients: Vec::new(), tasks })
    }

    /// Begins to send requests to the proxy, which is among these.
    pub(super) fn start_traffic(&mut self, proxies: &[(String, SocketAddr)]) {
        if let Some((_, address)) = proxies.iter().find(|(name, _)| name == NAME) {
            self.proxy = *address;
        }
        for client in 0..CLIENTS {
            let requests_per_connection = if client % 2 == 0 { KEPT_REQUESTS } else { 1 };
            self.clients.push(self.tasks.spawn(send_requests(self.proxy, requests_per_connection)));
        }
    }

    pub(super) fn stop_traffic(&mut self) {
        for client in self.clients.drain(..) {
            client.abort();
        }
    }

    pub(super) fn settings(&self) -> &ProxySettings {
        &self.settings
    }

    /// Logs what to try next.
    pub(super) fn announce(&self, page: Option<SocketAddr>) {
        tracing::info!("try: curl http://{}/", self.proxy);
        if let Some(page) = page {
            tracing::info!("try: open http://{page}/ in a browser");
        }
        tracing::info!("try: tidemill status");
        tracing::info!("try: tidemill backend drain {}", self.settings.backends[0].name);
    }
}

/// Returns the configured proxies and the demonstration's.
pub(super) fn with_demo(
    proxies: &[ProxySettings],
    demo: Option<&ProxySettings>,
) -> Vec<ProxySettings> {
    proxies.iter().chain(demo).cloned().collect()
}

async fn serve_backend(listener: TcpListener, name: &'static str) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(answer(stream, name));
                }
                // One too many is closed by dropping it.
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!("the demonstration's backend {name} cannot accept: {error}");
                    tokio::time::sleep(PACE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(stream: TcpStream, name: &'static str) {
    let service = service_fn(|_request| async {
        let body = Full::new(Bytes::from(format!("hello from backend {name}\n")));
        Ok::<_, Infallible>(Response::new(body))
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that breaks off is its own affair; a silent one is let go.
    let _ = timeout(CONNECTION_MAX, connection).await;
}

/// Sends a request per pace for ever, `requests_per_connection` on each connection.
async fn send_requests(proxy: SocketAddr, requests_per_connection: u32) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let connection = async {
            let stream = TcpStream::connect(proxy).await.ok()?;
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.ok()?;
            let mut driver = JoinSet::new(); // aborts the connection when it goes
            driver.spawn(connection);
            for _ in 0..requests_per_connection {
                pace.tick().await;
                let request = Request::get("/").header(HOST, "demo").body(Empty::<Bytes>::new());
                let request = request.expect("the request is a constant");
                let response =
                    timeout(ANSWER_MAX, sender.send_request(request)).await.ok()?.ok()?;
                let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
                timeout(ANSWER_MAX, body).await.ok()?.ok()?;
            }
            Some(())
        };
        if connection.await.is_none() {
            // Refused or broken: what the page shows is the point; try again at the same pace.
            pace.tick().await;
        }
    }
}

const NAME: &str = "demo";

const CLIENTS: usize = 4;

/// Between two requests of a client.
const PACE: Duration = Duration::from_millis(200);

/// Requests on a kept connection, 10 s of them.
const KEPT_REQUESTS: u32 = 50;

/// Connections of a demonstration's backend.
const CONNECTIONS_MAX: usize = 1_024;

const CONNECTION_MAX: Duration = Duration::from_secs(600);

const ANSWER_MAX: Duration = Duration::from_secs(2);

const ANSWER_BYTES_MAX: usize = 4_096;
