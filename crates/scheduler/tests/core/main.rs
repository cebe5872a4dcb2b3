//! The core by value, by property and beside a naive model; no clock, no thread.

mod histories;
mod model;
mod rules;
