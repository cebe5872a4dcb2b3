//! What the kernel accounts to each process without being asked: the last resort.
//!
//! Read from `/proc`, and for an ended command from `wait4`. Times are in ticks of 10 ms there.

use std::fs;
use std::time::Duration;

use super::{Event, Target};
use crate::sampling::threads_of;

/// Times and events since the start of a thread or process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) user: Duration,
    pub(super) system: Duration,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) switches: u64,
    /// False when it could not be read.
    pub(super) is_known: bool,
}

impl Usage {
    /// Reads a target's account.
    pub(super) fn of(target: Target) -> Self {
        let (folder, tasks) = match target {
            Target::ThisThread => {
                let tid = rustix::thread::gettid().as_raw_nonzero();
                (format!("/proc/self/task/{tid}"), Vec::new())
            }
            Target::Thread(tid) => (format!("/proc/{tid}/task/{tid}"), Vec::new()),
            Target::Process(pid) | Target::ProcessAndChildren(pid) => {
                let task = |tid| format!("/proc/{pid}/task/{tid}");
                (format!("/proc/{pid}"), threads_of(pid).into_iter().map(task).collect())
            }
        };
        let stat = fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
        let mut usage = Self::parse(&stat).unwrap_or_default();
        // The number of switches in a process' own file is that of its first thread.
        let tasks = if tasks.is_empty() { vec![folder] } else { tasks };
        usage.switches = tasks.iter().map(|task| switches(task)).sum();
        usage
    }

    /// Returns what was added since an earlier account.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            minor_faults: self.minor_faults.saturating_sub(before.minor_faults),
            major_faults: self.major_faults.saturating_sub(before.major_faults),
            switches: self.switches.saturating_sub(before.switches),
            is_known: self.is_known,
        }
    }

    /// Returns what stands for an event, where something does.
    pub(super) fn of_event(&self, event: Event) -> Option<u64> {
        let value = match event {
            Event::TaskClock | Event::CpuClock => {
                u64::try_from((self.user + self.system).as_nanos()).unwrap_or(u64::MAX)
            }
            Event::PageFaults => self.minor_faults + self.major_faults,
            Event::MinorFaults => self.minor_faults,
            Event::MajorFaults => self.major_faults,
            Event::ContextSwitches => self.switches,
            _ => return None,
        };
        self.is_known.then_some(value)
    }

    /// Reads `/proc/PID/stat`, whose second field is a name that may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let after_name = stat.rsplit_once(')')?.1;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let time = |count: u64| Duration::from_millis(count.saturating_mul(1000) / ticks);
        Some(Self {
            minor_faults: number(7)?,
            major_faults: number(9)?,
            user: time(number(11)?),
            system: time(number(12)?),
            switches: 0,
            is_known: true,
        })
    }
}

fn switches(task: &str) -> u64 {
    let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
    let lines = status.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.ends_with("ctxt_switches").then(|| value.trim().parse::<u64>().ok())?
    });
    lines.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_anything_in_it_is_skipped() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 11 0 2 0 300 40 0 0 20 0 1 0 5";
        let usage = Usage::parse(stat).expect("complete");
        assert_eq!((usage.minor_faults, usage.major_faults), (11, 2));
        assert_eq!((usage.user.as_millis(), usage.system.as_millis()), (3000, 400));
        assert_eq!(usage.of_event(Event::PageFaults), Some(13));
        assert_eq!(Usage::default().of_event(Event::PageFaults), None);
    }
}
