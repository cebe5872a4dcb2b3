//! What a configuration needs to know of the machine: its names and its limits.
//!
//! Both come in as a [`Machine`], so that reading is a function of its arguments. Names are
//! resolved once per load, at most [`LOOKUPS_MAX`] at a time, and never again until the next load.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;

use tidemill_proxy::core::settings::BackendSettings;

use super::value::Endpoint;

/// The machine's part in whether a configuration is good.
pub struct Machine<'a> {
    /// Returns the addresses of a host name with a port.
    pub resolve: &'a (dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Sync),
    /// File descriptors that the process may open at most; `None` is without limit.
    pub files_max: Option<u64>,
}

impl Machine<'static> {
    /// Returns the machine that this process runs on.
    pub fn this() -> Self {
        let resolve = &|host: &str, port| Ok((host, port).to_socket_addrs()?.collect());
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Self { resolve, files_max: limit.maximum }
    }
}

impl Machine<'_> {
    /// Says why so many connections cannot be served here, if they cannot.
    pub fn excess(&self, connections: u32) -> Option<Excess> {
        let files_max = self.files_max?;
        let needed = u64::from(connections) * FILES_PER_CONNECTION + FILES_RESERVED;
        if needed <= files_max {
            return None;
        }
        let fit = files_max.saturating_sub(FILES_RESERVED) / FILES_PER_CONNECTION;
        let what = format!(
            "{connections} connections take {needed} file descriptors and this process may open \
             {files_max}"
        );
        let right = format!(
            "lower it to {fit}, or raise the hard limit (`ulimit -Hn {needed}` as root, \
             `LimitNOFILE={needed}` in a systemd unit)"
        );
        Some(Excess { what, right })
    }
}

impl Endpoint {
    /// Returns a backend for each address that this stands for, each called as it was written.
    ///
    /// # Errors
    ///
    /// The system's reason when the name does not resolve.
    pub fn backends(
        &self,
        weight: u16,
        machine: &Machine<'_>,
    ) -> Result<Vec<BackendSettings>, String> {
        resolve(self, machine).map(|addresses| settings(self, weight, &addresses))
    }
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("files_max", &self.files_max).finish_non_exhaustive()
    }
}

/// A limit that the machine does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// What is asked and what there is.
    pub what: String,
    /// What would be right.
    pub right: String,
}

/// The addresses of an endpoint, or why it has none.
pub(super) type Resolved = Result<Vec<SocketAddr>, String>;

/// Resolves each distinct endpoint once.
pub(super) fn resolve_all<'e>(
    endpoints: impl Iterator<Item = &'e Endpoint>,
    machine: &Machine<'_>,
) -> HashMap<Endpoint, Resolved> {
    let distinct: Vec<_> = endpoints.collect::<BTreeSet<_>>().into_iter().collect();
    let mut resolved = HashMap::with_capacity(distinct.len());
    for some in distinct.chunks(LOOKUPS_MAX) {
        thread::scope(|scope| {
            let lookups: Vec<_> = some
                .iter()
                .map(|endpoint| (*endpoint, scope.spawn(|| resolve(endpoint, machine))))
                .collect();
            for (endpoint, lookup) in lookups {
                let addresses = lookup.join().unwrap_or_else(|_| Err("the look-up failed".into()));
                resolved.insert(endpoint.clone(), addresses);
            }
        });
    }
    resolved
}

/// Returns a backend for each address, called as it was written.
pub(super) fn settings(
    endpoint: &Endpoint,
    weight: u16,
    addresses: &[SocketAddr],
) -> Vec<BackendSettings> {
    let backend = |address: &SocketAddr| BackendSettings {
        name: endpoint.written.clone(),
        weight,
        ..BackendSettings::new(*address)
    };
    addresses.iter().map(backend).collect()
}

fn resolve(endpoint: &Endpoint, machine: &Machine<'_>) -> Resolved {
    if let Ok(ip) = endpoint.host.parse() {
        return Ok(vec![SocketAddr::new(ip, endpoint.port)]);
    }
    let mut addresses =
        (machine.resolve)(&endpoint.host, endpoint.port).map_err(|error| error.to_string())?;
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

/// One to the client, one to the backend.
const FILES_PER_CONNECTION: u64 = 2;

/// Listeners, event queues, probes, the API and the files of the node.
const FILES_RESERVED: u64 = 128;

const LOOKUPS_MAX: usize = 16;
