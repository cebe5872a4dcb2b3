//! What a recording saw: counted stacks with functions, files and lines, and what was lost.
//!
//! Shares are of all samples, also of those whose stack was cut. A function counts once in a stack
//! however often it recurs there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::process::ExitStatus;
use std::time::Duration;

use serde::Serialize;

use super::processes::Thread;
use super::recorder::{Moment, Recorded};
use super::stacks::{Code, Node, Place, ROOT};
use super::symbols::Symbols;
use super::{firefox, flame, pprof};
use crate::counters::Reason;

/// Samples with their symbols.
#[derive(Debug)]
pub struct Profile {
    pub(super) threads: Vec<Thread>,
    pub(super) places: Vec<Place>,
    /// Frames of each place, the outermost first; never empty.
    pub(super) frames: Vec<Vec<Frame>>,
    pub(super) nodes: Vec<Node>,
    /// Thread, node and samples, in a stable order.
    pub(super) counts: Vec<(u32, u32, u64)>,
    pub(super) timeline: Vec<Moment>,
    losses: Losses,
    frequency: u32,
    duration: Duration,
    kernel_refused: Option<Reason>,
    status: Option<ExitStatus>,
    samples: u64,
    complete: u64,
}

/// One function of a stack, where it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Frame {
    /// Its name with its path, demangled; `file+0xaddress` where nothing names it.
    pub function: String,
    /// The source file, where debug information says it.
    pub file: Option<String>,
    /// The line in that file.
    pub line: Option<u32>,
    /// The program or library, `[kernel]` or `[unknown]`.
    pub module: String,
    /// True when the compiler put it into the function before it.
    pub is_inlined: bool,
    /// True for the kernel's functions.
    pub is_kernel: bool,
}

/// A stack and how often it was seen.
#[derive(Debug)]
pub struct Stack<'a> {
    /// The thread it was seen in.
    pub thread: &'a Thread,
    /// Its functions, the first of the thread first.
    pub frames: Vec<&'a Frame>,
    /// Samples of exactly this stack.
    pub samples: u64,
}

/// A function and its part of the time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HotFunction {
    /// Its name.
    pub function: String,
    /// Its program or library.
    pub module: String,
    /// File and line that most of its own samples, else of its callees', are at.
    pub place: Option<(String, u32)>,
    /// Samples in which it was itself running, inlined or not.
    pub self_samples: u64,
    /// Samples in which it was on the stack.
    pub total_samples: u64,
    /// `self_samples` of all, 0 to 1.
    pub self_share: f64,
    /// `total_samples` of all, 0 to 1.
    pub total_share: f64,
}

/// A line and its part of the time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HotLine {
    /// The source file.
    pub file: String,
    /// The line in it.
    pub line: u32,
    /// The function that the line belongs to.
    pub function: String,
    /// Samples in which this line was itself running.
    pub self_samples: u64,
    /// `self_samples` of all, 0 to 1.
    pub self_share: f64,
}

/// What was not seen, or not seen whole; all 0 in a good recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// Records that found no room in a ring: samples, or mappings that later samples need.
    pub records: u64,
    /// Times that the kernel took fewer samples to spare the machine.
    pub throttled: u64,
    /// Samples whose stack is deeper than its copy; their outer functions are missing.
    pub cut_stacks: u64,
    /// Samples whose stack could not be followed to its first function.
    pub broken_stacks: u64,
    /// Samples counted further out than they were, because the tree of stacks is full.
    pub shortened_stacks: u64,
    /// Samples that are counted and not in the timeline, because it is full.
    pub moments: u64,
}

impl Profile {
    pub(super) fn new(recorded: Recorded) -> Self {
        let Recorded { processes, stacks, timeline, mut losses, .. } = recorded;
        losses.shortened_stacks = stacks.shortened;
        let mut symbols = Symbols::new(&processes.images);
        let frames = stacks.places.iter().map(|place| symbols.resolve(*place)).collect();
        let mut counts: Vec<_> = stacks
            .counts
            .into_iter()
            .map(|((thread, node), count)| (thread, node, count))
            .collect();
        counts.sort_unstable();
        Self {
            threads: processes.threads,
            places: stacks.places,
            frames,
            nodes: stacks.nodes,
            samples: counts.iter().map(|(_, _, count)| count).sum(),
            counts,
            timeline,
            losses,
            frequency: recorded.frequency,
            duration: recorded.duration,
            kernel_refused: recorded.kernel_refused,
            status: recorded.status,
            complete: recorded.complete,
        }
    }

    /// Returns how many samples there are.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Returns samples per second of processor time, as asked for.
    pub fn frequency(&self) -> u32 {
        self.frequency
    }

    /// Returns how long the recording took.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns what was lost.
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// Returns why the kernel's part is missing, when it was wanted and refused.
    pub fn kernel_refused(&self) -> Option<&Reason> {
        self.kernel_refused.as_ref()
    }

    /// Returns how the command ended; `None` for a process that was attached to.
    pub fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Returns the threads that were seen, each once under each of its names.
    pub fn threads(&self) -> &[Thread] {
        &self.threads
    }

    /// Returns the part of samples whose stack was followed to the thread's first function.
    pub fn complete_share(&self) -> f64 {
        share(self.complete, self.samples)
    }

    /// Returns the part of samples that have a function on their stack: one with this name, or
    /// whose path ends with it (`main` is also `server::main`).
    pub fn share_under(&self, function: &str) -> f64 {
        let is_it = |frame: &&Frame| {
            let head = frame.function.strip_suffix(function);
            head.is_some_and(|head| head.is_empty() || head.ends_with("::"))
        };
        let under = self.stacks().filter(|stack| stack.frames.iter().any(is_it));
        share(under.map(|stack| stack.samples).sum(), self.samples)
    }

    /// Returns each stack with its samples.
    pub fn stacks(&self) -> impl Iterator<Item = Stack<'_>> {
        self.counts.iter().map(|(thread, node, samples)| {
            let places = self.path(*node);
            let frames = places.iter().flat_map(|place| &self.frames[*place as usize]).collect();
            Stack { thread: &self.threads[*thread as usize], frames, samples: *samples }
        })
    }

    /// Returns the functions with the most samples of their own, the most first.
    pub fn hot_functions(&self, count_max: usize) -> Vec<HotFunction> {
        let mut tallies: HashMap<(&str, &str), Tally<'_>> = HashMap::new();
        for stack in self.stacks() {
            let mut seen = HashSet::new();
            for frame in stack.frames.iter().rev() {
                let key = (frame.function.as_str(), frame.module.as_str());
                if seen.insert(key) {
                    tallies.entry(key).or_default().total(frame, stack.samples);
                }
            }
            if let Some(leaf) = stack.frames.last() {
                let key = (leaf.function.as_str(), leaf.module.as_str());
                tallies.entry(key).or_default().own(leaf, stack.samples);
            }
        }
        let mut hot: Vec<_> = tallies
            .into_iter()
            .map(|((function, module), tally)| tally.finish(function, module, self.samples))
            .collect();
        hot.sort_by(|a, b| {
            let key = |hot: &HotFunction| (hot.self_samples, hot.total_samples);
            key(b).cmp(&key(a)).then_with(|| a.function.cmp(&b.function))
        });
        hot.truncate(count_max);
        hot
    }

    /// Returns the lines with the most samples of their own, the most first.
    pub fn hot_lines(&self, count_max: usize) -> Vec<HotLine> {
        let mut lines: BTreeMap<(&str, u32, &str), u64> = BTreeMap::new();
        for stack in self.stacks() {
            let Some(leaf) = stack.frames.last() else { continue };
            if let (Some(file), Some(line)) = (&leaf.file, leaf.line) {
                *lines.entry((file, line, &leaf.function)).or_default() += stack.samples;
            }
        }
        let mut hot: Vec<_> = lines
            .into_iter()
            .map(|((file, line, function), self_samples)| HotLine {
                file: file.to_owned(),
                line,
                function: function.to_owned(),
                self_samples,
                self_share: share(self_samples, self.samples),
            })
            .collect();
        hot.sort_by_key(|line| std::cmp::Reverse(line.self_samples));
        hot.truncate(count_max);
        hot
    }

    /// Returns a line per stack, `thread;outermost;...;innermost samples`, which flame-graph tools
    /// read. Kernel functions end with `_[k]`.
    pub fn folded(&self) -> String {
        let mut folded: BTreeMap<String, u64> = BTreeMap::new();
        for stack in self.stacks() {
            let mut line = stack.thread.name.replace([';', '\n'], ":");
            for frame in &stack.frames {
                line.push(';');
                line.push_str(&frame.function.replace([';', '\n'], ":"));
                if frame.is_kernel {
                    line.push_str("_[k]");
                }
            }
            *folded.entry(line).or_default() += stack.samples;
        }
        folded.into_iter().fold(String::new(), |mut text, (stack, samples)| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{stack} {samples}");
            text
        })
    }

    /// Returns a flame graph as an SVG page that zooms and searches without anything else.
    pub fn flame_graph(&self, title: &str) -> String {
        flame::render(self, title)
    }

    /// Returns the profile as an uncompressed pprof message, with inlined functions and lines.
    pub fn pprof(&self) -> Vec<u8> {
        pprof::encode(self)
    }

    /// Returns the profile as JSON for profiler.firefox.com, with the time of each sample.
    pub fn firefox_json(&self, title: &str) -> String {
        firefox::render(self, title)
    }

    /// Returns the places from the root to a node.
    pub(super) fn path(&self, mut node: u32) -> Vec<u32> {
        let mut places = Vec::new();
        while node != ROOT {
            let Node { before, place } = self.nodes[node as usize];
            places.push(place);
            node = before;
        }
        places.reverse();
        places
    }
}

impl Frame {
    pub(super) fn unnamed(function: &str, module: &str) -> Self {
        Self {
            function: function.to_owned(),
            file: None,
            line: None,
            module: module.to_owned(),
            is_inlined: false,
            is_kernel: false,
        }
    }
}

impl Code {
    pub(super) fn is_image(self) -> bool {
        matches!(self, Self::Image(_))
    }
}

/// Samples of one function while they are summed.
#[derive(Default)]
struct Tally<'a> {
    own: u64,
    total: u64,
    own_places: BTreeMap<(&'a str, u32), u64>,
    places: BTreeMap<(&'a str, u32), u64>,
}

impl<'a> Tally<'a> {
    fn own(&mut self, frame: &'a Frame, samples: u64) {
        self.own += samples;
        if let (Some(file), Some(line)) = (&frame.file, frame.line) {
            *self.own_places.entry((file, line)).or_default() += samples;
        }
    }

    fn total(&mut self, frame: &'a Frame, samples: u64) {
        self.total += samples;
        if let (Some(file), Some(line)) = (&frame.file, frame.line) {
            *self.places.entry((file, line)).or_default() += samples;
        }
    }

    fn finish(self, function: &str, module: &str, all: u64) -> HotFunction {
        let most = |places: &BTreeMap<(&str, u32), u64>| {
            let place = places.iter().max_by_key(|(_, samples)| **samples);
            place.map(|((file, line), _)| ((*file).to_owned(), *line))
        };
        HotFunction {
            function: function.to_owned(),
            module: module.to_owned(),
            place: most(&self.own_places).or_else(|| most(&self.places)),
            self_samples: self.own,
            total_samples: self.total,
            self_share: share(self.own, all),
            total_share: share(self.total, all),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}
