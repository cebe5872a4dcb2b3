//! A deterministic machine with a few cores that runs what the scheduler's core starts.
//!
//! Running tasks share the cores evenly; beyond one task a core, each further one costs
//! [`SWITCHING`] of the speed. Time jumps from arrival or end to the next.

use std::time::Duration;

use tidemill_scheduler::core::{
    Class, Gradient, Learned, Limits, Machine, Moment, Order, Outcome, Ran, Spec,
};

/// A task of a load: when it comes, of which class it is, how many seconds of a core it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: f64,
    pub(crate) class: u8,
    pub(crate) work: f64,
}

/// How long tasks took from submission to end, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Result {
    pub(crate) mean: f64,
    pub(crate) p99: f64,
}

/// Runs a load on a machine in one of the two modes.
pub(crate) fn simulate(load: &[Arrival], adaptive: bool) -> Result {
    let classes = 1 + usize::from(load.iter().map(|arrival| arrival.class).max().unwrap_or(0));
    let limits = Limits {
        classes: vec![usize::MAX; classes],
        queue: load.len() + 1,
        ..Limits::new(CONCURRENCY)
    };
    let order = if adaptive {
        let gradient = Gradient::new(CONCURRENCY, 2, CONCURRENCY, classes);
        Order::Learned(Box::new(Learned::new(classes, Some(gradient))))
    } else {
        Order::Told
    };
    let mut machine = Machine::new(limits, order).expect("limits are right");
    let mut running: Vec<Running> = Vec::new();
    let mut taken = Vec::with_capacity(load.len());
    let (mut now, mut next) = (0.0, 0);
    while taken.len() < load.len() {
        while next < load.len() && load[next].at <= now {
            let spec = Spec { class: Class(load[next].class), ..Spec::default() };
            machine.submit(&spec, next, moment(now)).expect("room");
            next += 1;
        }
        while let Some(start) = machine.start_next(moment(now)) {
            let left = load[start.payload].work;
            running.push(Running { id: start.id, task: start.payload, began: now, left });
        }
        let speed = speed(running.len());
        let end = running.iter().map(|task| task.left / speed).fold(f64::INFINITY, f64::min);
        let arrival = load.get(next).map_or(f64::INFINITY, |arrival| arrival.at - now);
        let step = end.min(arrival);
        now += step;
        running.iter_mut().for_each(|task| task.left -= step * speed);
        running.retain(|task| {
            let over = task.left <= 1e-12;
            if over {
                let ran = Ran { began: moment(task.began), ended: moment(now) };
                machine.finish(task.id, Outcome::Completed, None, ran, 0);
                taken.push(now - load[task.task].at);
            }
            !over
        });
    }
    taken.sort_unstable_by(f64::total_cmp);
    let mean = taken.iter().sum::<f64>() / taken.len() as f64;
    Result { mean, p99: taken[taken.len() * 99 / 100] }
}

struct Running {
    id: tidemill_scheduler::core::TaskId,
    task: usize,
    began: f64,
    left: f64,
}

/// Returns the loads by name: four mixes, and a trace that was recorded.
pub(crate) fn loads(seed: u64) -> Vec<(&'static str, Vec<Arrival>)> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let alike = [(1.0, 0, 0.010)];
    let short_and_long = [(0.9, 0, 0.002), (0.1, 1, 0.060)];
    let three = [(0.6, 0, 0.001), (0.3, 1, 0.010), (0.1, 2, 0.050)];
    vec![
        ("alike", poisson(&mut dice, &alike, 0.85)),
        ("short and long", poisson(&mut dice, &short_and_long, 0.85)),
        ("three classes", poisson(&mut dice, &three, 0.95)),
        ("bursts", bursts(&mut dice, &three)),
        ("recorded", recorded()),
    ]
}

/// Tasks that come independently, each of a class by its share, with exponential work.
fn poisson(dice: &mut fastrand::Rng, mix: &[(f64, u8, f64)], load: f64) -> Vec<Arrival> {
    let mean: f64 = mix.iter().map(|(share, _, work)| share * work).sum();
    let pause = mean / (load * CORES);
    let mut at = 0.0;
    let arrivals = (0..TASKS).map(|_| {
        at += exponential(dice) * pause;
        draw(dice, mix, at)
    });
    arrivals.collect()
}

/// Tasks that come 400 at a time.
fn bursts(dice: &mut fastrand::Rng, mix: &[(f64, u8, f64)]) -> Vec<Arrival> {
    let mean: f64 = mix.iter().map(|(share, _, work)| share * work).sum();
    let pause = 400.0 * mean / (0.7 * CORES);
    (0..TASKS).map(|task| draw(dice, mix, (task / 400) as f64 * pause)).collect()
}

fn draw(dice: &mut fastrand::Rng, mix: &[(f64, u8, f64)], at: f64) -> Arrival {
    let mut left = dice.f64();
    let mut chosen = mix[0];
    for one in mix {
        chosen = *one;
        left -= one.0;
        if left < 0.0 {
            break;
        }
    }
    Arrival { at, class: chosen.1, work: chosen.2 * exponential(dice) }
}

fn exponential(dice: &mut fastrand::Rng) -> f64 {
    -(1.0 - dice.f64()).ln()
}

/// Reads the recorded trace, whose head says how it was made, and has it come [`SUITES`] times, the
/// next when three quarters of the one before could be done.
fn recorded() -> Vec<Arrival> {
    let lines = include_str!("trace.csv").lines().filter(|line| !line.starts_with('#'));
    let suite: Vec<Arrival> = lines
        .map(|line| {
            let mut fields = line.split(',').map(|field| field.parse::<f64>().expect("a number"));
            let mut next = || fields.next().expect("three fields");
            let (at, class, micros) = (next(), next(), next());
            Arrival { at: at / 1e6, class: class as u8, work: micros / 1e6 }
        })
        .collect();
    let pause = suite.iter().map(|arrival| arrival.work).sum::<f64>() / CORES / 0.75;
    let again = |number: usize| {
        let later =
            move |arrival: &Arrival| Arrival { at: arrival.at + number as f64 * pause, ..*arrival };
        suite.iter().map(later).collect::<Vec<_>>()
    };
    (0..SUITES).flat_map(again).collect()
}

fn moment(seconds: f64) -> Moment {
    Moment::ORIGIN + Duration::from_secs_f64(seconds)
}

fn speed(running: usize) -> f64 {
    let beyond = (running as f64 - CORES).max(0.0);
    (CORES / running.max(1) as f64).min(1.0) / (1.0 + SWITCHING * beyond)
}

const CORES: f64 = 4.0;
const CONCURRENCY: usize = 9;
const SWITCHING: f64 = 0.01;
const TASKS: usize = 20_000;
const SUITES: usize = 20;
