//! The Cargo project: what is in it, a copy to work in, and the builds and tests of that copy.
//!
//! The user's tree is read and never written. Every build happens in one [`Copy`](struct@Copy),
//! always at the same path, so that two versions differ in code and in nothing else.

mod build;
mod copy;
mod metadata;

pub use self::build::{Built, Profile, TestOutcome};
pub use self::copy::Copy;
pub use self::metadata::{Dependency, Kind, Package, Project, ProjectTarget};
