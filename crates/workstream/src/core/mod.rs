//! The pure core.
mod clock;
mod wire;
pub use clock::{DRIFT_MS_MAX, HybridClock, HybridTime, VectorClock};
pub use wire::{OPERATION_BYTES_MAX, WireError};
