//! Local-first tasks and shared memory: an operation log in SQLite, a search index beside it.
//!
//! A [`Workstream`] is an open workspace; clones are handles to the same one. `model` holds what
//! goes in and out, `core` the pure rules of operations and merging, `store` the database with one
//! writer and a pool of readers, `index` the full-text index that is derived from the log.
//!
//! ```text
//! request ─▶ queue ─▶ writer thread: batch ─▶ core (operation, state) ─▶ SQLite commit ─▶ answer
//!                                                                  │ position
//!                                     subscribers ◀── changes ◀────┴──▶ indexer ─▶ tantivy
//! ```
//!
//! Never reads the environment or a command line, never prints, opens no socket. Needs a tokio
//! runtime around its async methods; nothing in them blocks it.

mod clock;
pub mod core;
mod error;
pub mod files;
mod index;
pub mod model;
pub mod plan;
mod store;
mod workstream;

pub use self::clock::Clock;
pub use self::error::Error;
pub use self::workstream::{Changes, ClaimRequest, Durability, Lagged, Options, Workstream};
