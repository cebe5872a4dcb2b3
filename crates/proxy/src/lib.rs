//! L4 load balancer: a pure [`core`] that decides and a shell of workers that moves bytes.
//!
//! An [`Engine`] runs any number of proxies in one process. It is given the whole wanted state and
//! applies the difference; connections of what did not change are not touched.
//!
//! Never reads a file, the environment or a command line, and never prints.

pub mod core;
mod error;
mod shell;
pub mod status;

pub use self::error::Error;
pub use self::shell::{
    Applied, BackendCommand, Background, BackgroundFuture, BackgroundWork, Engine, EngineOptions,
    explain_settings,
};
