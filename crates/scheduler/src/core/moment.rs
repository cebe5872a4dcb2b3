//! A point in time as the core knows it: nanoseconds since an origin that the shell chose.
//!
//! 64 bits reach 584 years; arithmetic saturates, so no input makes it wrap.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since the origin of whoever gives the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The origin itself.
    pub const ORIGIN: Self = Self(0);

    /// Later than anything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// Returns the moment this many nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns how many nanoseconds lie between the origin and this moment.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time since `earlier`; zero when that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at [`Moment::NEVER`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    /// Writes seconds since the origin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", Duration::from_nanos(self.0).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Moment::from_nanos(u64::MAX - 1) + Duration::from_secs(1), Moment::NEVER);
        assert_eq!(Moment::ORIGIN + Duration::MAX, Moment::NEVER);
        assert_eq!(Moment::ORIGIN.since(Moment::from_nanos(5)), Duration::ZERO);
        assert_eq!(Moment::from_nanos(7).since(Moment::from_nanos(5)), Duration::from_nanos(2));
    }
}
