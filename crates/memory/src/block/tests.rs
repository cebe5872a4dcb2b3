//! The pool as its users see it.
#![cfg(not(any(loom, shuttle)))]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;

fn pool(blocks: usize) -> BlockPool {
    BlockPool::builder(64).blocks_max(blocks).chunk_bytes(4096).build().unwrap()
}

#[test]
fn hands_out_each_block_once_until_exhausted_and_again() {
    let pool = pool(100);
    for _ in 0..3 {
        let blocks: Vec<_> = (0..100).map(|_| pool.take().unwrap()).collect();
        let addresses: HashSet<_> = blocks.iter().map(|block| block.as_ptr()).collect();
        assert_eq!(addresses.len(), 100);
        assert_eq!(pool.take().unwrap_err(), TakeError::Exhausted);
    }
    assert_eq!(pool.stats().held, 0);
    assert_eq!(pool.stats().exhausted, 3);
}

#[test]
fn blocks_do_not_overlap_and_are_aligned() {
    let pool = BlockPool::builder(100).align(64).blocks_max(50).chunk_bytes(256).build().unwrap();
    let mut blocks: Vec<_> = (0..50).map(|_| pool.take().unwrap()).collect();
    for (value, block) in (0_u8..).zip(&mut blocks) {
        assert_eq!(block.len(), 100);
        assert!(block.as_ptr().addr().is_multiple_of(64));
        block.fill(value);
    }
    for (value, block) in (0_u8..).zip(&blocks) {
        assert!(block.iter().all(|&byte| byte == value), "block {value} is intact");
    }
}

#[track_caller]
fn check_refused(builder: BlockPoolBuilder, want: &str) {
    assert_eq!(builder.build().unwrap_err().to_string(), want);
}

#[test]
fn misuse_of_the_builder_is_named() {
    let huge = usize::MAX / 2;
    check_refused(BlockPool::builder(0), "a block needs at least one byte");
    check_refused(
        BlockPool::builder(64).align(48),
        "alignment 48 is not a power of two up to 1 GiB",
    );
    check_refused(BlockPool::builder(64).align(0), "alignment 0 is not a power of two up to 1 GiB");
    check_refused(
        BlockPool::builder(64).chunk_bytes(63),
        "a chunk of 63 bytes does not hold a block of 64 bytes (guard and alignment included)",
    );
    check_refused(BlockPool::builder(64).blocks_max(0), "a pool has 1 to 16777214 blocks, not 0");
    check_refused(BlockPool::builder(64).batch(0), "a batch has 1 to 64 blocks, not 0");
    check_refused(
        BlockPool::builder(huge).blocks_max(16),
        &format!("16 blocks of {huge} bytes exceed the address space"),
    );
    check_refused(
        BlockPool::builder(usize::MAX).blocks_max(1),
        &format!("1 blocks of {} bytes exceed the address space", usize::MAX),
    );
}

#[test]
fn a_block_given_to_another_pool_comes_back() {
    let (ours, other) = (pool(4), pool(4));
    let block = ours.take().unwrap();
    let index = block.index();
    let WrongPool(block) = other.give(block).unwrap_err();
    assert_eq!(block.index(), index);
    ours.give(block).unwrap();
    assert_eq!((ours.stats().held, other.stats().held), (0, 0));
}

#[test]
fn a_pool_may_go_before_its_blocks_and_says_so() {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let pool = BlockPool::builder(64)
        .on_incident(move |incident| sink.lock().unwrap().push(*incident))
        .build()
        .unwrap();
    let mut blocks = [pool.take().unwrap(), pool.take().unwrap()];
    drop(pool);
    assert_eq!(*told.lock().unwrap(), [Incident::Held { blocks: 2 }]);
    blocks[1].fill(7);
    assert_eq!(blocks[1][63], 7);
    let core = blocks[0].core;
    // Held by the blocks and by this thread's entry.
    // SAFETY: the blocks keep the pool's core alive here.
    unsafe { Arc::increment_strong_count(core.as_ptr()) };
    // SAFETY: takes over the count just added.
    let weak = Arc::downgrade(&unsafe { Arc::from_raw(core.as_ptr()) });
    let [first, second] = blocks;
    drop(first);
    std::thread::spawn(move || drop(second)).join().unwrap();
    let other = BlockPool::builder(64).build().unwrap();
    drop(other.take().unwrap()); // lets go of closed pools
    assert!(weak.upgrade().is_none(), "nothing of the pool is left");
}

#[test]
fn an_ending_thread_gives_its_magazine_back() {
    let pool = BlockPool::builder(64).blocks_max(64).batch(16).build().unwrap();
    let other = pool.clone();
    std::thread::spawn(move || {
        let blocks: Vec<_> = (0..64).map(|_| other.take().unwrap()).collect();
        drop(blocks);
        assert_eq!(other.stats().parked, 32);
    })
    .join()
    .unwrap();
    let stats = pool.stats();
    assert_eq!((stats.parked, stats.held, stats.threads), (0, 0, 0));
    let blocks: Vec<_> = (0..64).map(|_| pool.take().unwrap()).collect();
    assert_eq!(blocks.len(), 64);
}

#[test]
fn blocks_parked_by_an_idle_thread_are_gathered_before_exhaustion_is_reported() {
    let pool = BlockPool::builder(64).blocks_max(64).batch(32).build().unwrap();
    let (parked_sender, parked) = std::sync::mpsc::sync_channel(0);
    let (end_sender, end) = std::sync::mpsc::sync_channel::<()>(0);
    let other = pool.clone();
    let idle = std::thread::spawn(move || {
        let blocks: Vec<_> = (0..64).map(|_| other.take().unwrap()).collect();
        drop(blocks);
        parked_sender.send(()).unwrap();
        end.recv().unwrap();
        // Its magazine still works after the seizure.
        drop(other.take().unwrap());
    });
    parked.recv().unwrap();
    assert_eq!(pool.stats().parked, 64);
    let mut blocks: Vec<_> = (0..64).map(|_| pool.take().unwrap()).collect();
    assert_eq!(pool.take().unwrap_err(), TakeError::Exhausted);
    drop(blocks.pop());
    drop(blocks);
    end_sender.send(()).unwrap();
    idle.join().unwrap();
}

#[test]
fn a_producer_and_a_consumer_do_not_pile_up_blocks() {
    let pool = BlockPool::builder(64).blocks_max(1 << 16).batch(8).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Block>(4);
    let consumer = std::thread::spawn(move || receiver.into_iter().for_each(drop));
    for _ in 0..if cfg!(miri) { 200 } else { 20_000 } {
        sender.send(pool.take().unwrap()).unwrap();
    }
    drop(sender);
    consumer.join().unwrap();
    // 4 queued, one in each hand, two batches on each side, and one batch on the way.
    assert!(pool.stats().used <= 4 + 2 + 4 * 8 + 8, "{} blocks used", pool.stats().used);
}

#[test]
fn real_time_mode_never_grows_and_names_the_missing_right() {
    let pool =
        BlockPool::builder(4096).blocks_max(8).real_time(PageLock::IfPermitted).build().unwrap();
    assert_eq!(pool.stats().committed_bytes, 8 * 4096);
    let blocks: Vec<_> = (0..8).map(|_| pool.take().unwrap()).collect();
    assert_eq!(pool.take().unwrap_err(), TakeError::Exhausted);
    assert_eq!(pool.stats().misses, 0, "all pages were there before");
    drop(blocks);
    if let Some(error) = pool.lock_error() {
        assert!(error.contains("CAP_IPC_LOCK"), "{error}");
    }
}

#[test]
fn raw_pointers_are_checked() {
    let pool = pool(4);
    let other = BlockPool::builder(64).build().unwrap();
    let address = pool.take().unwrap().into_raw();
    let inside = address.map_addr(|at| at.checked_add(8).unwrap());
    let give = |pool: &BlockPool, address| {
        // SAFETY: the pointer came from `into_raw` and is used only here.
        unsafe { pool.give_raw(address) }
    };
    assert_eq!(give(&other, address), Err(GiveError::Foreign));
    assert_eq!(give(&pool, inside), Err(GiveError::Interior));
    assert_eq!(pool.stats().held, 1);
    assert_eq!(give(&pool, address), Ok(()));
    assert_eq!(give(&pool, address), Err(GiveError::DoubleFree));
    assert_eq!(pool.stats().held, 0);
}

#[test]
fn outstanding_says_since_when_and_from_where() {
    let start = crate::tests::now();
    let pool = BlockPool::builder(64).build().unwrap();
    pool.tick(start);
    let first = pool.take().unwrap();
    pool.tick(start + Duration::from_secs(10));
    let second = pool.take().unwrap();
    let held = pool.outstanding(start + Duration::from_secs(12));
    let got: Vec<_> = held.iter().map(|held| (held.block, held.age.unwrap().as_secs())).collect();
    assert_eq!(got, [(first.index(), 12), (second.index(), 2)]);
    assert_eq!(held[0].site, None);

    let pool = BlockPool::builder(64).record_call_sites(true).build().unwrap();
    let leaked = pool.take().unwrap();
    let line = line!() - 1;
    drop(pool.take().unwrap());
    let held = pool.outstanding(crate::tests::now() + Duration::from_secs(60));
    assert_eq!(held.len(), 1);
    let site = held[0].site.unwrap();
    assert_eq!((site.line(), site.file().ends_with("tests.rs")), (line, true));
    assert!(held[0].age.unwrap() >= Duration::from_secs(59));
    drop(leaked);
    assert!(pool.outstanding(start).is_empty());
}

#[cfg(not(miri))]
#[test]
fn a_forked_child_is_turned_away_and_the_parent_is_not_touched() {
    let pool = pool(8);
    let held = pool.take().unwrap();
    // SAFETY: the child only uses memory, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(pool.take(), Err(TakeError::Forked));
        drop(held);
        drop(pool);
        // A pool made in the child works.
        let own = BlockPool::builder(64).build().unwrap();
        let works = own.take().is_ok();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(i32::from(!(refused && works))) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
    assert_eq!(pool.stats().held, 1);
    drop(held);
    assert!(pool.take().is_ok());
}

#[test]
fn many_threads_never_share_a_block() {
    let pool = BlockPool::builder(64).blocks_max(256).batch(4).build().unwrap();
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    let exchange = crossing(&pool, 4, rounds);
    assert_eq!(exchange, 4 * rounds);
    assert_eq!(pool.stats().held, 0);
}

/// Threads take blocks, stamp them, pass them round and check the stamp; returns how many were
/// taken.
fn crossing(pool: &BlockPool, threads: usize, rounds: usize) -> usize {
    type Passed = (u64, Block);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..threads).map(|_| std::sync::mpsc::sync_channel::<Passed>(8)).unzip();
    let workers: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(me, receiver)| {
            let pool = pool.clone();
            let next = senders[(me + 1) % threads].clone();
            std::thread::spawn(move || {
                let mut taken = 0;
                let mut kept = Vec::new();
                while taken < rounds {
                    let stamp = (me * rounds + taken) as u64;
                    let Ok(mut block) = pool.take() else {
                        kept.clear();
                        std::thread::yield_now();
                        continue;
                    };
                    taken += 1;
                    block[..8].copy_from_slice(&stamp.to_ne_bytes());
                    match taken % 3 {
                        0 => kept.push(block),
                        // A full neighbour keeps nothing: the block is dropped here.
                        _ => drop(next.try_send((stamp, block))),
                    }
                    if kept.len() > 16 {
                        kept.clear();
                    }
                    while let Ok((stamp, block)) = receiver.try_recv() {
                        assert_eq!(block[..8], stamp.to_ne_bytes(), "nobody else wrote");
                    }
                }
                taken
            })
        })
        .collect();
    drop(senders);
    workers.into_iter().map(|worker| worker.join().unwrap()).sum()
}
