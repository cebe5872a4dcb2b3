//! Tasks with priorities: a pure [`core`] that decides what runs next.
//!
//! Never reads a file, the environment or a command line, and never prints.

pub mod core;
