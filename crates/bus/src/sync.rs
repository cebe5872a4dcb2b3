//! What this crate takes from the switch between real and modelled synchronisation.
//!
//! Every module reaches atomics through here and nowhere else, so the same source also runs under
//! loom (`--cfg loom`) and under shuttle (`--cfg shuttle`).

pub(crate) use tidemill_memory::sync::{
    Arc, Condvar, Mutex, Padded, atomic, capacity, cell, hint, thread,
};
