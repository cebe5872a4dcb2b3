//! Ctrl-C and SIGTERM, remembered until somebody asks.
//!
//! The first signal sets a flag and wakes every wait; what runs ends its children and returns. The
//! second ends the process at once with code 130.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Context, Error, Result};

/// Begins to listen for signals; call it once, before the first child starts.
pub(crate) fn listen() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: a signal that finds the flag already set exits, then the flag is set.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&RECEIVED))
            .and_then(|_| flag::register(signal, Arc::clone(&RECEIVED)))
            .context(|| "cannot handle signals".to_owned())?;
    }
    Ok(())
}

/// Fails once a signal has come.
pub(crate) fn check() -> Result<()> {
    if received() { Err(Error::interrupted()) } else { Ok(()) }
}

/// Returns true once a signal has come.
pub(crate) fn received() -> bool {
    // Only this flag travels from the handler, so no ordering with other memory is needed.
    RECEIVED.load(Ordering::Relaxed)
}

static RECEIVED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
