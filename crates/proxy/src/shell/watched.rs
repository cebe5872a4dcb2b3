//! Watches a descriptor that tokio has no type for: a listening socket, a timer.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `descriptor` with the event loop of this thread, for reading.
///
/// # Errors
///
/// Returns the kernel's error when it cannot be watched; the descriptor is then closed.
#[expect(
    deprecated,
    reason = "unsound only for types whose descriptor changes; an OwnedFd keeps its own, and the \
              replacement is unsafe, which this crate does not use"
)]
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
