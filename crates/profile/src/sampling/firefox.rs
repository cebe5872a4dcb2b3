//! The profile as JSON for profiler.firefox.com: the "processed profile" format, version 55.
//!
//! It has what the others have not: when each sample was taken. Each thread carries its own tables
//! of strings, functions, frames and stacks; a frame is a function with a line, and an inlined one
//! says how deep. A sample outside the timeline (see [`Losses`](super::Losses)) is not in it.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::profile::{Frame, Profile};
use super::recorder::Moment;
use crate::clock;

/// Renders a profile.
pub(super) fn render(profile: &Profile, title: &str) -> String {
    let mut moments: Vec<Vec<Moment>> = vec![Vec::new(); profile.threads.len()];
    for moment in &profile.timeline {
        moments[moment.thread as usize].push(*moment);
    }
    let start_ns = profile.timeline.iter().map(|moment| moment.time_ns).min().unwrap_or(0);
    let seen = moments.iter().enumerate().filter(|(_, moments)| !moments.is_empty());
    let threads: Vec<_> =
        seen.map(|(index, moments)| thread(profile, index, moments, start_ns)).collect();
    let now = clock::date().duration_since(UNIX_EPOCH).unwrap_or_default();
    let document = json!({
        "meta": {
            "categories": [
                { "name": "Program", "color": "orange", "subcategories": ["Other"] },
                { "name": "Library", "color": "green", "subcategories": ["Other"] },
                { "name": "Kernel", "color": "red", "subcategories": ["Other"] },
            ],
            "debug": false,
            "extensions": { "length": 0, "baseURL": [], "id": [], "name": [] },
            "interval": 1000.0 / f64::from(profile.frequency().max(1)),
            "preprocessedProfileVersion": 55,
            "processType": 0,
            "product": title,
            "sampleUnits": { "time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs" },
            "startTime": now.saturating_sub(profile.duration()).as_secs_f64() * 1000.0,
            "symbolicated": true,
            "pausedRanges": [],
            "version": 24,
            "usesOnlyOneStackType": true,
            "sourceCodeIsNotOnSearchfox": true,
            "markerSchema": [],
        },
        "libs": [],
        "threads": threads,
        "pages": [],
        "profilerOverhead": [],
        "counters": [],
    });
    document.to_string()
}

fn thread(profile: &Profile, index: usize, moments: &[Moment], start_ns: u64) -> Value {
    let mut tables = Tables::default();
    let mut stacks = HashMap::new();
    let (mut stack_column, mut time_column) = (Vec::new(), Vec::new());
    for moment in moments {
        let stack = *stacks.entry(moment.node).or_insert_with(|| {
            let places = profile.path(moment.node);
            places.iter().fold(None, |before, place| {
                tables.place(before, &profile.frames[*place as usize], *place)
            })
        });
        stack_column.push(stack);
        time_column.push(milliseconds(moment.time_ns - start_ns));
    }
    let it = &profile.threads[index];
    let count = moments.len();
    let mut value = tables.value();
    let rest = json!({
        "name": it.name,
        "isMainThread": it.pid == it.tid,
        "pausedRanges": [],
        "pid": it.pid.to_string(),
        "processName": it.name,
        "processShutdownTime": null,
        "processStartupTime": 0,
        "processType": "default",
        "registerTime": 0,
        "unregisterTime": null,
        "tid": it.tid.to_string(),
        "samples": {
            "length": count,
            "weightType": "samples",
            "stack": stack_column,
            "time": time_column,
            "weight": vec![1; count],
            "threadCPUDelta": vec![0; count],
        },
        "markers": {
            "length": 0, "category": [], "data": [], "endTime": [], "name": [], "phase": [],
            "startTime": [],
        },
        "nativeSymbols": {
            "length": 0, "address": [], "functionSize": [], "libIndex": [], "name": [],
        },
    });
    if let (Value::Object(all), Value::Object(rest)) = (&mut value, rest) {
        all.extend(rest);
    }
    value
}

/// The tables of one thread while they grow; each row is made once.
#[derive(Default)]
struct Tables {
    strings: Vec<String>,
    string_ids: HashMap<String, usize>,
    resources: Vec<usize>,
    resource_ids: HashMap<String, usize>,
    functions: Vec<(usize, usize, Option<usize>)>,
    function_ids: HashMap<(usize, usize, Option<usize>), usize>,
    frames: Vec<FrameRow>,
    frame_ids: HashMap<(u32, usize), usize>,
    stacks: Vec<(Option<usize>, usize)>,
    stack_ids: HashMap<(Option<usize>, usize), usize>,
}

struct FrameRow {
    function: usize,
    line: Option<u32>,
    depth: usize,
    category: usize,
}

impl Tables {
    /// Adds the frames of a place to a stack; returns the longer stack.
    fn place(&mut self, before: Option<usize>, frames: &[Frame], place: u32) -> Option<usize> {
        frames.iter().enumerate().fold(before, |before, (depth, frame)| {
            let frame = self.frame(frame, place, depth);
            let next = self.stacks.len();
            let stack = *self.stack_ids.entry((before, frame)).or_insert(next);
            if stack == next {
                self.stacks.push((before, frame));
            }
            Some(stack)
        })
    }

    fn frame(&mut self, frame: &Frame, place: u32, depth: usize) -> usize {
        if let Some(id) = self.frame_ids.get(&(place, depth)) {
            return *id;
        }
        let name = self.string(&frame.function);
        let resource = self.resource(&frame.module);
        let file = frame.file.as_ref().map(|file| self.string(file));
        let next = self.functions.len();
        let function = *self.function_ids.entry((name, resource, file)).or_insert(next);
        if function == next {
            self.functions.push((name, resource, file));
        }
        let category = match frame {
            Frame { is_kernel: true, .. } => 2,
            Frame { file: None, .. } => 1,
            _ => 0,
        };
        self.frames.push(FrameRow { function, line: frame.line, depth, category });
        self.frame_ids.insert((place, depth), self.frames.len() - 1);
        self.frames.len() - 1
    }

    fn string(&mut self, text: &str) -> usize {
        if let Some(id) = self.string_ids.get(text) {
            return *id;
        }
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), self.strings.len() - 1);
        self.strings.len() - 1
    }

    fn resource(&mut self, module: &str) -> usize {
        if let Some(id) = self.resource_ids.get(module) {
            return *id;
        }
        let name = self.string(module.rsplit('/').next().unwrap_or(module));
        self.resources.push(name);
        self.resource_ids.insert(module.to_owned(), self.resources.len() - 1);
        self.resources.len() - 1
    }

    fn value(self) -> Value {
        let (frames, functions) = (self.frames.len(), self.functions.len());
        let resources = self.resources.len();
        let none = |count: usize| vec![Value::Null; count];
        let frame = |column: fn(&FrameRow) -> Value| -> Vec<Value> {
            self.frames.iter().map(column).collect()
        };
        json!({
            "frameTable": {
                "length": frames,
                "address": vec![-1; frames],
                "inlineDepth": frame(|row| row.depth.into()),
                "category": frame(|row| row.category.into()),
                "subcategory": vec![0; frames],
                "func": frame(|row| row.function.into()),
                "nativeSymbol": none(frames),
                "innerWindowID": vec![0; frames],
                "line": frame(|row| row.line.into()),
                "column": none(frames),
            },
            "funcTable": {
                "length": functions,
                "name": self.functions.iter().map(|row| row.0).collect::<Vec<_>>(),
                "isJS": vec![false; functions],
                "relevantForJS": vec![false; functions],
                "resource": self.functions.iter().map(|row| row.1).collect::<Vec<_>>(),
                "fileName": self.functions.iter().map(|row| row.2).collect::<Vec<_>>(),
                "lineNumber": none(functions),
                "columnNumber": none(functions),
            },
            "resourceTable": {
                "length": resources,
                "lib": none(resources),
                "name": self.resources,
                "host": none(resources),
                "type": vec![1; resources],
            },
            "stackTable": {
                "length": self.stacks.len(),
                "prefix": self.stacks.iter().map(|row| row.0).collect::<Vec<_>>(),
                "frame": self.stacks.iter().map(|row| row.1).collect::<Vec<_>>(),
            },
            "stringArray": self.strings,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are a hundred days")]
fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
