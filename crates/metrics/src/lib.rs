//! Instruments with a cell per thread; what Prometheus reads of them; their history.
//!
//! A [`Registry`] hands out instruments by name and labels. An instrument is resolved once, kept,
//! and written to without a lock: each thread has cells of its own (`cells.rs`, `shards.rs`), and
//! reading adds them up. The registry keeps families in name order and renders all of them at once.
//!
//! ```text
//! Registry -- name --> Family (kind, help, unit, label names) -- label values --> instrument
//!    |                                                                              |
//!    +-- render: text, OpenMetrics, protobuf        add, set, record: a few plain stores
//!    +-- Deltas: what changed since the last look
//!    +-- History: rings at 1 s, 10 s and 1 min, and a file
//! ```
//!
//! Limits: at most 10,000 series in a family unless [`Options`] says otherwise, and one more for
//! what is too much; a counter takes 8 bytes for each slot of a thread. A reading of several
//! instruments is not a snapshot across them; a reading of one histogram is.
//!
//! Never: opens a socket (but for the feature `otlp`), spawns a thread, waits in a record. It reads
//! a clock for timers and for the moment at which a series began, in `clock.rs` only.

#[cfg(any(feature = "bridges", feature = "otlp"))]
mod bridge;
mod cells;
mod clock;
mod deltas;
mod distribution;
mod error;
mod exemplar;
mod exposition;
mod family;
mod histogram;
mod history;
mod layout;
#[cfg(all(test, loom))]
mod models;
mod name;
mod registry;
mod sample;
mod scalar;
mod shards;
mod slot;
mod spelling;
mod summary;
mod sync;
mod varint;

#[cfg(feature = "bridges")]
pub use bridge::{FacadeRecorder, SpanTimes};
#[cfg(feature = "otlp")]
pub use bridge::{OtlpError, OtlpExporter};
pub use deltas::{Delta, Deltas};
pub use distribution::Distribution;
pub use error::Error;
pub use exemplar::Exemplar;
pub use exposition::Format;
pub use histogram::{Histogram, Timer};
pub use history::{History, HistoryError, HistoryFile, HistoryOptions, Recovered};
pub use layout::Buckets;
pub use registry::{Carried, Options, Overflow, Registry};
pub use sample::{Sample, Value};
pub use scalar::{Counter, FloatGauge, Gauge};
pub use summary::{Summary, SummaryOptions, SummaryReading};
