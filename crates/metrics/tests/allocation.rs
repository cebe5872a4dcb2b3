//! Recording allocates nothing: counted per thread by this test's own allocator.

#![expect(unsafe_code, reason = "a global allocator can be counted by no safe means")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use tidemill_metrics::{Buckets, Error, Options, Registry, SummaryOptions};

struct Counting;

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

// SAFETY: every call goes to the system's allocator as it came; the count has no destructor and
// allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `alloc` above with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Every thread that records, with a slot and without one.
#[test]
fn recording_allocates_nothing() -> Result<(), Error> {
    for slots in [0, 8] {
        let registry = Registry::new(Options { slots, ..Options::default() });
        let counter = registry.counter("a_total", "A.", &[])?;
        let gauge = registry.gauge("g", "G.", &[])?;
        let float = registry.float_gauge("f", "F.", &[])?;
        let explicit = registry.histogram("h", "H.", &[], &[0.1, 1.0])?;
        let linear = registry.histogram("l_seconds", "L.", &[], Buckets::seconds())?;
        let summary = registry.summary("s_seconds", "S.", &[], &SummaryOptions::default())?;
        let record = || {
            let before = COUNT.get();
            for n in 0..1_000 {
                counter.add(n);
                gauge.add(1);
                float.add(0.5);
                explicit.record(n as f64);
                explicit.record(f64::NAN);
                linear.record_duration(Duration::from_micros(n));
                linear.start_timer().discard();
                drop(linear.start_timer());
                summary.record(n as f64);
            }
            COUNT.get() - before
        };
        assert_eq!(record(), 0, "{slots} slots");
        let elsewhere = std::thread::scope(|scope| scope.spawn(record).join());
        assert_eq!(elsewhere.expect("no panic"), 0, "{slots} slots, a thread's first record too");
    }
    let boxed = COUNT.get();
    std::hint::black_box(Box::new(1));
    assert_eq!(COUNT.get() - boxed, 1, "the count counts");
    Ok(())
}
