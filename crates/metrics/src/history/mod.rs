//! What series were: rings at 1 s, 10 s and 1 min, and a file that outlives the process.
//!
//! ```text
//! sample, each second --> ring of 1 s  (2 min)   fine and young
//!                     --> ring of 10 s (30 min)
//!                     --> ring of 1 min (12 h)   coarse and old
//!                     --> flush, each interval --> file (record.rs, file.rs)
//! ```
//!
//! A ring has 8 bytes for each place, made when its series is first seen. All series tick together,
//! so each ring's times are kept once. The total is bounded: where a new series has no room, the
//! rings of all are halved, those that look back furthest first ("oldest thinned first"), down to
//! [`PLACES_MIN`] places each; then further series are left out and counted.
//!
//! Never: reads a clock (times are arguments), starts a thread. Only `file.rs` does I/O.

mod file;
mod record;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use file::{HistoryError, HistoryFile, Recovered};
use record::Record;

use crate::registry::{Carried, Registry};
use crate::sample::{Key, Value};

/// What a history may keep.
///
/// # Defaults
///
/// 120 places of 1 s, 180 of 10 s, 720 of 1 min, in 32 MiB: 4,000 series before any is thinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Places of the rings of 1 s, 10 s and 1 min; at least 16 each.
    pub places: [usize; 3],
    /// Bytes of all rings together.
    pub bytes_max: usize,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { places: [120, 180, 720], bytes_max: 32 << 20 }
    }
}

/// Samples of all series of a registry over time, within fixed memory.
#[derive(Debug)]
pub struct History {
    bytes_max: usize,
    rings: [Ring; 3],
    series: Vec<Track>,
    by_key: HashMap<Key, usize>,
    by_name: HashMap<String, usize>,
    left_out: u64,
}

/// When the places of a ring were taken, oldest first.
#[derive(Debug)]
struct Ring {
    step: Duration,
    places: usize,
    /// Milliseconds since 1970.
    times: VecDeque<u64>,
}

/// One series.
#[derive(Debug)]
struct Track {
    name: String,
    created_ms: u64,
    is_counter: bool,
    /// The newest value, `None` while the series is not there.
    last: Option<Value>,
    seen_ms: u64,
    /// For each ring the values of its newest places; a series that came later has fewer.
    values: [VecDeque<f64>; 3],
}

impl History {
    /// Makes an empty history.
    pub fn new(options: HistoryOptions) -> Self {
        let mut places = options.places.into_iter();
        let rings = STEPS.map(|step| {
            let places = places.next().unwrap_or_default().clamp(PLACES_MIN, PLACES_MAX);
            Ring { step, places, times: VecDeque::with_capacity(places) }
        });
        Self {
            bytes_max: options.bytes_max,
            rings,
            series: Vec::new(),
            by_key: HashMap::new(),
            by_name: HashMap::new(),
            left_out: 0,
        }
    }

    /// Takes every number of `registry` at the moment `now`, which is `at` on the wall clock.
    /// Called once a second; a time before the last one counts as the last one.
    pub fn sample(&mut self, registry: &Registry, now: Instant, at: SystemTime) {
        let at_ms = self.monotonic(millis(at));
        self.series.iter_mut().for_each(|track| track.last = None);
        registry.each_sample(now, |sample| {
            let index = match self.by_key.get(&sample.key()) {
                Some(&index) => Some(index),
                None => {
                    let (name, created_ms) = (sample.series(), millis(sample.created()));
                    let index = self.track(name, created_ms, sample.is_counter());
                    index.inspect(|&index| {
                        self.by_key.insert(sample.key(), index);
                    })
                }
            };
            if let Some(track) = index.and_then(|index| self.series.get_mut(index)) {
                track.last = Some(sample.value());
                track.seen_ms = at_ms;
            }
        });
        self.tick(at_ms);
    }

    /// Returns what a series was between two times, oldest first: each stretch from the finest ring
    /// that still has it.
    pub fn range(&self, name: &str, from: SystemTime, to: SystemTime) -> Vec<(SystemTime, f64)> {
        let Some(track) = self.by_name.get(name).and_then(|&index| self.series.get(index)) else {
            return Vec::new();
        };
        let (from, mut before) = (millis(from), millis(to).saturating_add(1));
        let mut points = Vec::new();
        for (ring, values) in self.rings.iter().zip(&track.values) {
            let places = ring.times.iter().rev().zip(values.iter().rev());
            for (&time, &value) in places {
                if time >= from && time < before && !is_absent(value) {
                    points.push((time, value));
                }
            }
            // What is older comes from the next ring.
            before = before.min(ring.times.front().copied().unwrap_or(before));
        }
        points.reverse();
        points
            .into_iter()
            .map(|(ms, value)| (UNIX_EPOCH + Duration::from_millis(ms), value))
            .collect()
    }

    /// Returns the names of all series that have a history.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.iter().map(|track| track.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Returns how many looks at a series found no room for it.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Returns the places of the three rings as they are now.
    pub fn places(&self) -> [usize; 3] {
        [self.rings[0].places, self.rings[1].places, self.rings[2].places]
    }

    /// Returns the last value of every counter, for [`Registry::carry`].
    pub fn counters(&self) -> Vec<(String, Carried)> {
        let counters = self.series.iter().filter(|track| track.is_counter);
        let carried = counters.filter_map(|track| match track.last {
            Some(Value::Count(value)) => {
                let created = UNIX_EPOCH + Duration::from_millis(track.created_ms);
                Some((track.name.clone(), Carried { value, created }))
            }
            _ => None,
        });
        carried.collect()
    }

    fn monotonic(&self, at_ms: u64) -> u64 {
        at_ms.max(self.rings[0].times.back().copied().unwrap_or(0))
    }

    /// Gives every ring whose step is over the newest values.
    fn tick(&mut self, at_ms: u64) {
        for (index, ring) in self.rings.iter_mut().enumerate() {
            let step_ms = ring.step.as_millis() as u64;
            if ring.times.back().is_some_and(|last| last / step_ms == at_ms / step_ms) {
                continue;
            }
            push(&mut ring.times, at_ms, ring.places);
            for track in self.series.iter_mut().filter(|track| !track.name.is_empty()) {
                let value = track.last.map_or(ABSENT, Value::as_f64);
                push(&mut track.values[index], value, ring.places);
            }
        }
        self.forget_gone(at_ms);
    }

    /// Puts back what a file says of one moment; the newest values stay until the next sample.
    fn restore(&mut self, record: &Record, names: &mut HashMap<u64, usize>) {
        match record {
            Record::Series { number, created_ms, is_counter, name, .. } => {
                if let Some(index) = self.track(name.clone(), *created_ms, *is_counter) {
                    names.insert(*number, index);
                }
            }
            Record::Values { at_ms, values } => {
                let at_ms = self.monotonic(*at_ms);
                for (number, value) in values {
                    if let Some(&index) = names.get(number) {
                        self.series[index].last = Some(*value);
                    }
                }
                // What did not change was there all the same.
                let there = self.series.iter_mut().filter(|track| track.last.is_some());
                there.for_each(|track| track.seen_ms = at_ms);
                self.tick(at_ms);
            }
            Record::Gone { numbers, .. } => {
                for index in numbers.iter().filter_map(|number| names.remove(number)) {
                    self.series[index].last = None;
                }
            }
        }
    }

    /// Frees the places of series that no ring can still hold.
    fn forget_gone(&mut self, at_ms: u64) {
        let span_ms = self.rings[2].step.as_millis() as u64 * self.rings[2].places as u64;
        let mut is_any = self.by_key.len() > 2 * self.by_name.len() + TRACKS_SPARE;
        for track in self.series.iter_mut().filter(|track| !track.name.is_empty()) {
            if track.last.is_none() && track.seen_ms + span_ms < at_ms {
                self.by_name.remove(&track.name);
                track.name = String::new();
                track.values = Default::default();
                is_any = true;
            }
        }
        if is_any {
            // It is found again by name, under the key that it has now.
            self.by_key.clear();
        }
    }

    /// Returns the place of a series, making room for it; `None` when there is none.
    fn track(&mut self, name: String, created_ms: u64, is_counter: bool) -> Option<usize> {
        if let Some(&index) = self.by_name.get(&name) {
            self.series[index].created_ms = created_ms;
            return Some(index);
        }
        if !self.make_room() {
            self.left_out += 1;
            return None;
        }
        let values = [0, 1, 2].map(|ring: usize| VecDeque::with_capacity(self.rings[ring].places));
        let track =
            Track { name: name.clone(), created_ms, is_counter, last: None, seen_ms: 0, values };
        let index = match self.series.iter().position(|track| track.name.is_empty()) {
            Some(index) if self.by_name.len() < self.series.len() => {
                self.series[index] = track;
                index
            }
            _ => {
                self.series.push(track);
                self.series.len() - 1
            }
        };
        self.by_name.insert(name, index);
        Some(index)
    }

    /// Halves rings until one more series fits.
    fn make_room(&mut self) -> bool {
        while (self.by_name.len() + 1) * self.bytes_per_series() > self.bytes_max {
            let Some(index) = (0..3).rev().find(|&ring| self.rings[ring].places > PLACES_MIN)
            else {
                return false;
            };
            let ring = &mut self.rings[index];
            ring.places = (ring.places / 2).max(PLACES_MIN);
            shorten(&mut ring.times, ring.places);
            for track in &mut self.series {
                shorten(&mut track.values[index], self.rings[index].places);
            }
        }
        true
    }

    fn bytes_per_series(&self) -> usize {
        let places: usize = self.rings.iter().map(|ring| ring.places).sum();
        places * size_of::<f64>() + TRACK_BYTES
    }
}

fn push<T>(places: &mut VecDeque<T>, value: T, places_max: usize) {
    if places.len() >= places_max {
        places.pop_front();
    }
    places.push_back(value);
}

/// Drops the oldest and gives their memory back.
fn shorten<T>(places: &mut VecDeque<T>, places_max: usize) {
    places.drain(..places.len().saturating_sub(places_max));
    places.shrink_to(places_max);
}

pub(crate) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// A place at which a series was not there: a NaN that no calculation gives.
const ABSENT: f64 = f64::from_bits(0x7ff8_7469_6465_6d69);

const STEPS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

const PLACES_MIN: usize = 16;
const PLACES_MAX: usize = 1 << 20;

/// Keys of series that went before the look-up table is made anew.
const TRACKS_SPARE: usize = 64;

/// Name, maps and heads of the rings, about.
const TRACK_BYTES: usize = 512;
