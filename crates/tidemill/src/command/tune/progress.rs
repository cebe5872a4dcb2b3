//! Work that takes minutes: a line on the terminal with the time left, and an orderly end.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use tidemill_tune::Error;
use tidemill_tune::progress::{Observer, Progress, Stop};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Output, failure};

/// Runs `work` while it is shown on the terminal, and stops it on SIGINT and SIGTERM.
///
/// # Errors
///
/// What `work` answers, or signals cannot be waited for.
pub(super) fn observed<T: Send + 'static>(
    output: &Output,
    work: impl FnOnce(Observer<'_>, &Line) -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    let no_signals = |error| Failure::outside(format!("cannot wait for signals: {error}"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_signals)?;
    let is_quiet = output.is_json || !std::io::stderr().is_terminal();
    let result = runtime.block_on(async {
        let stop = Stop::default();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let asked = stop.clone();
        let signals = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => asked.request(),
                    _ = terminate.recv() => asked.request(),
                }
            }
        });
        let worker = tokio::task::spawn_blocking(move || {
            let line = Line { is_quiet, text: Mutex::default() };
            let tell = |progress: &Progress| line.show(progress);
            let result = work(Observer::new(&tell, &stop), &line);
            line.clear();
            result
        });
        let result = worker.await;
        signals.abort();
        Ok::<_, Failure>(result)
    })?;
    match result {
        Ok(result) => result.map_err(|error| failure(&error)),
        Err(error) => Err(Failure::outside(format!("tune broke off: {error}"))),
    }
}

/// The last line of the terminal.
pub(super) struct Line {
    is_quiet: bool,
    text: Mutex<String>,
}

impl Line {
    /// Writes a remark above the line.
    pub(super) fn note(&self, note: &str) {
        self.clear();
        // The reader may be gone; there is nobody left to tell.
        let _ = writeln!(std::io::stderr().lock(), "note: {note}");
    }

    fn show(&self, progress: &Progress) {
        if self.is_quiet {
            return;
        }
        let mut text = progress.what.chars().take(TEXT_CHARS_MAX).collect::<String>();
        if progress.total > 1 {
            text.push_str(&format!(" {}/{}", progress.done, progress.total));
        }
        if let Some(left) = progress.left {
            text.push_str(&format!(", at most {} left", duration(left)));
        }
        let mut shown = self.text.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *shown != text {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
            *shown = text;
        }
    }

    fn clear(&self) {
        let mut shown = self.text.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !shown.is_empty() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
            shown.clear();
        }
    }
}

fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 60 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{seconds} s"),
    }
}

/// Longer texts would wrap, and a wrapped line is not cleared.
const TEXT_CHARS_MAX: usize = 60;
