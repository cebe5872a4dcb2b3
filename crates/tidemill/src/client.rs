//! Asks a running node: finds it, sends one request, returns the JSON answer.
//!
//! The node is found through `addresses.json` and `token` in the configuration's `data_dir`, or
//! named with `--node` and the token in `TIDEMILL_TOKEN`. One connection for each request; an
//! answer has to come within [`ANSWER_MAX`] and stay under [`ANSWER_BYTES_MAX`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::command::{Common, Failure};
use crate::node::{DataDir, TOKEN_VARIABLE, environment};

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

    /// Returns true when somebody takes connections where the node was found.
    pub(crate) fn is_answered(&self) -> bool {
        std::net::TcpStream::connect_timeout(&self.address, CONNECT_MAX).is_ok()
    }

    /// Sends `GET path`.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with what the node says against it.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.send(Method::GET, path, None)
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
        self.send(Method::PATCH, path, Some(body))
    }

    /// Sends `POST path` with a JSON body.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.send(Method::POST, path, Some(body))
    }

    /// Waits, as long as there is nothing to ask.
    pub(crate) fn pause(time: Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(async { tokio::time::sleep(time).await });
        }
    }

    fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::outside(format!("cannot start: {error}")))?;
        let exchange = self.exchange(method, path, body);
        let answer = runtime
            .block_on(async { tokio::time::timeout(ANSWER_MAX, exchange).await })
            .map_err(|_| {
            let seconds = ANSWER_MAX.as_secs();
            Failure::outside(format!(
                "the node at {} did not answer within {seconds} s",
                self.address
            ))
        })?;
        let (status, bytes) = answer?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| {
                Failure::outside(format!(
                    "the answer of {} is not what this version expects: {error}",
                    self.address
                ))
            });
        }
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("it gives no reason");
        Err(match status {
            StatusCode::NOT_FOUND
            | StatusCode::BAD_REQUEST
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Failure::input(detail),
            StatusCode::UNAUTHORIZED => Failure::outside(format!(
                "the node at {} does not take this token: {detail}",
                self.address
            )),
            _ => Failure::outside(format!("the node answers {status}: {detail}")),
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Failure> {
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
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| broken(&error))?;
        drop(sender);
        driver.abort();
        Ok((status, body.to_bytes()))
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
