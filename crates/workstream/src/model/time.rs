//! Points in time: milliseconds since 1970, written as RFC 3339 in UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, at most the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// Why a text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time like 2026-11-21T09:30:00Z")]
pub struct TimestampError(String);

impl Timestamp {
    /// Makes a point in time; what lies after the year 9999 becomes its end.
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self(if unix_ms > UNIX_MS_MAX { UNIX_MS_MAX } else { unix_ms })
    }

    /// Returns milliseconds since 1970.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }
}

/// Writes `2026-11-21T09:30:00.000Z`. Days become dates by Howard Hinnant's `civil_from_days`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / DAY_MS, self.0 % DAY_MS);
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, ms) = (ms / 1_000 % 60, ms % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Reads RFC 3339 in UTC (`Z`), with or without a fraction of a second.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text).ok_or_else(|| TimestampError(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix(['Z', 'z'])?;
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, date.next()?);
    let day = number(day, 2)?;
    if date.next().is_some() || !(1..=12).contains(&month) || day == 0 || year < 1970 {
        return None;
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_index = usize::try_from(month - 1).ok()?;
    if day > DAYS_OF_MONTH[month_index] + u64::from(is_leap && month == 2) {
        return None;
    }
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.split(':');
    let hour = number(clock.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(clock.next()?, 2).filter(|minute| *minute < 60)?;
    let second = number(clock.next()?, 2).filter(|second| *second < 60)?;
    if clock.next().is_some() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let digits: u64 = number(fraction, fraction.len())?;
    let ms = digits * 1_000 / 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let years = year - 1970;
    let leap_days = leap_years_before(year) - leap_years_before(1970);
    let before: u64 = DAYS_OF_MONTH[..month_index].iter().sum();
    let days = years * 365 + leap_days + before + u64::from(is_leap && month > 2) + day - 1;
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(Timestamp::from_unix_ms(days * DAY_MS + seconds * 1_000 + ms))
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let good = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

fn leap_years_before(year: u64) -> u64 {
    let last = year - 1;
    last / 4 - last / 100 + last / 400
}

const DAY_MS: u64 = 86_400_000;
const DAYS_OF_MONTH: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// 9999-12-31T23:59:59.999Z.
const UNIX_MS_MAX: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_253_400_123, "2026-11-21T09:30:00.123Z"),
            (UNIX_MS_MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_unix_ms(unix_ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp::from_unix_ms(unix_ms)));
        }
        assert_eq!("2026-11-21T09:30:00Z".parse(), Ok(Timestamp(1_795_253_400_000)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "2026-02-29T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21", "é"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
