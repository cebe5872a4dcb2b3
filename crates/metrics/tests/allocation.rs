//! Recording allocates nothing: counted for the recording thread alone.

use std::time::Duration;

use allocation_counter::measure;
use tidemill_metrics::{Buckets, Error, Options, Registry, SummaryOptions};

/// Every thread that records, with a slot and without one, its first record included.
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
        };
        assert_eq!(measure(record).count_total, 0, "{slots} slots");
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| measure(record)).join());
        assert_eq!(elsewhere.expect("no panic").count_total, 0, "{slots} slots, a new thread");
    }
    let counted = measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1, "the count counts");
    Ok(())
}
