//! What a job is: its name, what it does, and how it is written down.
//!
//! A [`JobId`] is a ULID: 48 bits of milliseconds, then 80 random ones, written as 26 digits of
//! Crockford's base 32, so that ids of one store sort by age. Within a millisecond the random part
//! counts up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::Error;
use super::progress::Progress;
use crate::core::Priority;

/// Names one job, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

impl JobId {
    /// Returns the id with this number.
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// Returns the number behind the id.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Returns the id that belongs to an idempotency key: the same one on every machine (FNV-1a
    /// with 128 bits). Two keys that meet by accident are told apart by the stored key.
    pub(crate) fn of_key(key: &str) -> Self {
        let hash = key
            .bytes()
            .fold(FNV_OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME));
        Self(hash)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = (0..DIGITS)
            .rev()
            .map(|place| char::from(ALPHABET[(self.0 >> (5 * place)) as usize % ALPHABET.len()]))
            .collect();
        f.pad(&digits)
    }
}

impl FromStr for JobId {
    type Err = ParseJobIdError;

    fn from_str(text: &str) -> Result<Self, ParseJobIdError> {
        let wrong = || ParseJobIdError(text.chars().take(40).collect());
        // The first of 26 digits holds 3 bits.
        if text.len() != DIGITS as usize || !text.starts_with(|first| ('0'..='7').contains(&first))
        {
            return Err(wrong());
        }
        text.bytes()
            .try_fold(0_u128, |number, byte| {
                let upper = byte.to_ascii_uppercase();
                let digit = ALPHABET.iter().position(|digit| *digit == upper).ok_or_else(wrong)?;
                Ok(number << 5 | digit as u128)
            })
            .map(Self)
    }
}

/// A text that is no job's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no job's id; one has 26 digits and letters, such as 01JD3Z5V8QWERTY0123456789A")]
pub struct ParseJobIdError(String);

/// Gives out ids that never repeat and never go back.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    last: u128,
}

impl Ids {
    pub(crate) fn next(&mut self, now_ms: u64) -> JobId {
        let fresh = u128::from(now_ms) << 80 | fastrand::u128(..) >> 48;
        self.last = fresh.max(self.last.saturating_add(1));
        JobId(self.last)
    }
}

/// What is asked for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// What it does.
    pub work: Work,
    /// How urgent it is.
    #[serde(with = "named")]
    pub priority: Priority,
    /// How long one attempt may take; without it, for ever.
    #[serde(
        default,
        rename = "timeout_ms",
        with = "milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// How often a failed attempt is made again.
    #[serde(default)]
    pub retries: u32,
    /// A second submission under the same key is the same job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Work {
    /// Runs a program.
    Command(Command),
    /// Calls a function that the runner was given under this name.
    Handler {
        /// The function's name.
        name: String,
        /// What it is called with.
        #[serde(default, with = "hexadecimal")]
        payload: Vec<u8>,
    },
}

/// A program to run, without a shell in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program, as a path or as a name that is looked up in `PATH`, and its arguments.
    pub arguments: Vec<String>,
    /// Where it runs, an absolute path; without one, in the runner's own folder for work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Variables beside the ones that the runner keeps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// A job with everything that is known about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    #[serde(with = "named")]
    pub id: JobId,
    /// What was asked for.
    #[serde(flatten)]
    pub spec: JobSpec,
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
}

/// The bounds of a [`JobSpec`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpecLimits {
    /// Bytes of the work: arguments, environment, payload.
    pub work_bytes: usize,
    /// Bytes of an idempotency key.
    pub key_bytes: usize,
    /// Retries of one job.
    pub retries: u32,
    /// The longest timeout.
    pub timeout: Duration,
}

/// What every store holds a job against.
pub const LIMITS: SpecLimits = SpecLimits {
    work_bytes: 256 << 10,
    key_bytes: 128,
    retries: 1_000,
    timeout: Duration::from_secs(30 * 86_400),
};

impl JobSpec {
    /// Asks for a program to be run, with normal priority, no timeout and no retries.
    pub fn command(arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self::new(Work::Command(Command { arguments, folder: None, environment: BTreeMap::new() }))
    }

    /// Asks for a handler to be called, with normal priority, no timeout and no retries.
    pub fn handler(name: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Work::Handler { name: name.into(), payload: payload.into() })
    }

    fn new(work: Work) -> Self {
        Self { work, priority: Priority::default(), timeout: None, retries: 0, key: None }
    }

    /// Returns it with another priority.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Returns it with retries.
    #[must_use]
    pub fn with_retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// Returns it with a timeout for each attempt.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Returns it with an idempotency key.
    #[must_use]
    pub fn with_key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Holds it against [`LIMITS`].
    ///
    /// # Errors
    ///
    /// With the first bound that is exceeded, and what would be right.
    pub fn check(&self) -> Result<(), Error> {
        let bytes = self.work.bytes();
        if bytes > LIMITS.work_bytes {
            return Err(Error::TooLarge { bytes, max: LIMITS.work_bytes });
        }
        if let Some(problem) = self.work.problem().or_else(|| self.problem()) {
            return Err(Error::Invalid(problem));
        }
        Ok(())
    }

    fn problem(&self) -> Option<String> {
        let max = LIMITS.key_bytes;
        if self.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > max) {
            return Some(format!("a key has 1 to {max} bytes"));
        }
        if self.retries > LIMITS.retries {
            return Some(format!("{} retries; at most {} are made", self.retries, LIMITS.retries));
        }
        let is_outside = |timeout: Duration| timeout.is_zero() || timeout > LIMITS.timeout;
        if self.timeout.is_some_and(is_outside) {
            let days = LIMITS.timeout.as_secs() / 86_400;
            return Some(format!("a timeout is more than nothing and at most {days} days"));
        }
        None
    }
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Handler { name, payload } => name.len() + payload.len(),
            Self::Command(command) => {
                let pair = |(name, value): (&String, &String)| name.len() + value.len() + 2;
                command.arguments.iter().map(|argument| argument.len() + 1).sum::<usize>()
                    + command.environment.iter().map(pair).sum::<usize>()
                    + command.folder.as_ref().map_or(0, |folder| folder.as_os_str().len())
            }
        }
    }

    fn problem(&self) -> Option<String> {
        let Self::Command(command) = self else { return None };
        let Command { arguments, folder, environment } = command;
        if arguments.first().is_none_or(String::is_empty) {
            return Some("there is no command; name a program".to_owned());
        }
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_absolute()) {
            let folder = folder.display();
            return Some(format!("the folder {folder} is relative; write an absolute path"));
        }
        let is_fit = |name: &String| !name.is_empty() && !name.contains('=');
        if let Some(name) = environment.keys().find(|name| !is_fit(name)) {
            return Some(format!("{name:?} cannot be the name of a variable"));
        }
        let texts = arguments.iter().chain(environment.iter().flat_map(|(k, v)| [k, v]));
        let has_zero = |text: &String| text.contains('\0');
        texts.into_iter().any(has_zero).then(|| "a command cannot hold a zero byte".to_owned())
    }
}

/// Values that are written by their name.
pub(super) mod named {
    use super::{Deserialize, Deserializer, FromStr, Serializer, fmt};

    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Durations that are written as whole milliseconds.
mod milliseconds {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let whole = |value: &Duration| u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        value.as_ref().map(whole).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// Bytes that are written as pairs of hex digits.
mod hexadecimal {
    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
        let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        serializer.serialize_str(&digits.collect::<String>())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8));
        let digits: Option<Vec<_>> = digits.collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
            _ => Err(serde::de::Error::custom("a payload is written as pairs of hex digits")),
        }
    }
}

const DIGITS: u32 = 26;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_read_back_and_sorts_as_its_number(a in any::<u128>(), b in any::<u128>()) {
            let (a, b) = (JobId(a), JobId(b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.to_string().to_lowercase().parse(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn ids_count_up_even_when_the_clock_goes_back() {
        let mut ids = Ids::default();
        let some: Vec<_> = [5, 5, 5, 7, 6, 6].into_iter().map(|now| ids.next(now)).collect();
        assert!(some.is_sorted_by(|a, b| a < b), "{some:?}");
        assert_eq!(some[0].as_u128() >> 80, 5);
        for wrong in ["", "01JD", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0123456789012345678901234U"] {
            assert!(wrong.parse::<JobId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut spec = JobSpec::handler("copy", [0, 255, 16]).with_priority(Priority::High);
        spec = spec.with_timeout(Duration::from_millis(1_500)).with_retries(3).with_key("k");
        for spec in [spec, JobSpec::command(["true", "é"])] {
            let text = serde_json::to_string(&spec).expect("a spec is JSON");
            assert_eq!(serde_json::from_str::<JobSpec>(&text).expect(&text), spec);
        }
    }

    #[track_caller]
    fn refused(spec: &JobSpec, because: &str) {
        let error = spec.check().expect_err(because).to_string();
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn a_job_is_held_against_its_limits() {
        let good = JobSpec::command(["true"]);
        assert!(good.check().is_ok());
        refused(&JobSpec::command([""; 0]), "name a program");
        refused(&JobSpec::command(["a\0b"]), "zero byte");
        refused(&JobSpec::handler("h", vec![0; LIMITS.work_bytes]), "at most 262144");
        refused(&good.clone().with_key(""), "1 to 128");
        refused(&good.clone().with_retries(1_001), "at most 1000");
        refused(&good.clone().with_timeout(Duration::ZERO), "more than nothing");
        let Work::Command(mut command) = good.work.clone() else { unreachable!("it is one") };
        command.folder = Some("here".into());
        refused(&JobSpec { work: Work::Command(command.clone()), ..good.clone() }, "absolute");
        command.folder = None;
        command.environment.insert("A=B".into(), String::new());
        refused(&JobSpec { work: Work::Command(command), ..good }, "\"A=B\"");
    }
}
