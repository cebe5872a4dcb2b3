//! What goes wrong outside: missing rights, huge pages, threads that end, children.
#![cfg(not(miri))]
#![expect(unsafe_code, reason = "a right is dropped in a forked child")]

use std::sync::{Arc, Mutex};

use bytes::BufMut;
use tidemill_memory::{BlockPool, BufferPool, BuildError, Incident, PageLock, TakeError};

/// Runs `work` in a child that may lock no memory; its answer is the child's exit code.
fn without_the_right_to_lock(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child uses memory, makes system calls, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads the structure only.
        let limited = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) } == 0;
        // Root may lock without limit; an ordinary user may not.
        // SAFETY: takes a number; 65534 is nobody.
        unsafe { libc::setuid(65534) };
        // SAFETY: asks for a number.
        let dropped = unsafe { libc::geteuid() } != 0;
        let good = limited && dropped && work();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    waited == child && status == 0
}

#[test]
fn a_missing_right_to_lock_is_named_when_it_is_required() {
    let builder = BlockPool::builder(4096).blocks_max(16).real_time(PageLock::Required);
    assert!(without_the_right_to_lock(|| match builder.build() {
        Err(error @ BuildError::NotLocked { bytes: 65_536, .. }) =>
            error.to_string().contains("CAP_IPC_LOCK"),
        _ => false,
    }));
}

#[test]
fn a_missing_right_to_lock_is_told_and_lived_with_when_that_is_allowed() {
    let builder = BlockPool::builder(4096).blocks_max(16).real_time(PageLock::IfPermitted);
    assert!(without_the_right_to_lock(|| {
        let pool = builder.build().expect("works without");
        let told = pool.lock_error().is_some_and(|error| error.contains("CAP_IPC_LOCK"));
        told && (0..16).all(|_| pool.take().map(std::mem::forget).is_ok())
    }));
}

#[test]
fn huge_pages_are_asked_for_and_work() {
    let builder = BlockPool::builder(4096).align(2 << 20).blocks_max(4).huge_pages(true);
    let pool = match builder.build() {
        Err(BuildError::Refused { what: "huge pages", source, .. }) => {
            println!("skipped: huge pages: {source}");
            return;
        }
        result => result.expect("address space"),
    };
    let mut block = pool.take().expect("room");
    block.fill(7);
    let address = block.as_ptr().addr();
    // The mapping that holds the block carries the advice: `hg` among its flags.
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has smaps");
    let mut inside = false;
    let advised = smaps.lines().any(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let parse = |text| usize::from_str_radix(text, 16).ok();
        if let Some((start, end)) = range.and_then(|(a, b)| Some((parse(a)?, parse(b)?))) {
            inside = (start..end).contains(&address);
        }
        inside && line.starts_with("VmFlags:") && line.split(' ').any(|flag| flag == "hg")
    });
    assert!(advised, "the kernel knows of the wish");
}

#[test]
fn sizes_that_cannot_be_are_errors() {
    let huge = usize::MAX;
    let refused = [
        BlockPool::builder(0).build().map(drop),
        BlockPool::builder(huge).build().map(drop),
        BlockPool::builder(64).align(huge).build().map(drop),
        BlockPool::builder(64).align(0).build().map(drop),
        BlockPool::builder(64).blocks_max(0).build().map(drop),
        BlockPool::builder(64).blocks_max(huge).build().map(drop),
        BlockPool::builder(64).chunk_bytes(0).build().map(drop),
        BlockPool::builder(64).batch(0).build().map(drop),
        BlockPool::builder(64).batch(u32::MAX).build().map(drop),
        BlockPool::builder(1 << 31).blocks_max((1 << 24) - 2).align(1 << 30).build().map(drop),
        BufferPool::builder().classes(&[huge]).build().map(drop),
        BufferPool::builder().classes(&[0]).build().map(drop),
    ];
    for (number, result) in refused.into_iter().enumerate() {
        assert!(result.is_err(), "choice {number} is refused");
    }
    let pool = BufferPool::builder().build().expect("address space");
    for capacity in [65_537, huge - 62, huge] {
        assert_eq!(pool.take(capacity).unwrap_err(), TakeError::TooLarge);
    }
}

#[test]
fn threads_that_end_with_full_magazines_lose_nothing() {
    let pool = BlockPool::builder(64).blocks_max(512).batch(32).build().expect("address space");
    for _ in 0..20 {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                std::thread::spawn(move || {
                    let held: Vec<_> = (0..64).map(|_| pool.take().expect("room")).collect();
                    drop(held);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
    let all: Vec<_> = std::iter::from_fn(|| pool.take().ok()).collect();
    assert_eq!(all.len(), 512);
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn views_outlive_their_pool_and_the_pool_says_so() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let pool = BufferPool::builder()
        .on_incident(move |incident| sink.lock().expect("no panic").push(*incident))
        .build()
        .expect("address space");
    let mut buffer = pool.take(100).expect("room");
    buffer.put_slice(b"still here");
    let bytes = buffer.freeze();
    drop(pool);
    assert_eq!(*told.lock().expect("no panic"), [Incident::Held { blocks: 1 }]);
    assert_eq!(std::thread::spawn(move || bytes.slice(6..)).join().expect("no panic"), "here");
}
