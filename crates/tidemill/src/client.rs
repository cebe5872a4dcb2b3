//! Asks a running node: finds it, sends one request, returns the answer.
//!
//! The node is found through `addresses.json` and `token` in the configuration's `data_dir`, or
//! named with `--node` and the token in `TIDEMILL_TOKEN`. One connection for each request; an
//! answer has to come within [`ANSWER_MAX`] and stay under [`ANSWER_BYTES_MAX`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::command::{Common, Failure};
use crate::http::AUTHOR;
use crate::node::{DataDir, TOKEN_VARIABLE, environment, person};

/// A node that answers, or did when it wrote its addresses.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    token: String,
    /// What to say when nobody answers.
    found_in: String,
}

impl Client {
    /// Finds the node that runs with this configuration, or the one named with `--node`.
    ///
    /// # Errors
    ///
    /// When no node has left its address, or its token cannot be read.
    pub(crate) fn find(common: &Common, node: Option<SocketAddr>) -> Result<Self, Failure> {
        if let Some(address) = node {
            let token = environment(TOKEN_VARIABLE).ok_or_else(|| {
                Failure::input(format!("--node needs the node's token in {TOKEN_VARIABLE}"))
            })?;
            let found_in = format!("at {address}");
            return Ok(Self { address: reachable(address), token, found_in });
        }
        let source = common.source();
        let data_dir = DataDir::locate(&source.data_dir()?, source.folder())?;
        let found_in = format!("with the data_dir {}", data_dir.path().display());
        let no_node = || {
            Failure::outside(format!(
                "no node runs {found_in}; start one with `tidemill up`, or name its configuration \
                 with --config"
            ))
        };
        let addresses = data_dir.read_addresses()?.ok_or_else(no_node)?;
        let token = data_dir.read_token()?.ok_or_else(no_node)?;
        Ok(Self { address: reachable(addresses.node), token, found_in })
    }

    /// Finds the node that serves the workspace at `workspace`, a path without links; `None` where
    /// none runs, or the one that does serves another.
    ///
    /// Its process has to be there: after a crash the token must not go to whoever took its port.
    ///
    /// # Errors
    ///
    /// When the node's files cannot be read.
    pub(crate) fn serving(common: &Common, workspace: &Path) -> Result<Option<Self>, Failure> {
        let source = common.source();
        let data_dir = DataDir::locate(&source.data_dir()?, source.folder())?;
        let Some(addresses) = data_dir.read_addresses()? else { return Ok(None) };
        if addresses.workspace.as_deref() != Some(workspace) || !addresses.is_alive() {
            return Ok(None);
        }
        let Some(token) = data_dir.read_token()? else { return Ok(None) };
        let found_in = format!("with the data_dir {}", data_dir.path().display());
        Ok(Some(Self { address: reachable(addresses.node), token, found_in }))
    }

    /// Returns true when somebody takes connections where the node was found.
    pub(crate) fn is_answered(&self) -> bool {
        std::net::TcpStream::connect_timeout(&self.address, CONNECT_MAX).is_ok()
    }

    /// Returns where the node is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends `GET path`.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with what the node says against it.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.wait_for(&Ask::get(path))
    }

    /// Sends `PATCH path` with a JSON body.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        self.wait_for(&Ask::new(Method::PATCH, path).with_body(body.clone()))
    }

    /// Sends `POST path` with a JSON body.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.wait_for(&Ask::post(path, body.clone()))
    }

    /// Waits, as long as there is nothing to ask.
    pub(crate) fn pause(time: Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(async { tokio::time::sleep(time).await });
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn wait_for<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::outside(format!("cannot start: {error}")))?;
        runtime.block_on(self.send(ask))?.read()
    }

    /// Sends a request and returns the answer, good or not.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, Failure> {
        let answer = tokio::time::timeout(ANSWER_MAX, self.exchange(ask)).await;
        answer.map_err(|_| {
            let seconds = ANSWER_MAX.as_secs();
            Failure::outside(format!(
                "the node at {} did not answer within {seconds} s",
                self.address
            ))
        })?
    }

    async fn exchange(&self, ask: &Ask) -> Result<Answer, Failure> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| {
            Failure::outside(format!(
                "no node answers {} ({}: {error}); start one with `tidemill up`",
                self.found_in, self.address
            ))
        })?;
        let broken = |error: &dyn std::fmt::Display| {
            Failure::outside(format!("the exchange with {} broke: {error}", self.address))
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let driver = tokio::spawn(connection);
        let request =
            ask.request(&self.address.to_string(), &self.token).map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        let body =
            Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| broken(&error))?;
        drop(sender);
        driver.abort();
        Ok(Answer { status: head.status, body: body.to_bytes() })
    }
}

/// A request to the API, in the name of whom this process works for.
#[derive(Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    if_match: Option<String>,
    author: Option<String>,
    body: Option<Value>,
}

impl Ask {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), if_match: None, author: person(), body: None }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::POST, path).with_body(body)
    }

    #[must_use]
    pub(crate) fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks for this only while the version is the one that was read.
    #[must_use]
    pub(crate) fn if_match(mut self, etag: impl Into<String>) -> Self {
        self.if_match = Some(etag.into());
        self
    }

    /// Returns the request as it is sent.
    pub(crate) fn request(
        &self,
        host: &str,
        token: &str,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(HOST, host)
            .header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(etag) = &self.if_match {
            request = request.header(IF_MATCH, etag);
        }
        if let Some(author) = &self.author {
            request = request.header(AUTHOR, author.as_bytes());
        }
        let body = match &self.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body))
    }
}

/// What the API answered, good or not.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads a good answer.
    ///
    /// # Errors
    ///
    /// With what the API has against the request, or when the answer is not the one expected.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.status.is_success() {
            let body: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
            return serde_json::from_slice(body).map_err(|error| {
                Failure::outside(format!("the answer is not what this version expects: {error}"))
            });
        }
        let detail = self.detail();
        Err(match self.status {
            StatusCode::NOT_FOUND
            | StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Failure::input(detail),
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Failure::answer(detail),
            StatusCode::UNAUTHORIZED => {
                Failure::outside(format!("the node does not take this token: {detail}"))
            }
            status => Failure::outside(format!("the node answers {status}: {detail}")),
        })
    }

    /// Returns what the API has against the request.
    pub(crate) fn detail(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["detail"].as_str().unwrap_or("it gives no reason").to_owned()
    }
}

/// Returns a text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Returns where to connect to a listener on every interface: this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

const CONNECT_MAX: Duration = Duration::from_secs(1);

const ANSWER_MAX: Duration = Duration::from_secs(10);

const ANSWER_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("redis-1:6379"), "redis-1:6379");
        assert_eq!(segment("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(segment("a/../b?c#d%"), "a%2F..%2Fb%3Fc%23d%25");
    }

    #[test]
    fn a_listener_on_every_interface_is_reached_here() {
        let every: SocketAddr = "0.0.0.0:7070".parse().expect("an address");
        assert_eq!(reachable(every).to_string(), "127.0.0.1:7070");
    }
}
