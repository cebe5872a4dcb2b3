//! Bridges to how other crates measure and export, each behind a feature.
//!
//! | feature | what | direction |
//! |---|---|---|
//! | `bridges` | a recorder for the `metrics` facade, a `tracing` layer | into a registry |
//! | `otlp` | OpenTelemetry metrics over HTTP | out of a registry |

#[cfg(feature = "bridges")]
mod facade;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "bridges")]
mod spans;

#[cfg(feature = "bridges")]
pub use facade::FacadeRecorder;
#[cfg(feature = "otlp")]
pub use otlp::{OtlpError, OtlpExporter};
#[cfg(feature = "bridges")]
pub use spans::SpanTimes;
