//! What is mapped where in each process that is watched, kept true by the kernel's own records.
//!
//! ```text
//! fork     a copy of the parent's mappings
//! exec     none left; the new program's come as mappings
//! mapping  takes the place of what it overlaps
//! exit     of the last thread forgets the process
//! ```
//!
//! Limits: [`PROCESSES_MAX`] processes alive at once and [`THREADS_MAX`] threads altogether; those
//! beyond share one row and unwind by frame pointers only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use framehop::{CacheNative, FrameAddress, MayAllocateDuringUnwind, Unwinder, UnwinderNative};

use super::image::{ImageId, Images, Section};
use super::stacks::{Code, Place};
use crate::perf::record::{Mapping, Record, Sample};
use crate::perf::registers;

/// Every process that is watched, and how to unwind it.
#[derive(Default)]
pub(crate) struct Processes {
    pub(crate) images: Images,
    alive: HashMap<u32, Process>,
    current: HashMap<u32, u32>,
    pub(crate) threads: Vec<Thread>,
    cache: CacheNative<MayAllocateDuringUnwind>,
}

/// A thread under one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Id of its process.
    pub pid: u32,
    /// Its own id; that of the process for its first thread.
    pub tid: u32,
    /// What it calls itself, at most 15 bytes.
    pub name: String,
}

#[derive(Default, Clone)]
struct Process {
    mappings: BTreeMap<u64, Mapped>,
    unwinder: UnwinderNative<Section, MayAllocateDuringUnwind>,
    threads: HashSet<u32>,
}

#[derive(Debug, Clone)]
struct Mapped {
    end: u64,
    bias: u64,
    image: Option<ImageId>,
}

/// A stack, root first.
#[derive(Debug)]
pub(crate) struct Unwound {
    pub(crate) thread: u32,
    pub(crate) places: Vec<Place>,
    pub(crate) end: End,
}

/// How far a stack was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// To the first function of the thread.
    Root,
    /// To the end of the copy: the stack is deeper.
    Cut,
    /// To a frame that nothing says how to leave.
    Lost,
}

impl Processes {
    /// Takes a record that is no sample.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Mapping(mapping) => self.map(mapping),
            Record::Name { pid, tid, is_exec, name } => {
                if *is_exec && let Some(process) = self.process(*pid) {
                    *process = Process::default();
                }
                self.rename(*pid, *tid, name);
            }
            Record::Fork { pid, parent_pid, tid, parent_tid } => {
                self.fork(*pid, *parent_pid, *tid, *parent_tid);
            }
            Record::Exit { pid, tid } => self.exit(*pid, *tid),
            Record::Sample(_) | Record::Lost(_) | Record::Throttled => {}
        }
    }

    /// Reads what a process that already runs has mapped, and its threads' names.
    pub(crate) fn adopt(&mut self, pid: u32) {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        for mapping in maps.lines().filter_map(|line| mapping_of_line(pid, line)) {
            self.map(&mapping);
        }
        for tid in threads_of(pid) {
            let comm = fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm"));
            self.rename(pid, tid, comm.unwrap_or_default().trim_end());
        }
    }

    /// Follows a stack to its root.
    pub(crate) fn unwind(&mut self, sample: &Sample) -> Unwound {
        let thread = self.thread(sample.pid, sample.tid);
        let mut places = Vec::with_capacity(64);
        for (depth, address) in sample.kernel.iter().enumerate() {
            // All but the innermost are return addresses, one behind their call.
            let address = address.saturating_sub(u64::from(depth > 0));
            places.push(Place { code: Code::Kernel, address });
        }
        let mut end = End::Root;
        if let Some(values) = sample.registers {
            end = self.unwind_program(sample, values, &mut places);
        } else if places.is_empty() {
            places.push(self.place(sample.pid, sample.ip));
        }
        places.reverse();
        Unwound { thread, places, end }
    }

    fn unwind_program(
        &mut self,
        sample: &Sample,
        values: [u64; registers::COUNT],
        places: &mut Vec<Place>,
    ) -> End {
        let (ip, sp, start) = registers::pointers(values);
        let mut is_past_copy = false;
        let mut read_stack = |address: u64| {
            let word = address
                .checked_sub(sp)
                .and_then(|offset| usize::try_from(offset).ok())
                .and_then(|offset| sample.stack.get(offset..offset.checked_add(8)?))
                .and_then(|bytes| bytes.try_into().ok().map(u64::from_ne_bytes));
            is_past_copy |= word.is_none() && address >= sp;
            word.ok_or(())
        };
        let mut addresses = Vec::with_capacity(64);
        let mut end = End::Cut;
        let nobody = UnwinderNative::new();
        let unwinder = self.alive.get(&sample.pid).map_or(&nobody, |process| &process.unwinder);
        let mut frames = unwinder.iter_frames(ip, start, &mut self.cache, &mut read_stack);
        while addresses.len() < FRAMES_MAX {
            match frames.next() {
                Ok(Some(frame)) => addresses.push(lookup(frame)),
                Ok(None) => {
                    end = End::Root;
                    break;
                }
                Err(_) => {
                    end = End::Lost;
                    break;
                }
            }
        }
        if end == End::Lost && is_past_copy && sample.is_stack_cut {
            end = End::Cut;
        }
        places.extend(addresses.into_iter().map(|address| self.place(sample.pid, address)));
        end
    }

    pub(super) fn place(&self, pid: u32, address: u64) -> Place {
        let found = self.alive.get(&pid).and_then(|process| {
            let (_, mapped) = process.mappings.range(..=address).next_back()?;
            let image = mapped.image.filter(|_| address < mapped.end)?;
            Some(Place { code: Code::Image(image), address: address.wrapping_sub(mapped.bias) })
        });
        found.unwrap_or(Place { code: Code::Unknown, address })
    }

    fn map(&mut self, mapping: &Mapping) {
        let image = self.images.of(mapping);
        let images = std::mem::take(&mut self.images);
        if let Some(process) = self.process(mapping.pid) {
            process.map(mapping, image, &images);
        }
        self.images = images;
    }

    fn fork(&mut self, pid: u32, parent_pid: u32, tid: u32, parent_tid: u32) {
        if pid != parent_pid {
            let copy = self.alive.get(&parent_pid).cloned().unwrap_or_default();
            if let Some(process) = self.process(pid) {
                *process = Process { threads: HashSet::new(), ..copy };
            }
        }
        if let Some(process) = self.process(pid) {
            process.threads.insert(tid);
        }
        let parent = self.current.get(&parent_tid).and_then(|row| self.threads.get(*row as usize));
        let name = parent.map(|parent| parent.name.clone()).unwrap_or_default();
        self.rename(pid, tid, &name);
    }

    fn exit(&mut self, pid: u32, tid: u32) {
        self.current.remove(&tid);
        if let Some(process) = self.alive.get_mut(&pid) {
            process.threads.remove(&tid);
            if process.threads.is_empty() {
                self.alive.remove(&pid);
            }
        }
    }

    fn process(&mut self, pid: u32) -> Option<&mut Process> {
        if self.alive.len() >= PROCESSES_MAX && !self.alive.contains_key(&pid) {
            return None;
        }
        Some(self.alive.entry(pid).or_default())
    }

    /// Gives a thread a row of its own, unless it has one with this name.
    fn rename(&mut self, pid: u32, tid: u32, name: &str) {
        if let Some(process) = self.process(pid) {
            process.threads.insert(tid);
        }
        let known = self.current.get(&tid).and_then(|row| self.threads.get(*row as usize));
        if known.is_some_and(|thread| thread.pid == pid && thread.name == name) {
            return;
        }
        let row = if self.threads.len() < THREADS_MAX {
            self.threads.push(Thread { pid, tid, name: name.to_owned() });
            self.threads.len() - 1
        } else {
            // The last row is for everybody beyond the limit.
            self.threads[THREADS_MAX - 1] = Thread { pid: 0, tid: 0, name: OTHERS.to_owned() };
            THREADS_MAX - 1
        };
        self.current.insert(tid, u32::try_from(row).expect("below the limit"));
    }

    fn thread(&mut self, pid: u32, tid: u32) -> u32 {
        if !self.current.contains_key(&tid) {
            self.rename(pid, tid, &format!("thread {tid}"));
        }
        self.current[&tid]
    }
}

impl Process {
    fn map(&mut self, mapping: &Mapping, image: Option<ImageId>, images: &Images) {
        let end = mapping.start.saturating_add(mapping.bytes);
        let overlapped: Vec<u64> = self
            .mappings
            .range(..end)
            .filter(|(_, mapped)| mapped.end > mapping.start)
            .map(|(start, _)| *start)
            .collect();
        for start in overlapped {
            self.mappings.remove(&start);
            self.unwinder.remove_module(start);
        }
        let bias = image.map_or(0, |id| images.get(id).bias(mapping));
        if let Some(id) = image {
            self.unwinder.add_module(images.get(id).module(mapping, bias));
        }
        self.mappings.insert(mapping.start, Mapped { end, bias, image });
    }
}

/// Returns the ids of a process' threads; none when it is gone.
pub(crate) fn threads_of(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads a line of `/proc/PID/maps`: `start-end perms offset device inode path`.
fn mapping_of_line(pid: u32, line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let is_executable = fields.next()?.contains('x');
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let path = fields.next().unwrap_or_default().trim_start().to_owned();
    let start = u64::from_str_radix(start, 16).ok()?;
    let bytes = u64::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    is_executable.then_some(Mapping { pid, start, bytes, offset, inode, path })
}

/// Returns the address whose symbol is the frame's: that of the call, not of what comes after it.
fn lookup(frame: FrameAddress) -> u64 {
    frame.address_for_lookup()
}

const PROCESSES_MAX: usize = 4096;
const THREADS_MAX: usize = 1 << 16;
const FRAMES_MAX: usize = 1024;
const OTHERS: &str = "(other threads)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_lines_of_maps_are_mappings() {
        let line = "55d0-55e0 r-xp 00001000 fe:00 1234                       /usr/bin/a b";
        let mapping = mapping_of_line(7, line).expect("executable");
        assert_eq!((mapping.pid, mapping.start, mapping.bytes), (7, 0x55d0, 0x10));
        assert_eq!((mapping.offset, mapping.inode), (0x1000, 1234));
        assert_eq!(mapping.path, "/usr/bin/a b");
        assert_eq!(mapping_of_line(7, "1000-2000 rw-p 00000000 00:00 0 "), None);
    }
}
