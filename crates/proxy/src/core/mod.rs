//! Decisions as values: which backend, is it up, what changed, when does a connection leave.
//!
//! Never reads a clock, a socket, a file or a source of randomness: time and random numbers are
//! arguments, so that every decision can be replayed in a test.

pub mod balance;
pub mod diff;
pub mod drain;
pub mod ewma;
pub mod health;
mod random;
pub mod settings;
pub mod slow_start;
pub mod validate;
