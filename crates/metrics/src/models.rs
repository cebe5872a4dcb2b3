//! Models of the sharded cells: loom runs them under every interleaving that C11 permits.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p tidemill-metrics --release --lib models`

use loom::sync::Arc;
use loom::thread;

use crate::cells::{Arena, CounterCells};
use crate::shards::Shards;
use crate::slot::{NO_SLOT, Slots};

/// Counter cells whose atomics were made inside the model.
fn counter(slots: usize) -> Arc<CounterCells> {
    Arc::new(Arena::new(Some(slots)).counter())
}

#[test]
fn two_slots_and_two_threads_without_one_lose_nothing() {
    loom::model(|| {
        let counter = counter(1);
        let add = |slot, n| {
            let counter = Arc::clone(&counter);
            thread::spawn(move || counter.add_as(slot, n))
        };
        let threads = [add(0, 1), add(NO_SLOT, 10)];
        counter.add_as(1, 100); // past the only slot: shared
        let before = counter.sum();
        assert!([100, 101, 110, 111].contains(&before), "{before}");
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(counter.sum(), 111);
    });
}

/// A slot goes from one thread to the next; what the first added is not overwritten.
#[test]
fn a_slot_that_changes_hands_keeps_its_count() {
    loom::model(|| {
        let slots = Arc::new(Slots::new());
        let counter = counter(2);
        let work = |slots: Arc<Slots>, counter: Arc<CounterCells>| {
            let slot = slots.take().expect("there are 64");
            counter.add_as(slot, 1);
            slots.give_back(slot);
        };
        let (theirs, theirs_too) = (Arc::clone(&slots), Arc::clone(&counter));
        let thread = thread::spawn(move || work(theirs, theirs_too));
        work(Arc::clone(&slots), Arc::clone(&counter));
        thread.join().expect("no panic");
        assert_eq!(counter.sum(), 2);
    });
}

/// Whatever a reader sees, the sum is the one that its buckets make: bucket n holds values 2^n.
#[track_caller]
fn agrees(shards: &Shards) -> u64 {
    let totals = shards.read();
    let made: u64 = totals.counts.iter().enumerate().map(|(n, count)| count << n).sum();
    assert_eq!(made as f64, totals.sum, "{totals:?}");
    totals.counts.iter().sum()
}

#[test]
fn a_reading_beside_the_holder_of_a_slot_is_whole() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shards = Arc::new(Shards::new(2, Some(1)));
        let writer = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                shards.record(0, 0, 1.0);
                shards.record(0, 1, 2.0);
            })
        };
        assert!(agrees(&shards) <= 2);
        writer.join().expect("no panic");
        assert_eq!(agrees(&shards), 2);
    });
}

/// Two writers and then a reading contend for the lock; with a third one spinning as well loom runs
/// out of branches.
#[test]
fn a_reading_beside_writers_without_a_slot_is_whole() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shards = Arc::new(Shards::new(2, Some(0)));
        let writer = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || shards.record(NO_SLOT, 0, 1.0))
        };
        shards.record(NO_SLOT, 1, 2.0);
        assert!((1..=2).contains(&agrees(&shards)));
        writer.join().expect("no panic");
        assert_eq!(agrees(&shards), 2);
    });
}

/// A holder that is diverted meets a writer without a slot; nothing is lost, nobody waits for ever.
#[test]
fn a_diverted_holder_and_a_writer_without_a_slot_lose_nothing() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let shards = Arc::new(Shards::new(2, Some(1)));
        let write = |slot, bucket, value| {
            let shards = Arc::clone(&shards);
            thread::spawn(move || shards.record(slot, bucket, value))
        };
        let writers = [write(0, 0, 1.0), write(NO_SLOT, 1, 2.0)];
        assert!(agrees(&shards) <= 2);
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        assert_eq!(agrees(&shards), 2);
    });
}
