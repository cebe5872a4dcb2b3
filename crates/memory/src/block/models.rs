//! Models of the lock-free parts, run by loom under every interleaving; and the textbook forms that
//! the same models must reject.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p tidemill-memory --release --lib models`
#![cfg(loom)]

mod bad;

use std::sync::atomic as std_atomic;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::core::Core;
use super::slots::Slots;
use super::stack::Stack;
use super::{BlockPool, TakeError};

/// A free list as the models see it.
trait FreeList: Send + Sync + 'static {
    fn push(&self, block: u32);
    fn pop(&self) -> Option<u32>;
}

/// The list in use, one block to a batch.
struct Ours {
    slots: Slots,
    stack: Stack,
}

impl Ours {
    fn new(blocks: u32) -> Self {
        let list = Self { slots: Slots::new(blocks, 0).unwrap(), stack: Stack::new() };
        (0..blocks).rev().for_each(|block| list.push(block));
        list
    }
}

impl FreeList for Ours {
    fn push(&self, block: u32) {
        self.stack.push(&self.slots, self.slots.chain([block].into_iter()));
    }

    fn pop(&self) -> Option<u32> {
        self.stack.pop(&self.slots).unwrap().map(|(batch, _)| batch.head)
    }
}

/// The users' bytes: writing to a block that somebody else holds is a race that loom reports.
struct Memory(Vec<UnsafeCell<u32>>);

impl Memory {
    fn new(blocks: u32) -> Arc<Self> {
        Arc::new(Self((0..blocks).map(UnsafeCell::new).collect()))
    }

    fn write(&self, block: u32, value: u32) {
        // SAFETY: loom checks that nobody else is here.
        self.0[block as usize].with_mut(|cell| unsafe { *cell = value });
    }
}

impl Memory {
    fn read(&self, block: u32) -> u32 {
        // SAFETY: loom checks that nobody writes here.
        self.0[block as usize].with(|cell| unsafe { *cell })
    }
}

/// One thread takes two and gives back the first, while another takes one: the classic ABA.
fn model_aba<L: FreeList>(make: impl Fn() -> L + Send + Sync + 'static) {
    loom::model(move || {
        let list = Arc::new(make());
        let memory = Memory::new(3);
        let other = thread::spawn({
            let (list, memory) = (Arc::clone(&list), Arc::clone(&memory));
            move || {
                let first = list.pop();
                let second = list.pop();
                if let Some(block) = first {
                    memory.write(block, 1);
                    list.push(block);
                }
                if let Some(block) = second {
                    memory.write(block, 1);
                }
                second
            }
        });
        let mine: Vec<_> = std::iter::from_fn(|| {
            let block = list.pop()?;
            memory.write(block, 2);
            Some(block)
        })
        .take(2)
        .collect();
        let theirs = other.join().unwrap();
        let mut seen: Vec<_> = mine.into_iter().chain(theirs).collect();
        seen.extend(std::iter::from_fn(|| list.pop()));
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2], "each block is in one place");
    });
}

#[test]
fn the_list_survives_aba() {
    model_aba(|| Ours::new(3));
}

#[test]
#[should_panic(expected = "each block is in one place")]
fn a_list_without_generations_is_rejected() {
    model_aba(|| bad::NoGeneration::new(3));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_list_with_links_in_the_blocks_is_rejected() {
    model_aba(|| bad::LinksInside::new(3));
}

#[test]
fn batches_move_whole_and_depth_is_exact() {
    loom::model(|| {
        let list = Arc::new(Ours { slots: Slots::new(4, 0).unwrap(), stack: Stack::new() });
        let other = thread::spawn({
            let list = Arc::clone(&list);
            move || {
                let batch = list.slots.chain([0, 1].into_iter());
                list.stack.push(&list.slots, batch);
                list.stack.pop(&list.slots).unwrap()
            }
        });
        let batch = list.slots.chain([2, 3].into_iter());
        list.stack.push(&list.slots, batch);
        let mine = list.stack.pop(&list.slots).unwrap();
        let theirs = other.join().unwrap();
        let mut blocks = Vec::new();
        for (mut batch, depth) in [mine, theirs].into_iter().flatten() {
            assert!(depth <= 1);
            while let Some(block) = batch.pop(&list.slots).unwrap() {
                blocks.push(block);
            }
        }
        blocks.sort_unstable();
        assert_eq!(blocks, [0, 1, 2, 3]);
        assert_eq!(list.stack.depth(&list.slots), 0);
    });
}

/// Runs a model that has more steps than can all be interleaved: up to two preemptions, which find
/// almost every known concurrency bug (Musuvathi and Qadeer, PLDI 2007).
fn model_bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn pool(blocks: usize, batch: u32) -> BlockPool {
    BlockPool::builder(16).blocks_max(blocks).chunk_bytes(16).batch(batch).build().unwrap()
}

fn core_of(pool: &BlockPool) -> std::sync::Arc<Core> {
    std::sync::Arc::clone(&pool.core)
}

#[test]
fn growing_maps_each_chunk_once() {
    model_bounded(|| {
        let pool = pool(2, 1);
        let core = core_of(&pool);
        let other = thread::spawn({
            let core = core_of(&pool);
            move || core.grow()
        });
        let mine = core.grow();
        let theirs = other.join().unwrap();
        assert_eq!((mine, theirs), (Ok(()), Ok(())));
        // The second grower saw the first one's chunk, still uncarved.
        assert_eq!(core.census().committed, 1);
    });
}

#[test]
fn two_threads_carve_different_blocks() {
    model_bounded(|| {
        let pool = pool(2, 1);
        let other = thread::spawn({
            let pool = pool.clone();
            move || pool.take().map(|block| block.into_raw().addr())
        });
        let mine = pool.take().map(|block| block.into_raw().addr());
        let theirs = other.join().unwrap();
        assert_ne!(mine.unwrap(), theirs.unwrap());
        assert_eq!(pool.take().unwrap_err(), TakeError::Exhausted);
        assert_eq!(pool.stats().held, 2);
    });
}

#[test]
fn seizing_excludes_the_owner() {
    model_bounded(|| {
        let pool = pool(1, 1);
        let owner = thread::spawn({
            let pool = pool.clone();
            move || {
                // Loom reports a race if the gathering below is inside the same magazine.
                drop(pool.take().unwrap());
                drop(pool.take().unwrap());
            }
        });
        pool.core.gather();
        owner.join().unwrap();
        drop(pool.take().unwrap());
        assert_eq!(pool.stats().held, 0);
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn seizing_without_fences_is_rejected() {
    loom::model(|| bad::seize_without_fences());
}

#[test]
fn an_ending_thread_hands_its_magazine_over() {
    model_bounded(|| {
        let pool = pool(2, 1);
        let other = thread::spawn({
            let pool = pool.clone();
            move || {
                let blocks = [pool.take().unwrap(), pool.take().unwrap()];
                drop(blocks);
            }
        });
        // In a model, joining does not wait for the thread's locals: the hand-over runs meanwhile.
        other.join().unwrap();
        let blocks = [pool.take().unwrap(), pool.take().unwrap()];
        assert_ne!(blocks[0].index(), blocks[1].index());
    });
}

#[test]
fn a_block_given_on_another_thread_comes_back() {
    model_bounded(|| {
        let pool = pool(1, 1);
        let block = pool.take().unwrap();
        let other = thread::spawn(move || drop(block));
        let early = pool.take();
        other.join().unwrap();
        drop(early);
        drop(pool.take().unwrap());
        assert_eq!(pool.stats().held, 0);
    });
}

#[test]
fn closing_while_blocks_are_given_releases_the_memory_once() {
    static LIVE: std_atomic::AtomicI64 = std_atomic::AtomicI64::new(0);
    model_bounded(|| {
        LIVE.fetch_add(1, std_atomic::Ordering::SeqCst);
        let witness = Witness;
        let pool = BlockPool::builder(16)
            .blocks_max(2)
            .chunk_bytes(32)
            .batch(1)
            .on_incident(move |_| {
                let _keep = &witness;
            })
            .build()
            .unwrap();
        let core = core_of(&pool);
        let blocks = [pool.take().unwrap(), pool.take().unwrap()];
        let other = thread::spawn(move || drop(blocks));
        drop(pool);
        other.join().unwrap();
        assert!(core.is_released(), "the last block took the memory with it");
    });
    assert_eq!(LIVE.load(std_atomic::Ordering::SeqCst), 0, "no core leaked or died twice");

    struct Witness;
    impl Drop for Witness {
        fn drop(&mut self) {
            LIVE.fetch_sub(1, std_atomic::Ordering::SeqCst);
        }
    }
}

#[test]
fn a_rebuild_lists_each_free_block_once() {
    model_bounded(|| {
        let pool = BlockPool::builder(16)
            .blocks_max(2)
            .chunk_bytes(64)
            .batch(1)
            .hardening(super::Hardening::Full)
            .build()
            .unwrap();
        drop([pool.take().unwrap(), pool.take().unwrap()]);
        let other = thread::spawn({
            let core = core_of(&pool);
            move || core.rebuild()
        });
        let first = pool.take().unwrap();
        other.join().unwrap();
        let second = pool.take().unwrap();
        assert_ne!(first.index(), second.index());
        assert_eq!(pool.take().unwrap_err(), TakeError::Exhausted);
        assert_eq!(pool.stats().quarantined, 0);
    });
}

#[test]
fn the_last_view_gives_the_block_back() {
    model_bounded(|| {
        let pool = crate::BufferPool::builder().classes(&[64]).class_bytes_max(64).build().unwrap();
        // Stands for the buffer's bytes, which loom does not see.
        let bytes = Memory::new(1);
        let view = pool.take(1).unwrap().share();
        let other = thread::spawn({
            let (view, bytes) = (view.clone(), Arc::clone(&bytes));
            move || {
                bytes.read(0);
                drop(view);
            }
        });
        bytes.read(0);
        drop(view);
        // Whoever has the buffer next writes: a race unless the views' reads come before.
        if let Ok(next) = pool.take(64) {
            bytes.write(0, 1);
            drop(next);
        }
        other.join().unwrap();
        assert_eq!(pool.stats().in_use_bytes(), 0);
        drop(pool.take(64).unwrap());
    });
}
