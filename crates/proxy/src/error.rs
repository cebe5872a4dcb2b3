//! Why the engine did not do what it was asked; in every case it goes on as before.

use std::io;
use std::net::SocketAddr;

use crate::core::validate::Problem;

/// Why the engine did not do what it was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
    #[error(
        "proxy {proxy}: {listen} is in use by another process; stop that one or choose another \
         address"
    )]
    AddressInUse { proxy: String, listen: SocketAddr },
    #[error("proxy {proxy}: cannot listen on {listen}: {source}{}", hint(source))]
    Listen { proxy: String, listen: SocketAddr, source: io::Error },
    #[error(
        "proxy {proxy}: {connections} connections need {needed} open files, but this process may \
         open {files}; lower limits.connections or raise `ulimit -n` (systemd: LimitNOFILE)"
    )]
    Files { proxy: String, connections: u32, needed: u64, files: u64 },
    #[error("no proxy is called {0}")]
    UnknownProxy(String),
    #[error("no backend is called {0}")]
    UnknownBackend(String),
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] tidemill_metrics::Error),
    #[error("the engine has stopped")]
    Stopped,
}

impl Error {
    /// Returns true when the address of a listener belongs to another process.
    pub fn is_address_in_use(&self) -> bool {
        matches!(self.0, Kind::AddressInUse { .. })
    }

    /// Returns true when the settings are contradictory or ask for more than the process may have.
    pub fn is_invalid(&self) -> bool {
        matches!(self.0, Kind::Invalid(_) | Kind::Files { .. })
    }

    /// Returns true when a proxy or backend of the given name does not exist.
    pub fn is_unknown_name(&self) -> bool {
        matches!(self.0, Kind::UnknownProxy(_) | Kind::UnknownBackend(_))
    }
}

impl From<tidemill_metrics::Error> for Error {
    fn from(error: tidemill_metrics::Error) -> Self {
        Self(Kind::Metrics(error))
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; a port below 1024 needs the right CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}
