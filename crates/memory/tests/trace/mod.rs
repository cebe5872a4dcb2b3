//! What a proxy asks of its buffers: connections that come, exchange requests, and go.
//!
//! [`recorded`] is what our own proxy did under load; `benches/trace/README.md` tells how it was
//! recorded. [`generated`] is another proxy, with buffers for as long as a connection lives: from
//! a fixed seed, 4 or 20 new connections in each tick, living 5 to 50 ticks (quiet and busy periods
//! alternate), with a 16 KiB relay buffer in each direction while it lives, a 1 KiB head buffer for
//! each request, and a body buffer whose size is log-uniform up to 64 KiB.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tidemill_memory::BufferPool;

/// One step of the trace. Numbers name buffers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// A buffer of so many bytes is taken.
    Take(usize, usize),
    /// The buffer is given back.
    Give(usize),
    /// A hundredth of a second passes.
    Tick,
}

/// What a replay did.
pub(crate) struct Replay {
    /// Hits among all takings, from 0 to 1.
    pub(crate) hit_rate: f64,
    /// Takings in all.
    pub(crate) takings: u64,
    /// Bytes that the clean-up gave back meanwhile.
    pub(crate) released: usize,
}

/// Runs the steps on a new pool whose buffers live a second, with a step of its clean-up a tick.
pub(crate) fn replay(steps: &[Step], mut now: Instant) -> Replay {
    let pool = BufferPool::builder().time_to_live(Duration::from_secs(1)).build();
    let pool = pool.expect("address space");
    let mut held = HashMap::new();
    let mut released = 0;
    for step in steps {
        match *step {
            Step::Take(buffer, bytes) => {
                held.insert(buffer, pool.take(bytes).expect("room"));
            }
            Step::Give(buffer) => drop(held.remove(&buffer)),
            Step::Tick => {
                now += TICK;
                released += pool.clean(now).bytes;
            }
        }
    }
    let stats = pool.stats();
    Replay { hit_rate: stats.hit_rate(), takings: stats.hits() + stats.misses(), released }
}

/// Returns the steps of the recording.
pub(crate) fn recorded() -> Vec<Step> {
    let mut at = 0;
    let mut events = Vec::new();
    for (buffer, line) in include_str!("../../benches/trace/proxy.txt").lines().enumerate() {
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().expect("a number"));
        let mut next = || numbers.next().expect("four numbers");
        let (since, _thread, bytes, life) = (next(), next(), next(), next());
        at += since;
        // A life of nothing still comes after its taking.
        let bytes = usize::try_from(bytes).expect("at most 64 KiB");
        events.push((at, 0, Step::Take(buffer, bytes)));
        events.push((at + life, 1, Step::Give(buffer)));
    }
    let tick = u64::try_from(TICK.as_micros()).expect("a hundredth of a second");
    events.extend((1..at / tick).map(|count| (count * tick, 2, Step::Tick)));
    events.sort_by_key(|&(at, order, _)| (at, order));
    events.into_iter().map(|(_, _, step)| step).collect()
}

/// Returns the steps of `ticks` hundredths of a second.
pub(crate) fn generated(ticks: usize) -> Vec<Step> {
    let mut random = Random(0x7fb5_d329_728e_a185);
    let mut steps = Vec::new();
    let mut next = 0;
    let mut connections: Vec<(usize, [usize; 2])> = Vec::new();
    for tick in 0..ticks {
        let arrivals = if tick % 200 < 100 { 20 } else { 4 };
        for _ in 0..arrivals {
            let buffers = [next, next + 1];
            next += 2;
            steps.extend(buffers.map(|buffer| Step::Take(buffer, 16 << 10)));
            connections.push((tick + 5 + random.below(45), buffers));
        }
        for _ in 0..connections.len() {
            let (head, body) = (next, next + 1);
            next += 2;
            let size = 1 << (6 + random.below(11));
            steps.push(Step::Take(head, 1 << 10));
            steps.push(Step::Take(body, size));
            steps.push(Step::Give(head));
            steps.push(Step::Give(body));
        }
        connections.retain(|&(end, buffers)| {
            if end <= tick {
                steps.extend(buffers.map(Step::Give));
            }
            end > tick
        });
        steps.push(Step::Tick);
    }
    steps
}

/// Marsaglia's xorshift: enough for sizes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

const TICK: Duration = Duration::from_millis(10);
