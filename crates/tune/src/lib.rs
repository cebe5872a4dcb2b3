//! Finds what makes a Cargo project slow, tries the fix, and keeps it only with proof.
//!
//! The way of a session: a [`workload`] is run and [`measure`]d, before and after in turn, and
//! [`judge`] decides from the pairs. Everything that costs time is told through an
//! [`Observer`](progress::Observer); nothing here prints, reads the environment or exits.

pub mod attempt;
pub mod discover;
mod error;
pub mod find;
pub mod gate;
pub mod hot;
pub mod judge;
pub mod measure;
pub mod progress;
pub mod project;
pub mod report;
pub mod selftest;
pub mod session;
pub mod tools;
pub mod worker;
pub mod workload;

pub use self::error::{Error, ErrorKind};
