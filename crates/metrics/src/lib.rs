//! Counters, gauges and histograms, and the text that Prometheus reads.
//!
//! A [`Registry`] hands out instruments by name and labels. An instrument is resolved once, kept,
//! and written to without a lock: each thread adds to its own cache line (`cells.rs`), and reading
//! sums the lines. The registry keeps families in name order and renders all of them at once.
//!
//! ```text
//! Registry -- name --> Family (kind, help, label names) -- label values --> instrument
//!    |                                                                         |
//!    +-- render_prometheus, render_openmetrics            add, set, record: one relaxed write
//! ```
//!
//! Limits: at most 10,000 series in a family unless [`Options`] says otherwise; a counter takes
//! 128 bytes for each shard. A reading is a sum of cells read one after another, not a snapshot.
//!
//! Never: reads a clock, does I/O, spawns a thread, holds a process-wide registry. The one thing
//! shared by the whole process is the running number that picks a thread's cell.

mod cells;
mod error;
mod exposition;
mod histogram;
mod name;
mod registry;
mod scalar;

pub use error::Error;
pub use exposition::{CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_PROMETHEUS};
pub use histogram::{Distribution, Histogram};
pub use registry::{Options, Registry};
pub use scalar::{Counter, FloatGauge, Gauge};
