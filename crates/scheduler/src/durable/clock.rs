//! The only place of the durable part that reads a clock: wall time, for records and leases.
//!
//! Pauses and timeouts run on tokio's clock. Wall time may jump: forwards it ends leases early,
//! which costs a rerun; backwards it lengthens them. Neither loses a job or ends one twice.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns milliseconds since 1970; 0 on a machine whose clock is before that.
pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one wall clock of the durable part")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
