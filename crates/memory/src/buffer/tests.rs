//! Buffers as their users see them.
#![cfg(not(any(loom, shuttle)))]

use std::time::Duration;

use bytes::BufMut;

use super::*;
use crate::tests::now;

fn pool() -> BufferPool {
    BufferPool::builder().time_to_live(Duration::from_secs(1)).build().unwrap()
}

#[track_caller]
fn check_class(capacity: usize, want: usize) {
    assert_eq!(pool().take(capacity).unwrap().capacity(), want);
}

#[test]
fn the_smallest_class_that_fits_serves() {
    check_class(0, 256);
    check_class(1, 256);
    check_class(256, 256);
    check_class(257, 1024);
    check_class(4096, 4096);
    check_class(65_536, 65_536);
    assert_eq!(pool().take(65_537).unwrap_err(), TakeError::TooLarge);
    let odd = BufferPool::builder().classes(&[100, 333]).build().unwrap();
    assert_eq!(odd.take(101).unwrap().capacity(), 333);
    assert_eq!(odd.capacity_max(), 333);
}

#[test]
fn unusable_classes_are_named() {
    for classes in [&[][..], &[4096, 1024], &[64, 64]] {
        let error = BufferPool::builder().classes(classes).build().unwrap_err();
        assert!(matches!(error, BuildError::Classes), "{error}");
    }
    let zero = BufferPool::builder().classes(&[0, 64]).build().unwrap_err();
    assert!(matches!(zero, BuildError::ZeroBlock), "{zero}");
    let small = BufferPool::builder().class_bytes_max(1000).build().unwrap_err();
    assert!(matches!(small, BuildError::BlockCount(0)), "{small}");
}

#[test]
fn a_buffer_grows_within_its_class_only() {
    let pool = pool();
    let mut buffer = pool.take(10).unwrap();
    buffer.put_slice(b"head");
    buffer.put_u16(0x0102);
    assert_eq!(&buffer[..], b"head\x01\x02");
    assert_eq!(buffer.remaining_mut(), 250);
    let full = buffer.extend_from_slice(&[0; 251]).unwrap_err();
    assert_eq!(full, Full { wanted: 251, free: 250 });
    buffer.extend_from_slice(&[9; 250]).unwrap();
    assert_eq!((buffer.len(), buffer.remaining_mut()), (256, 0));
    assert_eq!(buffer.resize(257, 0), Err(Full { wanted: 1, free: 0 }));
    buffer.truncate(3);
    buffer.resize(5, 1).unwrap();
    assert_eq!(&buffer[..], b"hea\x01\x01");
    buffer.clear();
    let mut source = &b"stream"[..];
    assert_eq!(buffer.read_from(&mut source).unwrap(), 6);
    assert_eq!(&buffer[..], b"stream");
}

#[test]
fn what_an_earlier_holder_wrote_cannot_be_read() {
    let pool = pool();
    let mut buffer = pool.take(256).unwrap();
    buffer.put_bytes(0x55, 256);
    drop(buffer);
    let mut buffer = pool.take(256).unwrap();
    assert!(buffer.is_empty());
    buffer.resize(256, 0).unwrap();
    assert!(buffer.iter().all(|&byte| byte == 0));
}

#[test]
fn frozen_bytes_keep_the_memory_until_the_last_goes() {
    let pool = pool();
    let mut buffer = pool.take(100).unwrap();
    buffer.put_slice(b"0123456789");
    let address = buffer.as_ptr();
    let bytes = buffer.freeze();
    assert_eq!(bytes.as_ptr(), address, "nothing was copied");
    let part = bytes.slice(2..5);
    drop(bytes);
    assert_eq!(pool.stats().in_use_bytes(), 256);
    assert_eq!(part, "234");
    std::thread::spawn(move || drop(part)).join().unwrap();
    assert_eq!(pool.stats().in_use_bytes(), 0);
}

#[test]
fn views_slice_and_count_like_bytes() {
    let pool = pool();
    let mut buffer = pool.take(100).unwrap();
    buffer.put_slice(b"0123456789");
    let view = buffer.share();
    let part = view.slice(2..=5).slice(1..);
    drop(view);
    assert_eq!(&part[..], b"345");
    assert!(part.slice(3..).is_empty());
    let bytes = bytes::Bytes::from(part.clone());
    drop(part);
    assert_eq!(pool.stats().in_use_bytes(), 256);
    drop(bytes);
    assert_eq!(pool.stats().in_use_bytes(), 0);
}

#[test]
#[should_panic(expected = "range 2..11 is out of bounds of 10 bytes")]
fn a_view_is_not_sliced_past_its_end() {
    let pool = pool();
    let mut buffer = pool.take(100).unwrap();
    buffer.put_slice(b"0123456789");
    let view = buffer.share();
    let _ = view.slice(2..11);
}

#[test]
fn statistics_count_hits_use_and_fragmentation() {
    let pool = BufferPool::builder().classes(&[1024]).build().unwrap();
    for _ in 0..1000 {
        drop(pool.take(512).unwrap());
    }
    let held: Vec<_> = (0..10).map(|_| pool.take(256).unwrap()).collect();
    let stats = pool.stats();
    assert_eq!(stats.hits() + stats.misses(), 1010);
    assert!(stats.hit_rate() > 0.95, "{}", stats.hit_rate());
    assert_eq!(stats.in_use_bytes(), 10 * 1024);
    assert!((stats.internal_fragmentation() - 0.75).abs() < 1e-9);
    let class = stats.classes[0];
    assert!(class.high_water >= 10 && class.high_water <= 10 + 64);
    drop(held);
    let stats = pool.stats();
    assert!((stats.external_fragmentation() - 1.0).abs() < 1e-9, "all that is backed is idle");
    assert_eq!(stats.classes[0].requested_bytes, 0);
}

#[cfg(not(miri))] // A thousand buffers take minutes there.
#[test]
fn idle_memory_goes_after_its_time_and_not_before() {
    let pool = BufferPool::builder()
        .classes(&[4096])
        .time_to_live(Duration::from_secs(1))
        .build()
        .unwrap();
    let start = now();
    let burst: Vec<_> = (0..1000).map(|_| pool.take(4096).unwrap()).collect();
    assert_eq!(pool.clean(start), Cleaned::default());
    drop(burst);
    let at = |millis| start + Duration::from_millis(millis);
    assert_eq!(pool.clean(at(500)), Cleaned::default());
    // In the first window all were in use at some time.
    assert_eq!(clean_all(&pool, at(1000)), 0);
    // In the second one, ten are.
    let few: Vec<_> = (0..10).map(|_| pool.take(4096).unwrap()).collect();
    drop(few);
    let bytes = clean_all(&pool, at(2000));
    assert!(((1000 - 64) * 4096..1000 * 4096).contains(&bytes), "{bytes} bytes");
    assert!(pool.stats().classes[0].cold >= 1000 - 64);
    // They serve again, as misses.
    let misses = pool.stats().misses();
    let burst: Vec<_> = (0..1000).map(|_| pool.take(4096).unwrap()).collect();
    assert!(pool.stats().misses() >= misses + 900);
    assert_eq!(pool.stats().classes[0].cold, 0);
    drop(burst);
}

#[cfg(not(miri))] // Gives nothing back there.
#[test]
fn small_buffers_are_given_back_where_a_whole_page_is_idle() {
    let pool =
        BufferPool::builder().classes(&[256]).time_to_live(Duration::from_secs(1)).build().unwrap();
    let start = now();
    let mut burst: Vec<_> = (0..16 * 1024).map(|_| pool.take(256).unwrap()).collect();
    // One of each 64 stays.
    let mut count = 0;
    burst.retain(|_| {
        count += 1;
        count % 64 == 0
    });
    let mut bytes = 0;
    for second in 0..4 {
        bytes += clean_all(&pool, start + Duration::from_secs(second));
    }
    assert!(bytes > 2 << 20, "{bytes} of 4 MiB");
}

fn clean_all(pool: &BufferPool, now: Instant) -> usize {
    let mut bytes = 0;
    loop {
        let cleaned = pool.clean(now);
        bytes += cleaned.bytes;
        if !cleaned.more {
            return bytes;
        }
    }
}

#[cfg(not(miri))]
#[test]
fn memory_that_lives_for_ever_is_never_cleaned() {
    let pool = BufferPool::builder().time_to_live(Duration::MAX).build().unwrap();
    drop(pool.take(4096).unwrap());
    let start = now();
    for hours in [0, 1, 1_000_000] {
        let now = start + Duration::from_secs(3600 * hours);
        assert_eq!(pool.clean(now), Cleaned::default());
    }
    assert_eq!(pool.stats().classes.iter().map(|class| class.cold).sum::<u64>(), 0);
}

#[cfg(not(miri))]
#[test]
fn a_forked_child_counts_and_cleans_without_waiting_for_the_parents_threads() {
    let pool = pool();
    // The parent keeps its own: under the pool's lock it would wait for its thread, which may wait
    // for that lock.
    let mut cleaner = Some(pool.clean_in_background().unwrap());
    let core = pool.shared.classes[0].pool.core();
    let late = now() + Duration::from_secs(5);
    let child = core.while_locked(|| {
        // SAFETY: the child only uses memory, and ends by `_exit` or the alarm.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: takes a number; a child that waits is killed.
            unsafe { libc::alarm(20) };
            let classes = pool.stats().classes.len();
            let released = core.release(1, &mut Vec::new());
            let cleaned = pool.clean(late);
            drop(cleaner.take());
            let good = classes > 0 && released == (0, false) && cleaned == Cleaned::default();
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(i32::from(!good)) };
        }
        child
    });
    let mut status = 0;
    // SAFETY: waits for the child made above.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
}

#[test]
fn the_background_thread_cleans_and_stops() {
    let pool = BufferPool::builder()
        .classes(&[4096])
        .time_to_live(Duration::from_millis(20))
        .build()
        .unwrap();
    drop((0..100).map(|_| pool.take(4096).unwrap()).collect::<Vec<_>>());
    let cleaner = pool.clean_in_background().unwrap();
    let start = now();
    while pool.stats().classes[0].cold == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "nothing is cleaned");
        std::thread::yield_now();
    }
    drop(cleaner);
}
