//! Pools against the simplest thing that could be right: a map from handle to content.
#![cfg(not(miri))]

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use proptest::prelude::*;
use tidemill_memory::{BlockPool, BufferPool, Hardening, TakeError};

#[derive(Debug, Clone)]
enum Step {
    Take,
    Give(prop::sample::Index),
    Write(prop::sample::Index, u8),
    OnOtherThread(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Take),
        2 => any::<prop::sample::Index>().prop_map(Step::Give),
        2 => any::<(prop::sample::Index, u8)>().prop_map(|(at, value)| Step::Write(at, value)),
        1 => any::<prop::sample::Index>().prop_map(Step::OnOtherThread),
    ]
}

fn hardening() -> impl Strategy<Value = Hardening> {
    prop_oneof![Just(Hardening::Off), Just(Hardening::Canary), Just(Hardening::Full)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn blocks_keep_what_was_written_and_are_never_held_twice(
        block_bytes in 1_usize..300,
        align in (0_u32..9).prop_map(|bits| 1_usize << bits),
        blocks_max in 1_usize..40,
        batch in 1_u32..8,
        hardening in hardening(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let pool = BlockPool::builder(block_bytes)
            .align(align)
            .blocks_max(blocks_max)
            .chunk_bytes(1024)
            .batch(batch)
            .hardening(hardening)
            .build()
            .unwrap();
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Take => match pool.take() {
                    Ok(mut block) => {
                        prop_assert!(block.as_ptr().addr().is_multiple_of(align));
                        block.fill(0);
                        held.push((block, 0));
                    }
                    Err(error) => {
                        prop_assert_eq!(error, TakeError::Exhausted);
                        prop_assert_eq!(held.len(), blocks_max);
                    }
                },
                Step::Give(at) if !held.is_empty() => {
                    pool.give(held.swap_remove(at.index(held.len())).0).unwrap();
                }
                Step::Write(at, value) if !held.is_empty() => {
                    let at = at.index(held.len());
                    held[at].0.fill(value);
                    held[at].1 = value;
                }
                Step::OnOtherThread(at) if !held.is_empty() => {
                    let (block, _) = held.swap_remove(at.index(held.len()));
                    std::thread::spawn(move || drop(block)).join().unwrap();
                }
                _ => {}
            }
            let places: HashSet<_> = held.iter().map(|(block, _)| block.as_ptr()).collect();
            prop_assert_eq!(places.len(), held.len());
            for (block, value) in &held {
                prop_assert!(block.len() == block_bytes && block.iter().all(|byte| byte == value));
            }
            prop_assert_eq!(pool.stats().held, held.len() as u64);
            prop_assert_eq!(pool.stats().quarantined, 0);
        }
    }

    #[test]
    fn frozen_parts_read_like_copies(
        content in prop::collection::vec(any::<u8>(), 0..5000),
        cuts in prop::collection::vec(any::<[prop::sample::Index; 2]>(), 0..20),
    ) {
        let pool = BufferPool::builder().build().unwrap();
        let mut buffer = pool.take(content.len()).unwrap();
        buffer.extend_from_slice(&content).unwrap();
        let view = buffer.share();
        let mut parts = BTreeMap::new();
        for (number, [a, b]) in cuts.into_iter().enumerate() {
            let (a, b) = (a.index(content.len() + 1), b.index(content.len() + 1));
            let range = a.min(b)..a.max(b);
            let part = view.slice(range.clone());
            parts.insert(number, (Bytes::from(part.clone()), part, range));
        }
        drop(view);
        for (bytes, part, range) in parts.values() {
            prop_assert_eq!(&bytes[..], &content[range.clone()]);
            prop_assert_eq!(&part[..], &content[range.clone()]);
        }
        parts.clear();
        prop_assert_eq!(pool.stats().in_use_bytes(), 0);
    }
}
