//! What stays resident, how long a step of the clean-up lasts, and how often memory is warm.

use std::time::{Duration, Instant};

use tidemill_memory::BufferPool;

use crate::subjects::{GENERAL, NAMES, Source, Visitor, visit_all};
use crate::trace;
use crate::{PASSES, report};

/// Takes 128 MiB at once and gives it all back: what stays resident, then after clean-up.
///
/// Ours goes through the buffer pool and its clean-up; glibc has `malloc_trim`; the crates of
/// mimalloc and jemalloc offer none, so theirs is what stays.
pub(crate) fn resident() {
    let mut resident = Resident(vec![[const { Vec::new() }; 2]; NAMES.len()]);
    for _ in 0..PASSES {
        resident.ours();
        visit_all(4096, &mut resident);
    }
    for (name, after) in NAMES.into_iter().zip(resident.0) {
        for (quantity, mut passes) in ["when freed", "after clean-up"].into_iter().zip(after) {
            if !passes.is_empty() {
                report("resident after 128 MiB", quantity, name, &mut passes);
            }
        }
    }
}

struct Resident(Vec<[Vec<f64>; 2]>);

impl Resident {
    fn ours(&mut self) {
        let pool = BufferPool::builder().time_to_live(Duration::from_secs(1)).build();
        let pool = pool.expect("address space");
        let mut now = Instant::now();
        let before = resident_mib();
        let mut buffers: Vec<_> = (0..BURST).map(|_| pool.take(4096).expect("room")).collect();
        buffers.iter_mut().for_each(|buffer| buffer.resize(4096, 1).expect("fits"));
        pool.clean(now);
        drop(buffers);
        self.0[0][0].push(resident_mib() - before);
        for _ in 0..3 {
            now += Duration::from_secs(1);
            while pool.clean(now).more {}
        }
        self.0[0][1].push((resident_mib() - before).max(0.0));
    }
}

impl Visitor for Resident {
    fn visit<S: Source>(&mut self, place: usize, source: &S) {
        if !GENERAL.contains(&place) {
            return; // Ours has its own way; the pool crates never give anything back.
        }
        let before = resident_mib();
        let mut items: Vec<_> = (0..BURST).map(|_| source.take()).collect();
        items.iter_mut().for_each(S::touch);
        items.into_iter().for_each(|item| source.give(item));
        self.0[place][0].push((resident_mib() - before).max(0.0));
        if place == GENERAL.start {
            // SAFETY: takes a number and touches nothing but the allocator's own free memory.
            unsafe { libc::malloc_trim(0) };
        }
        self.0[place][1].push((resident_mib() - before).max(0.0));
    }
}

/// Steps of the clean-up with 100,000 idle buffers: the longest, and all together.
///
/// By the clock, which counts what other programs took in between, and by the processor time of
/// the thread, which is what a step costs its caller.
pub(crate) fn clean_steps() {
    let mut quantities = CLEAN_QUANTITIES.map(|_| Vec::new());
    for _ in 0..PASSES {
        let mut steps = clean_100_000();
        let cpu_max = steps.iter().map(|step| step.cpu).fold(0.0, f64::max);
        let whole = steps.iter().map(|step| step.elapsed).sum();
        steps.sort_by(|a, b| a.elapsed.total_cmp(&b.elapsed));
        let [longest, median] = [steps.len() - 1, steps.len() / 2].map(|at| steps[at].elapsed);
        for (passes, value) in quantities.iter_mut().zip([longest, cpu_max, median, whole]) {
            passes.push(value);
        }
    }
    for (quantity, mut passes) in CLEAN_QUANTITIES.into_iter().zip(quantities) {
        report("clean-up, 100,000 idle", quantity, NAMES[0], &mut passes);
    }
}

/// What one step took, in microseconds.
struct CleanStep {
    elapsed: f64,
    cpu: f64,
}

fn clean_100_000() -> Vec<CleanStep> {
    let pool = BufferPool::builder()
        .class_bytes_max(512 << 20)
        .time_to_live(Duration::from_secs(1))
        .build()
        .expect("address space");
    let mut buffers: Vec<_> = (0..100_000).map(|_| pool.take(4096).expect("room")).collect();
    buffers.iter_mut().for_each(|buffer| buffer.resize(64, 1).expect("fits"));
    let mut now = Instant::now();
    pool.clean(now);
    drop(buffers);
    let mut steps = Vec::new();
    for _ in 0..3 {
        now += Duration::from_secs(1);
        loop {
            let (start, cpu) = (Instant::now(), thread_micros());
            let cleaned = pool.clean(now);
            let cpu = thread_micros() - cpu;
            steps.push(CleanStep { elapsed: start.elapsed().as_nanos() as f64 / 1000.0, cpu });
            if !cleaned.more {
                break;
            }
        }
    }
    steps
}

/// Processor time of this thread.
fn thread_micros() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Runs the traces of proxies with the clean-up at work.
pub(crate) fn hit_rates() {
    for (quantity, steps) in
        [("recorded", trace::recorded()), ("generated", trace::generated(2000))]
    {
        let rate = trace::replay(&steps, Instant::now()).hit_rate * 100.0;
        report("hit rate in a proxy's trace", quantity, NAMES[0], &mut [rate]);
    }
}

fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has statm");
    let pages: u64 =
        statm.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("a number");
    pages as f64 * 4096.0 / 1048576.0
}

const BURST: usize = 32 << 10;
const CLEAN_QUANTITIES: [&str; 4] =
    ["longest step", "longest step, CPU", "median step", "all of it"];
