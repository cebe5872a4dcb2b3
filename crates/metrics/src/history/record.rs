//! Records of a history file: bytes to values and back. No I/O here.
//!
//! ```text
//! file:    "TIDEHIST" version:u32 | record | record | ..            integers little-endian
//! record:  "\xabTMR" length:u32 crc32:u32 payload                   CRC of length and payload
//! payload: 1 number name..          a series: varint number, created, flags, then its name
//!          2 time (number value)..  what changed at a time: varint, then varint or 8 bytes
//!          3 time number..          series that are gone since this time
//! ```
//!
//! The mark before each record lets a reader find the next one behind a damaged stretch.

use crate::sample::Value;
use crate::varint;

/// What one record says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    Series { number: u64, created_ms: u64, is_counter: bool, is_count: bool, name: String },
    Values { at_ms: u64, values: Vec<(u64, Value)> },
    Gone { at_ms: u64, numbers: Vec<u64> },
}

/// What a scan of a file's bytes found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    pub(super) records: Vec<Record>,
    /// Bytes that belong to no good record.
    pub(super) damaged: usize,
    /// Where the last good record ends.
    pub(super) good_until: usize,
}

impl Record {
    /// Writes the record with its mark, length and checksum.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        match self {
            Self::Series { number, created_ms, is_counter, is_count, name } => {
                payload.push(1);
                varint::push(&mut payload, *number);
                varint::push(&mut payload, *created_ms);
                payload.push(u8::from(*is_counter) | u8::from(*is_count) << 1);
                payload.extend(name.as_bytes());
            }
            Self::Values { at_ms, values } => {
                payload.push(2);
                varint::push(&mut payload, *at_ms);
                for (number, value) in values {
                    varint::push(&mut payload, *number);
                    match value {
                        Value::Count(count) => varint::push(&mut payload, *count),
                        Value::Number(number) => payload.extend(number.to_le_bytes()),
                    }
                }
            }
            Self::Gone { at_ms, numbers } => {
                payload.push(3);
                varint::push(&mut payload, *at_ms);
                numbers.iter().for_each(|number| varint::push(&mut payload, *number));
            }
        }
        let length = (payload.len() as u32).to_le_bytes();
        out.extend(MARK);
        out.extend(length);
        out.extend(checksum(length, &payload).to_le_bytes());
        out.extend(payload);
    }

    /// Reads a payload; `is_count` says of a number whether its series is a count. `None` when it
    /// makes no sense.
    fn decode(payload: &[u8], is_count: &mut impl FnMut(u64) -> Option<bool>) -> Option<Self> {
        let (&kind, mut rest) = payload.split_first()?;
        let first = varint::take(&mut rest)?;
        match kind {
            1 => {
                let created_ms = varint::take(&mut rest)?;
                let (&flags, name) = rest.split_first()?;
                let name = String::from_utf8(name.to_vec()).ok()?;
                let (is_counter, is_count) = (flags & 1 != 0, flags & 2 != 0);
                Some(Self::Series { number: first, created_ms, is_counter, is_count, name })
            }
            2 => {
                let mut values = Vec::new();
                while !rest.is_empty() {
                    let number = varint::take(&mut rest)?;
                    let value = if is_count(number)? {
                        Value::Count(varint::take(&mut rest)?)
                    } else {
                        let (bits, after) = rest.split_first_chunk()?;
                        rest = after;
                        Value::Number(f64::from_le_bytes(*bits))
                    };
                    values.push((number, value));
                }
                Some(Self::Values { at_ms: first, values })
            }
            3 => {
                let mut numbers = Vec::new();
                while !rest.is_empty() {
                    numbers.push(varint::take(&mut rest)?);
                }
                Some(Self::Gone { at_ms: first, numbers })
            }
            _ => None,
        }
    }
}

/// Reads every good record of a file's bytes, the head excluded.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan { good_until: HEAD.len() + 4, ..Scan::default() };
    let mut counts = std::collections::HashMap::new();
    let mut at = scan.good_until;
    while at < bytes.len() {
        let record = framed(&bytes[at..]).and_then(|payload| {
            Record::decode(payload, &mut |number| counts.get(&number).copied())
                .map(|r| (r, payload.len()))
        });
        let Some((record, length)) = record else {
            // To the next mark, or to the end.
            let next = bytes[at + 1..].windows(MARK.len()).position(|window| window == MARK);
            let skipped = next.map_or(bytes.len() - at, |next| next + 1);
            scan.damaged += skipped;
            at += skipped;
            continue;
        };
        if let Record::Series { number, is_count, .. } = &record {
            counts.insert(*number, *is_count);
        }
        scan.records.push(record);
        at += FRAME + length;
        scan.good_until = at;
    }
    scan
}

/// The payload of the record at the beginning of `bytes`, when it is whole.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.strip_prefix(&MARK)?.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    (checksum(*length, payload) == u32::from_le_bytes(*sum)).then_some(payload)
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// What a history file begins with, before its version.
pub(super) const HEAD: [u8; 8] = *b"TIDEHIST";

const MARK: [u8; 4] = *b"\xabTMR";

const FRAME: usize = MARK.len() + 8;

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(records: &[Record]) -> Vec<u8> {
        let mut bytes = [&HEAD[..], &1u32.to_le_bytes()].concat();
        records.iter().for_each(|record| record.encode(&mut bytes));
        bytes
    }

    fn sample() -> Vec<Record> {
        let series = |number, is_count, name: &str| Record::Series {
            number,
            created_ms: 1_700_000_000_000,
            is_counter: is_count,
            is_count,
            name: name.to_owned(),
        };
        let values = vec![(0, Value::Count(u64::MAX)), (300, Value::Number(-0.5))];
        vec![
            series(0, true, "a_total{x=\"é\"}"),
            series(300, false, "b"),
            Record::Values { at_ms: 1_700_000_000_000, values },
            Record::Values { at_ms: 1_700_000_010_000, values: vec![(0, Value::Count(0))] },
            Record::Gone { at_ms: 1_700_000_020_000, numbers: vec![0] },
        ]
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let bytes = file(&sample());
        let want = Scan { records: sample(), damaged: 0, good_until: bytes.len() };
        assert_eq!(scan(&bytes), want);
    }

    proptest! {
        #[test]
        fn a_cut_file_keeps_every_whole_record(cut in 12usize..200) {
            let bytes = file(&sample());
            let cut = cut.min(bytes.len());
            let found = scan(&bytes[..cut]);
            prop_assert_eq!(&found.records[..], &sample()[..found.records.len()]);
            prop_assert_eq!(found.good_until + found.damaged, cut);
        }

        #[test]
        fn a_flipped_bit_costs_the_records_that_need_it(at in 12usize..200, bit in 0u8..8) {
            let mut bytes = file(&sample());
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= 1 << bit;
            let found = scan(&bytes);
            prop_assert!(found.damaged > 0);
            prop_assert!(found.records.len() < sample().len());
            // Nothing is made up: what is found was written, in that order.
            let mut written = sample().into_iter();
            prop_assert!(found.records.iter().all(|record| written.any(|it| it == *record)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let file = [file(&sample()), bytes].concat();
            prop_assert!(scan(&file).records.starts_with(&sample()));
        }
    }
}
