//! Signals for commands that run another program and outlive it for a moment.
//!
//! Once a listener is there, neither Ctrl-C nor SIGTERM ends this process by itself: what was
//! measured until then is still shown.

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Ctrl-C; everything in the foreground of the terminal got it.
    Interrupt,
    /// SIGTERM, or Ctrl-C a second time: to this process alone.
    Terminate,
}

/// Hears signals on a thread of its own, which ends with the process.
#[derive(Debug)]
pub(super) struct Listener(Receiver<Heard>);

impl Listener {
    /// Begins to listen.
    pub(super) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (heard, receiver) = sync_channel(4);
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let mut is_first = true;
                loop {
                    let next = tokio::select! {
                        _ = interrupt.recv() => {
                            if is_first { Heard::Interrupt } else { Heard::Terminate }
                        }
                        _ = terminate.recv() => Heard::Terminate,
                    };
                    is_first &= next != Heard::Interrupt;
                    // Full means that four were not looked at yet: one more changes nothing.
                    let _ = heard.try_send(next);
                }
            });
        })?;
        Ok(Self(receiver))
    }

    /// Waits for a signal, at most `within`.
    pub(super) fn next_within(&self, within: Duration) -> Option<Heard> {
        self.0.recv_timeout(within).ok()
    }

    /// Calls `act` for each signal from now on, on another thread.
    pub(super) fn on_each(self, act: impl Fn(Heard) + Send + 'static) {
        std::thread::spawn(move || self.0.iter().for_each(act));
    }
}

/// Calls `act` after a time, on another thread, unless the process ends before.
#[expect(clippy::disallowed_methods, reason = "a thread of its own that does nothing else")]
pub(super) fn after(time: Duration, act: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        std::thread::sleep(time);
        act();
    });
}
