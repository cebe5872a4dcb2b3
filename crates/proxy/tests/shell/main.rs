//! The engine with its workers, from outside: real sockets on both sides, settings as values.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what fails here fails the test, and tests measure what they wait for"
)]

mod backends;
mod limits;
mod listening;
mod relaying;
mod reloading;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use testkit::client::{End, read_to_end, try_connect};
use testkit::wait_for;
use tidemill_metrics::{Options, Registry};
use tidemill_proxy::core::settings::{BackendSettings, HealthSettings, ProxySettings};
use tidemill_proxy::status::{BackendStatus, ProxyStatus};
use tidemill_proxy::{Applied, BackendCommand, Engine, EngineOptions, Error};
use tokio::runtime::Runtime;

/// How long anything that ought to happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// An engine with two workers; the only place that knows its interface.
struct Fixture {
    runtime: Runtime,
    engine: Engine,
    registry: Registry,
}

impl Fixture {
    /// Starts an engine on these settings.
    #[track_caller]
    fn new(settings: impl IntoIterator<Item = ProxySettings>) -> Self {
        let fixture = Self::empty();
        fixture.apply(settings).expect("the settings are good");
        fixture
    }

    fn empty() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let registry = Registry::new(Options::default());
        let options = EngineOptions { workers: NonZeroUsize::new(2).expect("two is not zero") };
        let engine = {
            let _entered = runtime.enter();
            Engine::start(options, &registry).expect("two threads")
        };
        Self { runtime, engine, registry }
    }

    fn apply(&self, settings: impl IntoIterator<Item = ProxySettings>) -> Result<Applied, Error> {
        self.runtime.block_on(self.engine.apply(settings.into_iter().collect()))
    }

    fn control(&self, backend: SocketAddr, command: BackendCommand) -> Result<usize, Error> {
        self.runtime.block_on(self.engine.control(None, &backend.to_string(), command))
    }

    fn shutdown(self, deadline: Duration) {
        self.runtime.block_on(self.engine.shutdown(deadline));
    }

    /// Returns where the proxy listens.
    #[track_caller]
    fn address(&self, name: &str) -> SocketAddr {
        let addresses = self.engine.addresses();
        addresses.iter().find(|(known, _)| known == name).expect("the proxy runs").1
    }

    #[track_caller]
    fn status(&self, name: &str) -> ProxyStatus {
        self.engine.status().into_iter().find(|status| status.name == name).expect("it runs")
    }

    /// Waits until the status of a proxy fulfils a condition, and returns it.
    #[track_caller]
    fn wait_for(
        &self,
        what: &str,
        name: &str,
        condition: impl Fn(&ProxyStatus) -> bool,
    ) -> ProxyStatus {
        wait_for(what, SOON, || Some(self.status(name)).filter(|status| condition(status)))
    }
}

/// A proxy called `p` on a free port over these backends, without probes.
fn proxy(backends: &[SocketAddr]) -> ProxySettings {
    let backends = backends.iter().copied().map(BackendSettings::new).collect();
    let any = "127.0.0.1:0".parse().expect("an address");
    ProxySettings { health: None, ..ProxySettings::new("p", any, backends) }
}

/// Quick TCP probes that believe the first outcome.
fn quick_health() -> HealthSettings {
    HealthSettings {
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        rise: 1,
        fall: 1,
        ..HealthSettings::default()
    }
}

fn backend(status: &ProxyStatus, address: SocketAddr) -> &BackendStatus {
    status.backends.iter().find(|backend| backend.address == address).expect("it is configured")
}

/// Connects and says how the connection ended; a reset may already meet the connect.
fn end_of_connect(address: SocketAddr) -> End {
    match try_connect(address) {
        Ok(client) => {
            let (bytes, end) = read_to_end(&client);
            assert!(bytes.is_empty(), "nobody had anything to say");
            end
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
        Err(error) => panic!("cannot connect to {address}: {error}"),
    }
}
