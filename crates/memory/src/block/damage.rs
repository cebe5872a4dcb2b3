//! Damage done on purpose, and what the pool makes of it. The deeds are undefined behaviour in
//! Miri's eyes.
#![cfg(not(any(loom, miri, shuttle)))]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::*;

type Told = Arc<Mutex<Vec<Incident>>>;

fn pool(level: Hardening, blocks: usize) -> (BlockPool, Told) {
    let told = Told::default();
    let sink = Arc::clone(&told);
    let pool = BlockPool::builder(64)
        .blocks_max(blocks)
        .batch(4)
        .hardening(level)
        .on_incident(move |incident| sink.lock().unwrap().push(*incident))
        .build()
        .unwrap();
    (pool, told)
}

/// Takes all there is; panics when live memory is handed out twice.
#[track_caller]
fn take_all(pool: &BlockPool) -> Vec<Block> {
    let blocks: Vec<_> = std::iter::from_fn(|| pool.take().ok()).collect();
    let places: HashSet<_> = blocks.iter().map(|block| block.as_ptr()).collect();
    assert_eq!(places.len(), blocks.len(), "no block is held twice");
    blocks
}

#[track_caller]
fn check_quarantine(
    level: Hardening,
    damage: impl Fn(&BlockPool) -> u32,
    want: fn(u32) -> Incident,
) {
    let (pool, told) = pool(level, 16);
    let block = damage(&pool);
    let blocks = take_all(&pool);
    assert_eq!(*told.lock().unwrap(), [want(block)]);
    assert_eq!(blocks.len(), 15, "the others go on serving");
    assert!(blocks.iter().all(|sound| sound.index() != block));
    assert_eq!((pool.stats().quarantined, pool.stats().held), (1, 15));
}

fn write_into_freed(pool: &BlockPool) -> u32 {
    let mut block = pool.take().unwrap();
    let (index, address) = (block.index(), &raw mut block[63]);
    drop(block);
    // SAFETY: the pool's memory is still mapped and nobody reads it meanwhile: the deed under test.
    unsafe { address.write_volatile(0) };
    index
}

fn write_behind(pool: &BlockPool) -> u32 {
    let block = pool.take().unwrap();
    let behind = block.address().as_ptr().wrapping_add(64);
    // SAFETY: the guard behind the block is mapped memory of the pool: the deed under test.
    unsafe { behind.write_volatile(0) };
    block.index()
}

#[test]
fn a_write_after_free_is_found_and_the_block_isolated() {
    for level in [Hardening::Canary, Hardening::Full] {
        check_quarantine(level, write_into_freed, |block| Incident::UseAfterFree { block });
    }
}

#[test]
fn an_overrun_is_found_and_the_block_isolated() {
    for level in [Hardening::Canary, Hardening::Full] {
        check_quarantine(level, write_behind, |block| Incident::Guard { block });
    }
}

#[test]
fn double_frees_and_foreign_pointers_are_reported() {
    let (pool, told) = pool(Hardening::Full, 16);
    let block = pool.take().unwrap();
    let index = block.index();
    let address = block.into_raw();
    let give = |address| {
        // SAFETY: the pointer came from `into_raw`, and the block is not used.
        unsafe { pool.give_raw(address) }
    };
    assert_eq!(give(address), Ok(()));
    assert_eq!(give(address), Err(GiveError::DoubleFree));
    assert_eq!(give(NonNull::from(&mut [0_u8; 8]).cast()), Err(GiveError::Foreign));
    let want = [Incident::DoubleFree { block: index }, Incident::Foreign];
    assert_eq!(*told.lock().unwrap(), want);
    assert_eq!(take_all(&pool).len(), 16);
}

/// Fills the lists, lets `spoil` write over a link word, and takes everything again.
#[track_caller]
fn check_rebuild(spoil: impl Fn(&BlockPool, u32)) {
    let (pool, told) = pool(Hardening::Full, 64);
    let mut blocks = take_all(&pool);
    let kept = blocks.split_off(60);
    blocks.into_iter().for_each(drop);
    // Blocks 0 to 59 are free; the first went to the shared list, the last are in the magazine.
    (0..8).for_each(|block| spoil(&pool, block));
    let again = take_all(&pool);
    assert_eq!(again.len(), 60, "every free block was found again");
    let held: HashSet<_> = kept.iter().chain(&again).map(Block::index).collect();
    assert_eq!(held.len(), 64, "what was held all the time was not handed out");
    let told = told.lock().unwrap();
    assert!(matches!(told[..], [Incident::Rebuilt { .. }, ..]), "{told:?}");
    assert_eq!(pool.stats().quarantined, 0);
}

#[test]
fn damaged_links_make_the_lists_be_rebuilt() {
    for value in [0, 7, u32::MAX, 0x4141_4141] {
        check_rebuild(|pool, block| {
            let slot = pool.core.slots.get(block);
            slot.next.store(value, Ordering::Relaxed);
        });
        check_rebuild(|pool, block| {
            let slot = pool.core.slots.get(block);
            slot.below.store(value, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_list_that_leads_to_a_held_block_is_rebuilt_and_hands_it_out_once() {
    let (pool, told) = pool(Hardening::Full, 8);
    let kept = pool.take().unwrap();
    let other = pool.take().unwrap();
    drop(other);
    // The same block listed a second time, with a sound link.
    let mut chain = slots::Chain::EMPTY;
    chain.push(&pool.core.slots, kept.index());
    pool.core.publish(chain);
    let rest = take_all(&pool);
    assert_eq!(rest.len(), 7);
    assert!(rest.iter().all(|block| block.index() != kept.index()));
    assert!(matches!(told.lock().unwrap()[..], [Incident::Rebuilt { .. }, ..]));
}

#[test]
fn the_hook_may_use_the_pool() {
    let slot: Arc<Mutex<Option<BlockPool>>> = Arc::default();
    let inner = Arc::clone(&slot);
    let pool = BlockPool::builder(64)
        .hardening(Hardening::Canary)
        .on_incident(move |_| {
            let pool = inner.lock().unwrap().clone();
            drop(pool.map(|pool| pool.take().unwrap()));
        })
        .build()
        .unwrap();
    *slot.lock().unwrap() = Some(pool.clone());
    write_behind(&pool);
    assert_eq!(pool.stats().quarantined, 1);
    slot.lock().unwrap().take();
}
