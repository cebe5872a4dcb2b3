//! Where the time goes: CPU samples and allocations, laid on the project's own functions.
//!
//! A sample belongs to the innermost function of the project on its stack: time in the standard
//! library or the kernel is charged to the line that called them, because that line is what can be
//! changed. Allocations are charged in the same way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill_profile::sampling::{Profile, Recording, Sampler};

use crate::error::Error;
use crate::find::{Finding, Sources};
use crate::measure::allocations::Allocations;
use crate::measure::{Prepared, callgrind, now};
use crate::progress::Stop;

/// A function of the project and its share of the cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hotspot {
    /// Its name, as the sources have it.
    pub function: String,
    /// Its file, relative to the workspace.
    pub file: PathBuf,
    /// Its most expensive line.
    pub line: u32,
    /// Its share of all samples, 0 to 1.
    pub share: f64,
    /// Blocks it allocated, with what it calls outside of the project.
    pub allocations: u64,
}

/// Samples and allocations by line.
#[derive(Debug, Default)]
pub struct Heat {
    lines: BTreeMap<(PathBuf, u32), Cost>,
    samples: u64,
    blocks: u64,
    /// The flame graph of the run, as SVG.
    flame_graph: String,
}

#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    samples: u64,
    blocks: u64,
}

impl Heat {
    /// Samples runs of `program` until there are a thousand samples, at most 20 runs.
    ///
    /// `root` is where the sources lie that the program was built from.
    ///
    /// # Errors
    ///
    /// The kernel refuses to sample, the program does not run, or the session was stopped.
    pub fn sample(program: &Prepared, root: &Path, stop: &Stop) -> Result<Self, Error> {
        let mut heat = Self::default();
        for _ in 0..RUNS_MAX {
            let mut command = program.command();
            program.set_streams(&mut command)?;
            let refused = |error| Error::machine("cannot sample the workload").because(error);
            let recording = Sampler::new().spawn(command).map_err(refused)?;
            let profile = watched(recording, program.timeout(), stop).map_err(refused)?;
            stop.check()?;
            heat.add(&profile, root);
            if heat.flame_graph.is_empty() {
                heat.flame_graph = profile.flame_graph(&program.program().display().to_string());
            }
            if heat.samples >= SAMPLES_ENOUGH {
                break;
            }
        }
        Ok(heat)
    }

    /// Takes instructions in the place of samples: for machines that do not let us sample.
    ///
    /// # Errors
    ///
    /// As [`callgrind::lines`].
    pub fn count(
        program: &Prepared,
        root: &Path,
        folder: &Path,
        stop: &Stop,
    ) -> Result<Self, Error> {
        let counted = callgrind::lines(program, root, folder, stop)?;
        let cost = |samples| Cost { samples, blocks: 0 };
        Ok(Self {
            lines: counted.costs.into_iter().map(|(place, count)| (place, cost(count))).collect(),
            samples: counted.total,
            ..Self::default()
        })
    }

    fn add(&mut self, profile: &Profile, root: &Path) {
        for stack in profile.stacks() {
            self.samples += stack.samples;
            let own = stack.frames.iter().rev().find_map(|frame| {
                let file = Path::new(frame.file.as_deref()?).strip_prefix(root).ok()?;
                Some((file.to_owned(), frame.line?))
            });
            if let Some(place) = own {
                self.lines.entry(place).or_default().samples += stack.samples;
            }
        }
    }

    /// Adds what a run allocated.
    pub fn add_allocations(&mut self, allocations: &Allocations, root: &Path) {
        self.blocks += allocations.blocks;
        for site in &allocations.sites {
            let Ok(file) = site.file.strip_prefix(root) else { continue };
            self.lines.entry((file.to_owned(), site.line)).or_default().blocks += site.blocks;
        }
    }

    /// Returns the functions of the project, the most expensive first.
    #[must_use]
    pub fn hotspots(&self, sources: &Sources) -> Vec<Hotspot> {
        let mut spots = BTreeMap::<(&Path, &str), (Hotspot, u64)>::new();
        for ((file, line), cost) in &self.lines {
            let Some(function) = sources.function_at(file, *line) else { continue };
            let spot = spots.entry((file, &function.name)).or_insert_with(|| {
                let spot = Hotspot {
                    function: function.name.clone(),
                    file: file.clone(),
                    line: *line,
                    share: 0.0,
                    allocations: 0,
                };
                (spot, 0)
            });
            spot.0.share += share(cost.samples, self.samples);
            spot.0.allocations += cost.blocks;
            if cost.samples > spot.1 {
                (spot.0.line, spot.1) = (*line, cost.samples);
            }
        }
        let mut spots: Vec<Hotspot> = spots.into_values().map(|(spot, _)| spot).collect();
        spots.sort_by(|a, b| b.share.total_cmp(&a.share).then(b.allocations.cmp(&a.allocations)));
        spots
    }

    /// Returns what the function around a finding costs, and what the lines near it do: shares of
    /// all samples, or of all allocations where that is more.
    #[must_use]
    pub fn cost_of(&self, finding: &Finding, sources: &Sources) -> (f64, f64) {
        let Some(function) = sources.function_at(&finding.file, finding.line) else {
            return (0.0, 0.0);
        };
        let sum = |first: u32, last: u32| {
            let range = (finding.file.clone(), first)..=(finding.file.clone(), last);
            let costs = self.lines.range(range).map(|(_, cost)| cost);
            let (samples, blocks) = costs.fold((0, 0), |(samples, blocks), cost| {
                (samples + cost.samples, blocks + cost.blocks)
            });
            share(samples, self.samples).max(share(blocks, self.blocks) * ALLOCATION_WEIGHT)
        };
        let near = finding.line.saturating_sub(1)..=finding.line.saturating_add(NEAR_LINES);
        (sum(function.first_line, function.last_line), sum(*near.start(), *near.end()))
    }

    /// Returns the flame graph of the first run, as SVG; empty before there was one.
    #[must_use]
    pub fn flame_graph(&self) -> &str {
        &self.flame_graph
    }
}

/// Waits for a recording; ends it when the session stops or the program's time is over.
fn watched(
    recording: Recording,
    timeout: Duration,
    stop: &Stop,
) -> Result<Profile, tidemill_profile::Error> {
    let stopper = recording.stopper();
    let deadline = now() + timeout;
    std::thread::scope(|scope| {
        let (done, is_done) = sync_channel::<()>(0);
        scope.spawn(move || {
            while is_done.recv_timeout(STOP_LATENCY_MAX) == Err(RecvTimeoutError::Timeout) {
                if stop.is_requested() || now() > deadline {
                    // Once to ask it, again to end it.
                    stopper.stop();
                }
            }
        });
        let profile = recording.wait();
        drop(done);
        profile
    })
}

/// Orders findings by what they cost, the most expensive first, and returns each with its share.
#[must_use]
pub fn rank(findings: Vec<Finding>, heat: &Heat, sources: &Sources) -> Vec<(Finding, f64)> {
    let mut ranked: Vec<(Finding, f64, f64)> = findings
        .into_iter()
        .map(|finding| {
            let (function, near) = heat.cost_of(&finding, sources);
            (finding, function, near)
        })
        .collect();
    // Stable, so that what costs the same stays in the order of the text.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.2.total_cmp(&a.2)));
    ranked.into_iter().map(|(finding, function, _)| (finding, function)).collect()
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How long a sampled program may go on after the session was told to stop.
const STOP_LATENCY_MAX: Duration = Duration::from_millis(100);

/// Runs that are sampled at most.
const RUNS_MAX: u32 = 20;

/// With a thousand samples a share of 10 % is known to about one point.
const SAMPLES_ENOUGH: u64 = 1_000;

/// A share of allocations counts for half of the same share of time.
const ALLOCATION_WEIGHT: f64 = 0.5;

/// How far below its first line a finding reaches.
const NEAR_LINES: u32 = 3;
