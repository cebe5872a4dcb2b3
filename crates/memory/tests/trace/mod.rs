//! What a proxy asks of its buffers: connections that come, exchange requests, and go.
//!
//! Generated from a fixed seed, so it is the same in every run: 4 or 20 new connections in each
//! tick, living 5 to 50 ticks (quiet and busy periods alternate), with a 16 KiB relay buffer in
//! each direction while it lives, a 1 KiB head buffer for each request, and a body buffer whose
//! size is log-uniform up to 64 KiB.

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

/// Returns the steps of `ticks` hundredths of a second.
pub(crate) fn steps(ticks: usize) -> Vec<Step> {
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
