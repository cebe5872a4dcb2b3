//! The only place of this crate that reads the clock.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::model::Timestamp;

/// Where a workspace takes the time from.
#[derive(Clone, Default)]
pub struct Clock {
    replacement: Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>,
}

impl Clock {
    /// Takes the time from `now` instead of the machine; for tests and replays.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { replacement: Some(Arc::new(now)) }
    }

    /// Returns the time.
    #[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
    pub fn now(&self) -> Timestamp {
        match &self.replacement {
            Some(now) => now(),
            None => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                // A machine that believes in a time before 1970 is given 1970.
                let ms = since_1970.map_or(0, |elapsed| elapsed.as_millis());
                Timestamp::from_unix_ms(u64::try_from(ms).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Returns the machine's steady clock, for waiting.
#[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.replacement.is_some() { "Clock(replaced)" } else { "Clock(system)" })
    }
}
