//! Sockets, threads and time: carries out what [`core`](crate::core) decides.
//!
//! ```text
//!  control plane (tokio, caller's)             data plane (one thread per worker)
//!  Engine ── Command ──────────────────────▶  Worker ── accept ─▶ Service::serve ─▶ Relay
//!    │  swaps Proxy.snapshot as a whole  ───▶   reads it once per connection
//!    └─ probe::watch, one task per backend       Timers (timerfd), Signals, Buffers
//! ```

mod accept;
mod backend;
mod background;
mod buffers;
mod clock;
mod connection;
mod descriptors;
mod dial;
mod engine;
mod explain;
mod gate;
mod instruments;
mod listen;
mod orders;
mod probe;
mod relay;
mod running;
mod shortage;
mod signals;
mod timers;
mod watched;
mod worker;

pub use self::background::{Background, BackgroundFuture, BackgroundWork};
pub use self::engine::{Applied, BackendCommand, Engine, EngineOptions};
pub use self::explain::explain_settings;
