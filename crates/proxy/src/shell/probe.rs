//! Has one backend probed for as long as it is configured; on the control plane, one task a backend
//! that waits, and a piece of [background](super::background) work for each probe.
//!
//! [`core::health`](crate::core::health) decides when to probe and what an outcome means; here it
//! is only carried out. An answer is read up to [`ANSWER_MAX`] bytes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::backend::Backend;
use super::background::{Background, BackgroundWork};
use super::clock;
use crate::core::health::{Health, Step, Transition};
use crate::core::settings::{HealthSettings, Probe};

/// Bytes of an answer that are looked at; a status line or an expected text is shorter.
const ANSWER_MAX: usize = 1_024;

/// Has `backend` probed for ever and takes note of what is found; calls `changed` on every change.
pub(crate) async fn watch<F>(
    backend: Arc<Backend>,
    settings: HealthSettings,
    background: Arc<dyn Background>,
    changed: F,
) where
    F: AsyncFn(Transition, &str),
{
    let mut health = Health::new(&settings, clock::now(), fastrand::u64(..));
    loop {
        match health.poll(clock::now()) {
            Step::WaitUntil(at) => tokio::time::sleep_until(at.into()).await,
            Step::Probe => {
                let Some((start, result)) = probed(&backend, &settings, &*background).await else {
                    // Nobody had the time: that says nothing about the backend.
                    tokio::time::sleep(settings.interval).await;
                    continue;
                };
                let now = clock::now();
                let outcome = match &result {
                    Ok(()) => format!("answered in {:.1} ms", (now - start).as_secs_f64() * 1e3),
                    Err(error) => error.to_string(),
                };
                backend.probed(outcome.clone());
                let transition = health.record(now, result.is_ok(), fastrand::u64(..));
                if let Some(transition) = transition {
                    backend.found(transition == Transition::Up, now);
                    changed(transition, &outcome).await;
                }
            }
        }
    }
}

/// Has one probe made in the background; `None` when it was not.
async fn probed(
    backend: &Arc<Backend>,
    settings: &HealthSettings,
    background: &dyn Background,
) -> Option<(Instant, io::Result<()>)> {
    let (sender, receiver) = oneshot::channel();
    let (backend, settings) = (Arc::clone(backend), settings.clone());
    let work = async move {
        let start = clock::now();
        // Who asked may have gone meanwhile.
        let _ = sender.send((start, probe(&backend, &settings).await));
    };
    background.run(BackgroundWork::Probe, Box::pin(work));
    receiver.await.ok()
}

async fn probe(backend: &Backend, settings: &HealthSettings) -> io::Result<()> {
    let exchange = async {
        let mut stream = TcpStream::connect(backend.address).await?;
        match &settings.probe {
            Probe::Tcp => Ok(()),
            Probe::Http { path, host, status } => {
                let host = host.clone().unwrap_or_else(|| backend.name());
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tidemill\r\n\
                     Accept: */*\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await?;
                let found = read_status(&mut stream).await?;
                if (status.0..=status.1).contains(&found) {
                    return Ok(());
                }
                Err(unexpected(format!(
                    "answered with status {found}, not one of {} to {}",
                    status.0, status.1
                )))
            }
            Probe::SendExpect { send, expect } => {
                stream.write_all(send).await?;
                let answer = read_answer(&mut stream, expect.len(), expect).await?;
                if answer == *expect {
                    return Ok(());
                }
                Err(unexpected(format!("answered \"{}\"", answer.escape_ascii())))
            }
        }
    };
    match tokio::time::timeout(settings.timeout, exchange).await {
        Ok(result) => result,
        Err(_) => Err(no_answer(settings.timeout)),
    }
}

/// Reads the status out of the first line of an HTTP/1 answer.
async fn read_status(stream: &mut TcpStream) -> io::Result<u16> {
    let line = read_answer(stream, STATUS_END, b"HTTP/1.").await?;
    let text = std::str::from_utf8(&line).unwrap_or_default();
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| digits.parse().ok());
    status.ok_or_else(|| unexpected(format!("answered \"{}\", not HTTP", line.escape_ascii())))
}

/// Reads `count` bytes; fewer where the stream ends, or where they differ from what they ought to
/// begin with.
async fn read_answer(stream: &mut TcpStream, count: usize, begin: &[u8]) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; count.min(ANSWER_MAX)];
    let mut filled = 0;
    while filled < answer.len() {
        let count = stream.read(&mut answer[filled..]).await?;
        filled += count;
        let differs = answer[..filled].iter().zip(begin).any(|(found, wanted)| found != wanted);
        if count == 0 || differs {
            break;
        }
    }
    answer.truncate(filled);
    Ok(answer)
}

fn unexpected(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn no_answer(timeout: Duration) -> io::Error {
    let what = format!("no answer within {} ms", timeout.as_millis());
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// `HTTP/1.1 200` is as long as it has to be.
const STATUS_END: usize = 12;
