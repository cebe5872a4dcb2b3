//! Hybrid logical time and vector clocks.
//!
//! A [`HybridTime`] is 48 bits of wall-clock milliseconds and a 16-bit counter. [`HybridClock`]
//! gives times that rise and that exceed everything it was shown, except times that lie more than
//! [`DRIFT_MS_MAX`] ahead of the wall clock: a node with a wrong clock may win its own conflicts,
//! but it does not carry everybody's clock away. Causality does not rest on these times.
//! (Kulkarni et al., "Logical Physical Clocks", 2014.)

use std::collections::BTreeMap;

use crate::model::{ActorId, OperationId, Timestamp};

use super::wire::{Decoder, Encoder, WireError};

/// A point in hybrid time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HybridTime(u64);

/// Gives rising hybrid times.
#[derive(Debug, Clone, Default)]
pub struct HybridClock {
    last: HybridTime,
}

/// For each actor, how many of its operations are known. Absent means none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VectorClock {
    sequences: BTreeMap<ActorId, u64>,
}

impl HybridTime {
    /// Takes a time apart that [`to_bits`](Self::to_bits) put together.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the time as one number whose order is the order of times.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the wall-clock part.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp::from_unix_ms(self.0 >> COUNTER_BITS)
    }

    const fn at(unix_ms: u64) -> Self {
        Self(unix_ms << COUNTER_BITS)
    }
}

impl HybridClock {
    /// Returns a time for an operation made now: above every time given or accepted before.
    pub fn tick(&mut self, now: Timestamp) -> HybridTime {
        let next = HybridTime(self.last.0.saturating_add(1));
        self.last = next.max(HybridTime::at(now.unix_ms()));
        self.last
    }

    /// Takes notice of another actor's time, as far as it is not ahead by more than the drift.
    pub fn observe(&mut self, time: HybridTime, now: Timestamp) {
        let ceiling = HybridTime::at(now.unix_ms() + DRIFT_MS_MAX);
        self.last = self.last.max(time.min(ceiling));
    }

    /// Goes on from a time of an earlier run.
    pub fn resume(&mut self, last: HybridTime) {
        self.last = self.last.max(last);
    }
}

impl VectorClock {
    /// Returns how many operations of the actor are known.
    pub fn get(&self, actor: ActorId) -> u64 {
        self.sequences.get(&actor).copied().unwrap_or(0)
    }

    /// Returns true when the operation is known.
    pub fn covers(&self, operation: OperationId) -> bool {
        operation.sequence <= self.get(operation.actor)
    }

    /// Returns true when everything that `other` knows is known.
    pub fn covers_all(&self, other: &Self) -> bool {
        other.iter().all(|(actor, sequence)| sequence <= self.get(actor))
    }

    /// Notes that the actor's operations up to `sequence` are known; never goes back.
    pub fn advance(&mut self, actor: ActorId, sequence: u64) {
        if sequence > 0 {
            let known = self.sequences.entry(actor).or_default();
            *known = sequence.max(*known);
        }
    }

    /// Adds everything that `other` knows.
    pub fn join(&mut self, other: &Self) {
        other.iter().for_each(|(actor, sequence)| self.advance(actor, sequence));
    }

    /// Returns what both know.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (actor, sequence) in self.iter() {
            both.advance(actor, sequence.min(other.get(actor)));
        }
        both
    }

    /// Returns the actors and how many of their operations are known, in the order of actors.
    pub fn iter(&self) -> impl Iterator<Item = (ActorId, u64)> {
        self.sequences.iter().map(|(actor, sequence)| (*actor, *sequence))
    }

    /// Returns the stable bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.clock(self);
        encoder.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// When the bytes are no clock.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut decoder = Decoder::new(bytes);
        let clock = decoder.clock()?;
        decoder.end()?;
        Ok(clock)
    }

    /// Returns how many operations are known of all actors.
    pub fn total(&self) -> u64 {
        self.sequences.values().sum()
    }
}

impl FromIterator<(ActorId, u64)> for VectorClock {
    fn from_iter<I: IntoIterator<Item = (ActorId, u64)>>(entries: I) -> Self {
        let mut clock = Self::default();
        entries.into_iter().for_each(|(actor, sequence)| clock.advance(actor, sequence));
        clock
    }
}

/// How far ahead of the wall clock another actor's time may pull ours: five minutes.
pub const DRIFT_MS_MAX: u64 = 300_000;

const COUNTER_BITS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(unix_ms)
    }

    #[test]
    fn times_rise_when_the_wall_clock_goes_back() {
        let mut clock = HybridClock::default();
        let first = clock.tick(at(1_000));
        let second = clock.tick(at(500));
        assert!(second > first);
        assert_eq!(second.timestamp(), at(1_000));
    }

    #[test]
    fn a_wrong_clock_pulls_by_the_drift_at_most() {
        let mut clock = HybridClock::default();
        clock.observe(HybridTime::at(10_000_000_000), at(1_000));
        assert_eq!(clock.tick(at(1_000)).timestamp(), at(1_000 + DRIFT_MS_MAX));
    }

    #[test]
    fn clocks_meet_and_join() {
        let (a, b) = (ActorId::from_bytes([1; 16]), ActorId::from_bytes([2; 16]));
        let left = VectorClock::from_iter([(a, 3), (b, 1)]);
        let right = VectorClock::from_iter([(a, 2)]);
        assert_eq!(left.meet(&right), right);
        assert!(left.covers_all(&right) && !right.covers_all(&left));
        assert!(!right.covers(OperationId { actor: b, sequence: 1 }));
    }
}
