//! `[jobs]` and `[cluster]`: jobs that outlive the process, and who else runs them.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::definition::{Key, Kind, Presence, Section};

/// What `[jobs]` says.
///
/// # Defaults
///
/// As many jobs at once as there are cores, 100,000 waiting, 10,000 ended ones for a week, a
/// mebibyte of output of each, 1,024 open files, no limit on memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobsSettings {
    /// Jobs at once; `None` is one per core.
    pub concurrency: Option<NonZeroUsize>,
    /// Jobs that wait at most.
    pub waiting: u32,
    /// How long a job is held without a sign of life.
    pub lease: Duration,
    /// How long an ended job is remembered.
    pub keep: Duration,
    /// How many ended jobs are.
    pub keep_count: u32,
    /// Bytes of output kept of each job.
    pub log: u64,
    /// Bytes of address space of each process of a job.
    pub memory: Option<u64>,
    /// Open files of each process of a job.
    pub files: u32,
}

impl Default for JobsSettings {
    fn default() -> Self {
        Self {
            concurrency: None,
            waiting: 100_000,
            lease: Duration::from_secs(30),
            keep: Duration::from_secs(7 * 86_400),
            keep_count: 10_000,
            log: 1 << 20,
            memory: None,
            files: 1_024,
        }
    }
}

/// What `[cluster]` says.
///
/// # Defaults
///
/// No servers: jobs stay on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// NATS servers.
    pub nats: Vec<String>,
    /// What the streams' names begin with.
    pub name: String,
    /// On how many servers each job is.
    pub replicas: u32,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self { nats: Vec::new(), name: "tidemill".to_owned(), replicas: 3 }
    }
}

pub(super) static JOBS: Section<JobsSettings> = Section {
    name: "jobs",
    is_repeated: false,
    doc: "Jobs of `tidemill job`: how many run, how long they are remembered, what they may take. \
          Takes effect at the next start.",
    keys: &[
        Key {
            name: "concurrency",
            presence: Presence::Default("\"auto\""),
            example: "\"auto\"",
            doc: "Jobs that run at once; `\"auto\"` is one per core. One more slot is for a job of \
                  priority emergency.",
            kind: Kind::Threads { max: 1_024, set: |jobs, count| jobs.concurrency = count },
        },
        Key {
            name: "waiting",
            presence: Presence::Default("100000"),
            example: "100000",
            doc: "Jobs that wait at most; further ones are refused.",
            kind: Kind::Integer {
                min: 1,
                max: 10_000_000,
                set: |jobs, count| jobs.waiting = count,
            },
        },
        Key {
            name: "lease",
            presence: Presence::Default("\"30s\""),
            example: "\"30s\"",
            doc: "A job without a sign of life for so long runs again. A sign is given, and a \
                  cancellation heard, every third of it.",
            kind: Kind::Duration {
                min: Duration::from_secs(1),
                max: Duration::from_secs(3_600),
                set: |jobs, lease| jobs.lease = lease,
            },
        },
        Key {
            name: "keep",
            presence: Presence::Default("\"7d\""),
            example: "\"7d\"",
            doc: "How long an ended job, its output and its idempotency key are remembered.",
            kind: Kind::Duration {
                min: Duration::from_secs(1),
                max: Duration::from_secs(365 * 86_400),
                set: |jobs, keep| jobs.keep = keep,
            },
        },
        Key {
            name: "keep_count",
            presence: Presence::Default("10000"),
            example: "10000",
            doc: "How many ended jobs are remembered on this machine; in a cluster only `keep` \
                  counts.",
            kind: Kind::Integer {
                min: 1,
                max: 10_000_000,
                set: |jobs, count| jobs.keep_count = count,
            },
        },
        Key {
            name: "log",
            presence: Presence::Default("\"1MiB\""),
            example: "\"1MiB\"",
            doc: "How much of the output of each job is kept: the newest.",
            kind: Kind::Size { min: 1 << 10, max: 1 << 30, set: |jobs, bytes| jobs.log = bytes },
        },
        Key {
            name: "memory",
            presence: Presence::Absent("no limit"),
            example: "\"2GiB\"",
            doc: "Address space of each process of a job.",
            kind: Kind::Size {
                min: 1 << 20,
                max: 1 << 50,
                set: |jobs, bytes| jobs.memory = Some(bytes),
            },
        },
        Key {
            name: "files",
            presence: Presence::Default("1024"),
            example: "1024",
            doc: "Open files of each process of a job.",
            kind: Kind::Integer { min: 8, max: 1_048_576, set: |jobs, files| jobs.files = files },
        },
    ],
};

pub(super) static CLUSTER: Section<ClusterSettings> = Section {
    name: "cluster",
    is_repeated: false,
    doc: "Nodes that share jobs, through NATS servers with JetStream (2.9 or newer). Takes effect \
          at the next start.",
    keys: &[
        Key {
            name: "nats",
            presence: Presence::Absent("jobs stay on this machine"),
            example: "[\"nats://10.0.0.1:4222\"]",
            doc: "Addresses of NATS servers; the others of their cluster are found through any.",
            kind: Kind::Texts { count_max: 16, set: |cluster, servers| cluster.nats = servers },
        },
        Key {
            name: "name",
            presence: Presence::Default("\"tidemill\""),
            example: "\"tidemill\"",
            doc: "Nodes with the same name share jobs; it begins the names of streams.",
            kind: Kind::Name(|cluster, name| cluster.name = name.replace('.', "_")),
        },
        Key {
            name: "replicas",
            presence: Presence::Default("3"),
            example: "3",
            doc: "On how many servers each job is kept; 1 for a single server. Holds for streams \
                  that are made new.",
            kind: Kind::Integer { min: 1, max: 5, set: |cluster, count| cluster.replicas = count },
        },
    ],
};
