//! A proxy's buffers come from warm memory, also while the clean-up runs.

mod trace;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tidemill_memory::BufferPool;
use trace::Step;

#[test]
#[expect(clippy::disallowed_methods, reason = "time begins somewhere; the rest is counted")]
fn a_proxy_hits_warm_memory_more_than_95_times_in_100() {
    let pool = BufferPool::builder().time_to_live(Duration::from_secs(1)).build().unwrap();
    let mut now = Instant::now();
    let mut held = HashMap::new();
    let mut released = 0;
    // Ten seconds: five busy and five quiet periods, so that the clean-up has something to do.
    for step in trace::steps(1000) {
        match step {
            Step::Take(buffer, bytes) => {
                held.insert(buffer, pool.take(bytes).unwrap());
            }
            Step::Give(buffer) => drop(held.remove(&buffer)),
            Step::Tick => {
                now += Duration::from_millis(10);
                released += pool.clean(now).bytes;
            }
        }
    }
    let stats = pool.stats();
    assert!(stats.hit_rate() > 0.95, "hit rate {}", stats.hit_rate());
    assert!(released > 0, "the clean-up was at work too");
}
