//! The one binary: commands, configuration, the HTTP server with its page, and the wiring.
//!
//! ```text
//! command --> config (file -> settings) --> node (engine + files + reload) --> http (API, page)
//!    |                                                                           ^
//!    +--- client (status, backend, explain) -------- asks a running node --------+
//!    +--- desk (task, memory, mcp) ----- a node that serves the workspace, else the store
//! ```
//!
//! It is a library so that its tests can reach it; nothing else depends on it. Only this crate
//! reads arguments and the environment, prints and sets exit codes.

mod client;
pub mod command;
pub mod config;
mod desk;
mod http;
mod jobs;
mod mcp;
mod node;
