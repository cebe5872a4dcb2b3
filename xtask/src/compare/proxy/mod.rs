//! `compare proxy`: Tidemill, HAProxy, nginx and no proxy at all, under the same loads; and
//! Tidemill with its metrics switched off (`unmeasured`), which shows what being measured costs.
//!
//! In each round every target meets every load once, one after the other, with fresh processes on
//! fresh ports; every other round goes through the targets in reverse, so that what warms up or
//! wears out meets each of them equally. New connections are measured with `wrk` and
//! `Connection: close` rather than `redis-benchmark -k 0`: it runs on two threads, reports its
//! errors, and the server closes first, so that the client's ports are not used up by TIME_WAIT.

mod idle;
mod load;
mod target;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Options;
use super::progress::Progress;
use super::report::{Better, Failure, Metric, Report, Sample};
use crate::cargo::Workspace;
use crate::error::{Context, Error, Result};
use crate::packages::{self, FOR_PROXY_COMPARISON};
use crate::{process, procfs};
use target::{Bench, Target, Way};

/// Measures all that `options` ask for.
///
/// # Errors
///
/// Fails when a peer is missing, our binary does not build, or an interrupt comes; a case that
/// fails is in the report instead.
pub(crate) fn measure(root: &Path, workspace: &Workspace, options: &Options) -> Result<Report> {
    let missing = packages::missing(FOR_PROXY_COMPARISON);
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    let report = Report::new(Target::Tidemill.name());
    rounds(root, workspace, options, (&Target::ALL, &GROUPS), report)
}

/// Measures what being measured costs: ours with metrics and without, in turn under loads of a
/// second or less. Many short rounds resolve what a few long ones cannot, because a machine's
/// moods outlast a load; the interval that the report gives says how far.
///
/// # Errors
///
/// As for [`measure`].
pub(crate) fn measure_metrics(
    root: &Path,
    workspace: &Workspace,
    options: &Options,
) -> Result<Report> {
    let missing = packages::missing(FOR_PROXY_COMPARISON);
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    let short = Options { quick: true, ..options.clone() };
    let targets = [Target::Tidemill, Target::Unmeasured];
    // Bulk moves by a quarter and more between rounds, and would hide what the others show.
    let groups = [GROUPS[0], GROUPS[1]];
    let report = Report::new(Target::Tidemill.name()).with_intervals();
    let mut report = rounds(root, workspace, &short, (&targets, &groups), report)?;
    // Seconds per million requests are microseconds per request.
    report.add_mean(metric("all loads", "CPU", "us/request", Better::Lower));
    Ok(report)
}

/// Takes every target through every group, once in each round.
fn rounds(
    root: &Path,
    workspace: &Workspace,
    options: &Options,
    (targets, groups): (&[Target], &[Group]),
    mut report: Report,
) -> Result<Report> {
    let names: Vec<_> = targets.iter().map(|target| target.name()).collect();
    let chosen = Options::choose(&options.targets, &names)?;
    let mut targets = targets.to_vec();
    targets.retain(|target| chosen.contains(&target.name()));
    let names: Vec<_> = groups.iter().map(|(name, ..)| *name).collect();
    let chosen = Options::choose(&options.groups, &names)?;
    let groups: Vec<_> = groups.iter().filter(|(name, ..)| chosen.contains(name)).collect();
    if targets.iter().any(|target| matches!(target, Target::Tidemill | Target::Unmeasured)) {
        build(root)?;
    }
    let scratch = workspace.target_dir.join(format!("compare/scratch-{}", std::process::id()));
    let bench = Bench::new(scratch, workspace.target_dir.join("release/tidemill"))?;

    let steps = options.rounds as usize * targets.len() * groups.len();
    let mut progress = Progress::new(u32::try_from(steps).unwrap_or(u32::MAX));
    for round in 1..=options.rounds {
        // Targets are the inner turn: what is compared is measured within seconds of each other.
        for (group, cases) in &groups {
            for target in &targets {
                let what =
                    format!("round {round} of {}: {}, {group}", options.rounds, target.name());
                progress.step(&what);
                let mut run = Run {
                    bench: &bench,
                    target: *target,
                    round,
                    quick: options.quick,
                    report: &mut report,
                };
                // A server that does not start fails its group, and the others go on.
                let result = cases(&mut run);
                run.keep_failure(group, result)?;
            }
        }
        targets.reverse();
    }
    Ok(report)
}

/// Builds our binary as it ships.
fn build(root: &Path) -> Result<()> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--package", "tidemill"])
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .context(|| "cannot run cargo".to_owned())?;
    if status.success() { Ok(()) } else { Err(Error::outside("tidemill does not build")) }
}

type Cases = fn(&mut Run<'_>) -> Result<()>;

/// A name, and cases that share a backend.
type Group = (&'static str, Cases);

const GROUPS: [Group; 5] = [
    ("redis", redis),
    ("http", http),
    ("bulk", bulk),
    ("idle", idle),
    // The last, because the sockets that it leaves in TIME_WAIT slow everything down.
    ("connections", connections),
];

/// One target in one round.
struct Run<'a> {
    bench: &'a Bench,
    target: Target,
    round: u32,
    quick: bool,
    report: &'a mut Report,
}

fn redis(run: &mut Run<'_>) -> Result<()> {
    let (port, _redis) = run.bench.redis()?;
    let way = run.bench.proxy(run.target, port)?;
    // Warms the way up and gives GET something to find.
    load::redis(way.port, "set", 2_000, 1)?;
    for (case, pipeline, count) in REDIS_CASES {
        let count = if run.quick { count / 5 } else { count };
        run.case(case, &way, |port| {
            let requests = load::redis(port, "get", count, pipeline)?;
            Ok(Outcome::requests(case, &requests, "ops/s", "s/M ops"))
        })?;
    }
    Ok(())
}

fn http(run: &mut Run<'_>) -> Result<()> {
    let (port, _nginx) = run.bench.http()?;
    let way = run.bench.proxy(run.target, port)?;
    let seconds = run.seconds();
    run.case(KEEP_ALIVE, &way, |port| {
        let requests = load::http(port, seconds, true)?;
        Ok(Outcome::requests(KEEP_ALIVE, &requests, "requests/s", "s/M requests"))
    })
}

fn connections(run: &mut Run<'_>) -> Result<()> {
    let (port, _nginx) = run.bench.http()?;
    let way = run.bench.proxy(run.target, port)?;
    // Four targets leave about 110,000 sockets in TIME_WAIT in this time; from 131,072 on (the
    // usual `net.ipv4.tcp_max_tw_buckets`) the kernel treats connections differently, as whoever
    // comes fifth in a round may see.
    let seconds = run.seconds().min(2);
    run.case(CONNECTIONS, &way, |port| {
        let before = procfs::time_wait_sockets();
        let requests = load::http(port, seconds, false)?;
        let mut outcome =
            Outcome::requests(CONNECTIONS, &requests, "connections/s", "us/connection");
        outcome.values.push((TIME_WAIT, before as f64));
        Ok(outcome)
    })
}

fn bulk(run: &mut Run<'_>) -> Result<()> {
    let (port, _iperf) = run.bench.iperf()?;
    let way = run.bench.proxy(run.target, port)?;
    let seconds = run.seconds();
    for (case, streams) in [("bulk 1 stream", 1), ("bulk 4 streams", 4)] {
        run.case(case, &way, |port| {
            let transfer = load::bulk(port, seconds, streams)?;
            let rate = metric(case, "rate", "Gb/s", Better::Higher);
            let cpu = metric(case, "CPU", "s/GB", Better::Lower);
            let values = vec![(rate, transfer.gigabits_per_second)];
            Ok(Outcome { values, cpu, cpu_scale: 1e9 / transfer.bytes })
        })?;
    }
    Ok(())
}

fn idle(run: &mut Run<'_>) -> Result<()> {
    let backend = idle::Backend::new()?;
    let way = run.bench.proxy(run.target, backend.port()?)?;
    let Some(proxy) = &way.proxy else { return Ok(()) };
    let result = backend.bytes_per_connection(proxy, way.port).map(|bytes| {
        let memory = metric(IDLE, "memory", "KiB/connection", Better::Lower);
        run.add([(memory, bytes / 1024.0)]);
    });
    run.keep_failure(IDLE, result)
}

/// What one load gave: values, and how processor time becomes a value.
struct Outcome {
    values: Vec<(Metric, f64)>,
    cpu: Metric,
    cpu_scale: f64,
}

impl Outcome {
    fn requests(
        case: &'static str,
        requests: &load::Requests,
        rate_unit: &'static str,
        cpu_unit: &'static str,
    ) -> Self {
        Self {
            values: vec![
                (metric(case, "rate", rate_unit, Better::Higher), requests.rate),
                (metric(case, "p50", "ms", Better::Lower), requests.p50_ms),
                (metric(case, "p99", "ms", Better::Lower), requests.p99_ms),
            ],
            cpu: metric(case, "CPU", cpu_unit, Better::Lower),
            // Seconds per million requests are microseconds per request.
            cpu_scale: 1e6 / requests.count,
        }
    }
}

impl Run<'_> {
    fn seconds(&self) -> u32 {
        if self.quick { 1 } else { 3 }
    }

    /// Runs one load over `way` and keeps its values, or its failure.
    fn case(
        &mut self,
        case: &'static str,
        way: &Way,
        load: impl FnOnce(u16) -> Result<Outcome>,
    ) -> Result<()> {
        let cpu = || way.proxy.as_ref().map_or(Duration::ZERO, |p| procfs::cpu_time(p.pid()));
        let before = cpu();
        let result = load(way.port).map(|mut outcome| {
            // The client is done first; the proxy still has connections to close.
            process::pause(SETTLE);
            if way.proxy.is_some() {
                let seconds = cpu().saturating_sub(before).as_secs_f64();
                outcome.values.push((outcome.cpu, seconds * outcome.cpu_scale));
            }
            self.add(outcome.values);
        });
        self.keep_failure(case, result)
    }

    fn add(&mut self, values: impl IntoIterator<Item = (Metric, f64)>) {
        let (target, round) = (self.target.name(), self.round);
        let samples = values.into_iter();
        let samples = samples.map(|(metric, value)| Sample { target, round, metric, value });
        self.report.extend(samples);
    }

    /// Puts an error into the report; only an interrupt ends the run.
    fn keep_failure(&mut self, case: &'static str, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if !error.is_interrupt() => {
                let (target, round) = (self.target.name(), self.round);
                let what = error.to_string();
                self.report.failures.push(Failure { target, round, case, what });
                Ok(())
            }
            other => other,
        }
    }
}

const fn metric(
    case: &'static str,
    quantity: &'static str,
    unit: &'static str,
    better: Better,
) -> Metric {
    Metric { case, quantity, unit, better: Some(better) }
}

/// Name, commands in flight on each connection, commands: two to four seconds each.
const REDIS_CASES: [(&str, u32, u32); 3] =
    [("redis P1", 1, 150_000), ("redis P16", 16, 1_200_000), ("redis P64", 64, 2_000_000)];

const CONNECTIONS: &str = "new connections";
const KEEP_ALIVE: &str = "HTTP keep-alive";
const IDLE: &str = "5,000 idle";

/// Sockets of the whole machine in TIME_WAIT before the case began.
const TIME_WAIT: Metric =
    Metric { case: CONNECTIONS, quantity: "TIME_WAIT", unit: "sockets", better: None };

/// Between the end of a load and the reading of the proxy's processor time.
const SETTLE: Duration = Duration::from_millis(100);
