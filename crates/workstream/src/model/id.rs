//! Identities: a task's ULID, an actor's random 128 bits, an operation's place in its actor's log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A task's identity: a ULID, 48 bits of milliseconds and 80 random bits.
///
/// Its text is 26 characters of Crockford's base 32 in upper case; reading accepts lower case and
/// the look-alikes `i`, `l`, `o`. Text order, numeric order and order of creation agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u128);

/// Who wrote operations: one store of one machine. Random, never shared by two logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId([u8; 16]);

/// One operation: the `sequence`-th of its actor, counted from 1. The text is `actor:sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId {
    /// The author's log.
    pub actor: ActorId,
    /// The place in that log, from 1, without gaps.
    pub sequence: u64,
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct IdError {
    text: String,
    wanted: &'static str,
}

impl TaskId {
    /// Length of the text in characters.
    pub const TEXT_LENGTH: usize = 26;

    /// Puts an identity together; only the low 48 bits of the time and 80 of `random` are used.
    pub const fn new(unix_ms: u64, random: u128) -> Self {
        Self(((unix_ms as u128 & TIME_MASK) << RANDOM_BITS) | (random & RANDOM_MASK))
    }

    /// Reads the 16 bytes that [`to_bytes`](Self::to_bytes) gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Returns the identity as 16 bytes whose order is the order of identities.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Returns when the identity was made, in milliseconds since 1970.
    pub const fn unix_ms(self) -> u64 {
        (self.0 >> RANDOM_BITS) as u64
    }

    /// Returns the next identity in the same millisecond; used to keep order within a burst.
    #[must_use]
    pub const fn successor(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Returns the first and last identity whose text begins with `prefix`.
    ///
    /// # Errors
    ///
    /// When the prefix is empty, too long, or holds a character of no identity.
    pub fn range_of_prefix(prefix: &str) -> Result<(Self, Self), IdError> {
        let error = || IdError { text: prefix.to_owned(), wanted: "the beginning of a task id" };
        let length = prefix.len();
        if length == 0 || length > Self::TEXT_LENGTH || !prefix.is_ascii() {
            return Err(error());
        }
        let mut low: u128 = 0;
        for (index, byte) in prefix.bytes().enumerate() {
            let digit = digit(byte).filter(|digit| index > 0 || *digit < 8).ok_or_else(error)?;
            low = (low << 5) | u128::from(digit);
        }
        let rest = 5 * (Self::TEXT_LENGTH - length);
        let high = (0..Self::TEXT_LENGTH - length).fold(low, |high, _| (high << 5) | 31);
        Ok((Self(low << rest), Self(high)))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; Self::TEXT_LENGTH];
        for (index, place) in text.iter_mut().enumerate() {
            let shift = 5 * (Self::TEXT_LENGTH - 1 - index);
            *place = ALPHABET[((self.0 >> shift) & 31) as usize];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

impl FromStr for TaskId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error =
            || IdError { text: text.to_owned(), wanted: "a task id (26 letters and digits)" };
        if text.len() != Self::TEXT_LENGTH {
            return Err(error());
        }
        Self::range_of_prefix(text).map(|(id, _)| id).map_err(|_| error())
    }
}

impl ActorId {
    /// Makes an identity of 16 bytes that should be random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorId({self})")
    }
}

impl FromStr for ActorId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error =
            || IdError { text: text.to_owned(), wanted: "an actor (32 hexadecimal digits)" };
        if text.len() != 32 || !text.is_ascii() {
            return Err(error());
        }
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor, self.sequence)
    }
}

impl FromStr for OperationId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError { text: text.to_owned(), wanted: "an operation (actor:sequence)" };
        let (actor, sequence) = text.split_once(':').ok_or_else(error)?;
        let actor = actor.parse().map_err(|_| error())?;
        let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0).ok_or_else(error)?;
        Ok(Self { actor, sequence })
    }
}

/// Serialises as text.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(TaskId, ActorId, OperationId);

fn digit(byte: u8) -> Option<u8> {
    let byte = match byte.to_ascii_uppercase() {
        b'I' | b'L' => b'1',
        b'O' => b'0',
        other => other,
    };
    let place = ALPHABET.iter().position(|letter| *letter == byte)?;
    u8::try_from(place).ok()
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BITS: u32 = 80;
const RANDOM_MASK: u128 = (1 << RANDOM_BITS) - 1;
const TIME_MASK: u128 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_crockford_base_32() {
        // The example of the ULID specification's time part.
        let id = TaskId::new(1_469_918_176_385, 0);
        assert_eq!(id.to_string(), "01ARYZ6S410000000000000000");
        assert_eq!("01aryz6s41oooooooooooooooo".parse(), Ok(id));
        assert_eq!(id.unix_ms(), 1_469_918_176_385);
        assert_eq!(TaskId::from_bytes(id.to_bytes()), id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "01ARYZ6S4", "81ARYZ6S410000000000000000", "01ARYZ6S41000000000000000U"] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
        assert!(TaskId::range_of_prefix("").is_err());
    }

    #[test]
    fn a_prefix_is_a_range() {
        let id = TaskId::new(1_469_918_176_385, 77);
        let (low, high) = TaskId::range_of_prefix("01ARYZ").expect("a prefix");
        assert!(low <= id && id <= high);
        let (low, high) = TaskId::range_of_prefix("01ARYY").expect("a prefix");
        assert!(!(low <= id && id <= high));
    }

    #[test]
    fn operations_have_a_text() {
        let id = OperationId { actor: ActorId::from_bytes([0xab; 16]), sequence: 7 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("ab:7".parse::<OperationId>().is_err());
    }
}
