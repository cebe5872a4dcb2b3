//! Threads, turns, medians and the printed line.

use std::sync::Barrier;
use std::time::Instant;

/// One side of a measurement: runs to its end on a thread of its own.
pub(crate) type Side = Box<dyn FnOnce() + Send>;

/// Makes the producers and the consumers of one turn.
pub(crate) type MakeSides = dyn Fn(&Shape) -> (Vec<Side>, Vec<Side>);

/// Something measured: makes its producers and consumers anew for each turn.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) sides: Box<MakeSides>,
}

/// How many threads push and pop, and how many messages there are in all.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) messages: usize,
}

/// What to run.
pub(crate) struct Plan {
    pub(crate) turns: usize,
    pub(crate) messages: usize,
    case: Option<String>,
    subject: Option<String>,
}

impl Plan {
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let mut plan = Self { turns: 7, messages: 2_000_000, case: None, subject: None };
        let mut turns = None;
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--turns", count)) => turns = Some(count.parse().expect("a number")),
                Some(("--case", case)) => plan.case = Some(case.to_owned()),
                Some(("--subject", subject)) => plan.subject = Some(subject.to_owned()),
                _ if argument == "--quick" => (plan.turns, plan.messages) = (5, 500_000),
                // `--bench`, which `cargo bench` adds.
                _ => {}
            }
        }
        plan.turns = turns.unwrap_or(plan.turns).max(1);
        plan
    }

    /// Returns true when the case is asked for.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.case.as_ref().is_none_or(|part| case.contains(part.as_str()))
    }

    /// Returns true when one of the subjects asked for, separated by commas, is meant.
    pub(crate) fn wants_subject(&self, name: &str) -> bool {
        self.subject.as_ref().is_none_or(|wanted| wanted.split(',').any(|one| one == name))
    }

    /// Measures the subjects in turns and prints a line for each: million messages per second.
    pub(crate) fn rates(&self, case: &str, shape: &Shape, subjects: &[Subject]) {
        if !self.wants(case) {
            return;
        }
        let subjects: Vec<_> =
            subjects.iter().filter(|subject| self.wants_subject(subject.name)).collect();
        let mut runs = vec![Vec::new(); subjects.len()];
        for _ in 0..self.turns {
            for (subject, runs) in subjects.iter().zip(&mut runs) {
                let (producers, consumers) = (subject.sides)(shape);
                let nanos = race(producers, consumers);
                runs.push(shape.messages as f64 * 1e3 / nanos as f64);
            }
        }
        for (subject, runs) in subjects.iter().zip(runs) {
            print(case, subject.name, "M/s", "higher", runs);
        }
    }
}

/// Runs all sides at once and returns the nanoseconds from the first one's begin to the last one's
/// end, by their own clocks: the caller may not get a processor while they run.
pub(crate) fn race(producers: Vec<Side>, consumers: Vec<Side>) -> u64 {
    let start = Barrier::new(producers.len() + consumers.len());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let from_first = producers.into_iter().enumerate().map(|(index, side)| (index % cpus, side));
    let from_last =
        consumers.into_iter().enumerate().map(|(index, side)| (cpus - 1 - index % cpus, side));
    let spans = std::thread::scope(|scope| {
        let threads: Vec<_> = from_first
            .chain(from_last)
            .map(|(cpu, side)| {
                let start = &start;
                scope.spawn(move || {
                    pin(cpu);
                    start.wait();
                    let begun = now();
                    side();
                    (begun, now())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let begun = spans.iter().map(|span| span.0).min().expect("a thread");
    let ended = spans.iter().map(|span| span.1).max().expect("a thread");
    u64::try_from((ended - begun).as_nanos()).expect("not centuries")
}

pub(crate) fn print(case: &str, subject: &str, unit: &str, better: &str, mut runs: Vec<f64>) {
    let shown: Vec<_> = runs.iter().map(|run| format!("{run:.3}")).collect();
    runs.sort_by(f64::total_cmp);
    let median = runs[runs.len() / 2];
    let ours = subject.starts_with("tidemill");
    println!(
        r#"{{"case": "{case}", "subject": "{subject}", "ours": {ours}, "unit": "{unit}", {rest}}}"#,
        rest = format_args!(
            r#""better": "{better}", "median": {median:.3}, "runs": [{}]"#,
            shown.join(", ")
        ),
    );
}

/// Repeats `attempt` until it succeeds, as every spinning subject does: some pauses, then the
/// processor is left to others.
#[inline(always)]
pub(crate) fn spin<R>(mut attempt: impl FnMut() -> Option<R>) -> R {
    let mut failures = 0_u32;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        failures += 1;
        if failures.is_multiple_of(128) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).expect("a processor of this machine");
}
