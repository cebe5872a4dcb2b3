//! The only place that reads the clock, and the date a record is filed under.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns the current instant.
#[expect(clippy::disallowed_methods, reason = "the one clock of this command")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Returns today's date in UTC as `2026-11-21`.
#[expect(clippy::disallowed_methods, reason = "the one clock of this command")]
pub(crate) fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    date(since.as_secs() / SECONDS_PER_DAY)
}

/// Turns days since 1970-01-01 into a Gregorian date (Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`; years begin in March so that the leap day comes last).
fn date(days: u64) -> String {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

const SECONDS_PER_DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(20_453), "2025-12-31");
        assert_eq!(date(20_454), "2026-01-01");
    }
}
