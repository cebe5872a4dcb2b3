//! A text that several actors write: whole versions, merged when they are concurrent.
//!
//! State: the versions that no later one had seen. One of them is the text. Of several, the text is
//! their three-way merge, oldest first, on the newest version that all their authors had seen. So
//! the text is a function of the set of operations, and the next write makes it one version again.
//!
//! | concurrent versions | the text | a conflict |
//! |---|---|---|
//! | in different places | holds all of them | no |
//! | in the same place | holds the winner's lines | yes, with every version whole |
//!
//! Given up against a text CRDT: merging within a line. Gained: a state of one text, a merge that
//! people know from git, no format but plain text.

use crate::model::OperationId;

use super::clock::{HybridTime, VectorClock};
use super::merge::merge;
use super::register::{Entry, Stamp};
use super::wire::{Decoder, Encoder, WireError};

/// Looks up earlier versions of a text in the log.
pub trait Bases {
    /// Why a look-up failed.
    type Error;

    /// Returns the newest version among the operations that `known` covers: the one with the most
    /// operations before it, then the greater identity. `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    fn newest_within(&self, known: &VectorClock) -> Result<Option<String>, Self::Error>;
}

/// The bases of a text that has no earlier version.
#[derive(Debug, Clone, Copy)]
pub struct NoBases;

/// The concurrent versions of a text, ordered by time, then identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergedText {
    heads: Vec<Head>,
    kept: Vec<Entry<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    entry: Entry<String>,
    /// What its author had applied, the version itself too.
    known: VectorClock,
}

impl Bases for NoBases {
    type Error = std::convert::Infallible;

    fn newest_within(&self, _: &VectorClock) -> Result<Option<String>, Self::Error> {
        Ok(None)
    }
}

impl MergedText {
    /// Writes a whole version over those that were seen.
    pub fn write(&mut self, stamp: Stamp<'_>, text: String) {
        self.heads.retain(|head| !stamp.covers(head.entry.id));
        self.kept.retain(|entry| !stamp.seen.covers(entry.id));
        let mut known = stamp.seen.clone();
        known.advance(stamp.id.actor, stamp.id.sequence);
        let entry = Entry { id: stamp.id, time: stamp.time, is_kept: false, value: text };
        let rank = |head: &Head| (head.entry.time, head.entry.id);
        let place = self.heads.partition_point(|head| rank(head) < (stamp.time, stamp.id));
        self.heads.insert(place, Head { entry, known });
    }

    /// Keeps a version that the same operation overwrote.
    pub fn keep(&mut self, stamp: Stamp<'_>, text: String) {
        let place = self.kept.partition_point(|kept| (kept.time, kept.id) < (stamp.time, stamp.id));
        let entry = Entry { id: stamp.id, time: stamp.time, is_kept: true, value: text };
        self.kept.insert(place, entry);
    }

    /// Returns the text as it stands, and every version if something was lost in merging them.
    ///
    /// # Errors
    ///
    /// When an earlier version cannot be looked up; that is needed only of concurrent versions.
    pub fn view<B: Bases>(&self, bases: &B) -> Result<(String, Vec<&Entry<String>>), B::Error> {
        let Some((first, rest)) = self.heads.split_first() else {
            return Ok((String::new(), Vec::new()));
        };
        let mut text = first.entry.value.clone();
        let mut is_lossy = false;
        if !rest.is_empty() {
            let common = rest.iter().fold(first.known.clone(), |all, head| all.meet(&head.known));
            let base = bases.newest_within(&common)?.unwrap_or_default();
            for head in rest {
                let merged = merge(&base, &text, &head.entry.value);
                is_lossy |= merged.is_lossy;
                text = merged.text;
            }
        }
        is_lossy |= self.kept.iter().any(|kept| kept.value != text);
        Ok((text, if is_lossy { self.versions() } else { Vec::new() }))
    }

    /// Returns the operation that wrote the winning version.
    pub fn winner(&self) -> Option<&Entry<String>> {
        self.heads.last().map(|head| &head.entry)
    }

    /// Returns true when there is one version at most.
    pub fn is_settled(&self) -> bool {
        self.heads.len() <= 1 && self.kept.is_empty()
    }

    /// Returns every version, the winner first.
    fn versions(&self) -> Vec<&Entry<String>> {
        let heads = self.heads.iter().rev().map(|head| &head.entry);
        heads.chain(self.kept.iter().rev()).collect()
    }

    /// Writes the state; of a single version without its text, which stands beside the state.
    pub(super) fn encode(&self, encoder: &mut Encoder) {
        let is_single = self.heads.len() == 1;
        encoder.count(self.heads.len());
        for head in &self.heads {
            encoder.operation_id(head.entry.id);
            encoder.number(head.entry.time.to_bits());
            encoder.clock(&head.known);
            if !is_single {
                encoder.text(&head.entry.value);
            }
        }
        encoder.count(self.kept.len());
        for kept in &self.kept {
            encoder.operation_id(kept.id);
            encoder.number(kept.time.to_bits());
            encoder.text(&kept.value);
        }
    }

    /// Reads a state; `text` is what stands beside it.
    pub(super) fn decode(decoder: &mut Decoder<'_>, text: &str) -> Result<Self, WireError> {
        let head_count = decoder.count(19)?;
        let mut heads = Vec::with_capacity(head_count);
        for _ in 0..head_count {
            let (id, time) = decode_stamp(decoder)?;
            let known = decoder.clock()?;
            let value = if head_count == 1 { text.to_owned() } else { decoder.text()? };
            heads.push(Head { entry: Entry { id, time, is_kept: false, value }, known });
        }
        let kept_count = decoder.count(19)?;
        let mut kept = Vec::with_capacity(kept_count);
        for _ in 0..kept_count {
            let (id, time) = decode_stamp(decoder)?;
            kept.push(Entry { id, time, is_kept: true, value: decoder.text()? });
        }
        Ok(Self { heads, kept })
    }
}

fn decode_stamp(decoder: &mut Decoder<'_>) -> Result<(OperationId, HybridTime), WireError> {
    Ok((decoder.operation_id()?, HybridTime::from_bits(decoder.number()?)))
}
