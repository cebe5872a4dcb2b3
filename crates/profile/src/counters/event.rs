//! The events, by the names that `perf list` has for them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::Error;
use crate::error::Kind;
use crate::perf::attributes::kind::{CACHE, HARDWARE, SOFTWARE};

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $variant:ident = ($name:literal, $kind:expr, $config:expr),)+) => {
        /// Something that can be counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Event {
            /// Every event, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns how the kernel calls it.
            pub(crate) fn code(self) -> (u32, u64) {
                match self { $(Self::$variant => ($kind, $config),)+ }
            }
        }
    };
}

events! {
    /// Time on a processor, in nanoseconds.
    TaskClock = ("task-clock", SOFTWARE, 1),
    /// Time on a processor by its own clock, in nanoseconds.
    CpuClock = ("cpu-clock", SOFTWARE, 0),
    /// Times that the thread left the processor.
    ContextSwitches = ("context-switches", SOFTWARE, 3),
    /// Times that the thread went to another processor.
    CpuMigrations = ("cpu-migrations", SOFTWARE, 4),
    /// Accesses to memory that was not mapped yet.
    PageFaults = ("page-faults", SOFTWARE, 2),
    /// Those that needed no disk.
    MinorFaults = ("minor-faults", SOFTWARE, 5),
    /// Those that did.
    MajorFaults = ("major-faults", SOFTWARE, 6),
    /// Accesses that the kernel had to align.
    AlignmentFaults = ("alignment-faults", SOFTWARE, 7),
    /// Instructions that the kernel had to emulate.
    EmulationFaults = ("emulation-faults", SOFTWARE, 8),
    /// Cycles of the processor.
    Cycles = ("cycles", HARDWARE, 0),
    /// Instructions completed.
    Instructions = ("instructions", HARDWARE, 1),
    /// Branches completed.
    Branches = ("branches", HARDWARE, 4),
    /// Branches that were predicted wrongly.
    BranchMisses = ("branch-misses", HARDWARE, 5),
    /// Accesses to the last cache.
    CacheReferences = ("cache-references", HARDWARE, 2),
    /// Those that had to go to memory.
    CacheMisses = ("cache-misses", HARDWARE, 3),
    /// Cycles at the processor's nominal frequency.
    RefCycles = ("ref-cycles", HARDWARE, 9),
    /// Cycles in which no instruction could be fetched.
    StalledFrontend = ("stalled-cycles-frontend", HARDWARE, 7),
    /// Cycles in which no instruction could be completed.
    StalledBackend = ("stalled-cycles-backend", HARDWARE, 8),
    /// Reads from the first cache.
    L1dLoads = ("L1-dcache-loads", CACHE, 0),
    /// Those that it did not have.
    L1dLoadMisses = ("L1-dcache-load-misses", CACHE, MISS),
    /// Reads from the last cache.
    LlcLoads = ("LLC-loads", CACHE, 2),
    /// Those that it did not have.
    LlcLoadMisses = ("LLC-load-misses", CACHE, 2 | MISS),
    /// Reads whose page was not in the table of recent pages.
    DtlbLoadMisses = ("dTLB-load-misses", CACHE, 3 | MISS),
}

const MISS: u64 = 1 << 16;

impl Event {
    /// What `perf stat` counts when nothing is asked for, in groups.
    pub const DEFAULT_GROUPS: &[&[Self]] = &[
        &[Self::TaskClock, Self::ContextSwitches, Self::CpuMigrations, Self::PageFaults],
        &[Self::Cycles, Self::Instructions, Self::Branches, Self::BranchMisses],
        &[Self::CacheReferences, Self::CacheMisses],
    ];

    /// Returns true for events that the processor counts.
    pub fn is_hardware(self) -> bool {
        self.code().0 != SOFTWARE
    }

    /// Returns true for times in nanoseconds.
    pub fn is_clock(self) -> bool {
        matches!(self, Self::TaskClock | Self::CpuClock)
    }

    /// Returns true for what happens in the kernel only, so that a count without it is always 0.
    pub(crate) fn is_of_kernel(self) -> bool {
        matches!(self, Self::ContextSwitches | Self::CpuMigrations)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Event {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let name = match text {
            "cs" => "context-switches",
            "migrations" => "cpu-migrations",
            "faults" => "page-faults",
            "cpu-cycles" => "cycles",
            "branch-instructions" => "branches",
            name => name,
        };
        Self::ALL.iter().copied().find(|event| event.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|event| event.name()).collect();
            let hint = format!("; there are {}", names.join(", "));
            Kind::Event { name: text.to_owned(), hint }.into()
        })
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for event in Event::ALL {
            assert_eq!(event.name().parse::<Event>().ok(), Some(*event));
        }
        assert_eq!("cs".parse::<Event>().ok(), Some(Event::ContextSwitches));
        let error = "cycels".parse::<Event>().expect_err("misspelt");
        assert!(error.is_input() && error.to_string().contains("cycles"), "{error}");
    }

    #[test]
    fn no_two_events_are_one() {
        let codes: std::collections::HashSet<_> = Event::ALL.iter().map(|e| e.code()).collect();
        assert_eq!(codes.len(), Event::ALL.len());
    }
}
