//! Larger scenarios than a model can exhaust, under random schedules by shuttle.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p tidemill-memory --release --lib scenarios`
#![cfg(shuttle)]

use std::collections::HashSet;

use shuttle::sync::atomic::AtomicU32;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

use super::{Block, BlockPool, Hardening, Ordering};

/// Three threads take, exchange and give blocks while one gathers and rebuilds; every block has a
/// counter of holders that must never pass one.
fn exchange(hardening: Hardening) {
    let pool = BlockPool::builder(16)
        .blocks_max(BLOCKS)
        .chunk_bytes(64)
        .batch(2)
        .hardening(hardening)
        .build()
        .unwrap();
    let holders: Arc<Vec<AtomicU32>> = Arc::new((0..BLOCKS).map(|_| AtomicU32::new(0)).collect());
    let passed = Arc::new(Mutex::new(Vec::<Block>::new()));
    let workers: Vec<_> = (0..3)
        .map(|worker| {
            let (pool, holders, passed) = (pool.clone(), holders.clone(), passed.clone());
            thread::spawn(move || {
                let mut kept = Vec::new();
                for step in 0..12 {
                    if let Ok(block) = pool.take() {
                        let before = holders[block.index() as usize].fetch_add(1, Ordering::SeqCst);
                        assert_eq!(before, 0, "one holder");
                        kept.push(block);
                    }
                    if (step + worker) % 2 == 0 {
                        passed.lock().unwrap().extend(kept.pop());
                    } else if let Some(block) = passed.lock().unwrap().pop().or_else(|| kept.pop())
                    {
                        holders[block.index() as usize].fetch_sub(1, Ordering::SeqCst);
                        drop(block);
                    }
                }
                passed.lock().unwrap().append(&mut kept);
            })
        })
        .collect();
    let core = pool.core.clone();
    let disturber = thread::spawn(move || {
        for _ in 0..3 {
            core.gather();
            if hardening == Hardening::Full {
                core.rebuild();
            }
        }
    });
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    disturber.join().unwrap();
    passed.lock().unwrap().clear();
    assert_eq!(pool.stats().held, 0);
    let all: Vec<_> = std::iter::from_fn(|| pool.take().ok()).collect();
    let distinct: HashSet<_> = all.iter().map(Block::index).collect();
    assert_eq!((all.len(), distinct.len()), (BLOCKS, BLOCKS), "nothing was lost or doubled");
    // The pool goes first, its blocks on another thread.
    drop(pool);
    thread::spawn(move || drop(all)).join().unwrap();
}

#[test]
fn blocks_are_exchanged_gathered_and_survive_the_pool() {
    shuttle::check_random(|| exchange(Hardening::Off), 2000);
}

#[test]
fn blocks_are_exchanged_while_the_lists_are_rebuilt() {
    shuttle::check_random(|| exchange(Hardening::Full), 1000);
}

#[test]
fn rare_schedules_by_priority() {
    shuttle::check_pct(|| exchange(Hardening::Off), 1000, 3);
}

const BLOCKS: usize = 10;
