//! Memory for real-time and network code: pools of fixed blocks and of buffers.

pub mod sync;
