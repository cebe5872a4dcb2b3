//! Brings a changed configuration file into the running node.
//!
//! A file with an error changes nothing and is told of with line and column. What only a restart
//! can change is said and kept as it was. The same text is not read twice, except on SIGHUP, which
//! also resolves names anew.

use tidemill_metrics::{Counter, Registry};
use tidemill_proxy::core::settings::ProxySettings;
use tidemill_proxy::{Applied, Engine};

use super::demo::with_demo;
use super::watch::Watch;
use crate::command::Failure;
use crate::config::{Config, LoadError, Machine, NodeSettings, Source, format_duration};

/// The file, what was last read from it, and the engine that it is applied to.
#[derive(Debug)]
pub(super) struct Reloader {
    source: Source,
    text: Option<String>,
    engine: Engine,
    /// The demonstration's proxy, which is in no file.
    demo: Option<ProxySettings>,
    watch: Option<Watch>,
    applied_total: Counter,
    rejected_total: Counter,
}

impl Reloader {
    /// Begins to watch the file's folder; where that fails, SIGHUP is what is left.
    ///
    /// # Errors
    ///
    /// When its metrics cannot be registered.
    pub(super) fn new(
        source: Source,
        text: Option<String>,
        engine: Engine,
        demo: Option<ProxySettings>,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        let counter = |result| {
            registry
                .counter(
                    "tidemill_node_reloads_total",
                    "Configurations read while running, by what became of them.",
                    &[("result", result)],
                )
                .map_err(|error| Failure::outside(format!("cannot register metrics: {error}")))
        };
        let watch = Watch::new(source.folder())
            .inspect_err(|error| {
                let folder = source.folder().display();
                tracing::warn!("cannot watch {folder}: {error}; reload with SIGHUP");
            })
            .ok();
        let (applied_total, rejected_total) = (counter("applied")?, counter("rejected")?);
        Ok(Self { source, text, engine, demo, watch, applied_total, rejected_total })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Waits until something in the file's folder has changed.
    pub(super) async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Reads the file; `None` when there is nothing to apply, which is logged unless the text is
    /// the same and it only counts when it is not.
    pub(super) async fn read(&mut self, must_differ: bool) -> Option<Config> {
        let text = match self.source.text() {
            Ok(text) => text,
            Err(error) => {
                self.reject(&error);
                return None;
            }
        };
        if must_differ && text == self.text {
            tracing::debug!("{} is unchanged", self.source.path().display());
            return None;
        }
        // Nothing is not a wish for nothing: a file that is gone, or truncated and not yet written
        // again, would otherwise take every proxy away.
        let is_nothing =
            |text: &Option<String>| text.as_ref().is_none_or(|it| it.trim().is_empty());
        if is_nothing(&text) && !is_nothing(&self.text) {
            let path = self.source.path().display();
            let what = if text.is_none() { "gone" } else { "empty" };
            tracing::warn!("{path} is {what}; the configuration stays as it was");
            return None;
        }
        self.text.clone_from(&text);
        let source = self.source.clone();
        let parse = move || source.parse(text.as_deref(), &Machine::this());
        match tokio::task::spawn_blocking(parse).await {
            Ok(Ok(config)) => Some(config),
            Ok(Err(error)) => {
                self.reject(&error);
                None
            }
            Err(error) => {
                tracing::error!("reading the configuration failed: {error}");
                None
            }
        }
    }

    /// Applies what was read; returns what that changed, or nothing where it does not hold.
    pub(super) async fn apply(&self, config: &Config) -> Option<Applied> {
        let path = self.source.path().display();
        match self.engine.apply(with_demo(&config.proxies, self.demo.as_ref())).await {
            Ok(applied) => {
                self.applied_total.inc();
                Some(applied)
            }
            Err(error) => {
                self.rejected_total.inc();
                for line in error.to_string().lines() {
                    tracing::error!("{line}");
                }
                tracing::warn!("{path} was not applied; the configuration stays as it was");
                None
            }
        }
    }

    /// Says what an application changed, once `addresses.json` says it too.
    pub(super) fn tell(&self, applied: &Applied) {
        tracing::info!("{} applied: {applied}", self.source.path().display());
    }

    fn reject(&self, error: &LoadError) {
        self.rejected_total.inc();
        for line in error.to_string().lines() {
            tracing::error!("{line}");
        }
        let path = self.source.path().display();
        tracing::warn!("{path} was not applied; the configuration stays as it was");
    }
}

/// Returns `new` with everything that a running node cannot change as it was in `old`, and says
/// what that is.
pub(super) fn keep_until_restart(old: &Config, new: Config) -> Config {
    for (key, was, is) in restarts(&old.node, &new.node) {
        tracing::warn!("node.{key} goes from {was} to {is} at the next start");
    }
    let stop_deadline = new.node.stop_deadline;
    if stop_deadline != old.node.stop_deadline {
        tracing::info!("node.stop_deadline is {} now", format_duration(stop_deadline));
    }
    let node = NodeSettings { stop_deadline, ..old.node.clone() };
    for (section, differs) in
        [("jobs", old.jobs != new.jobs), ("cluster", old.cluster != new.cluster)]
    {
        if differs {
            tracing::warn!("[{section}] changes at the next start");
        }
    }
    let workstream = old.workstream.clone();
    if workstream != new.workstream {
        let (was, is) = (&workstream.path, &new.workstream.path);
        tracing::warn!("workstream.path goes from {was} to {is} at the next start");
    }
    let (jobs, cluster) = (old.jobs.clone(), old.cluster.clone());
    Config { node, jobs, cluster, workstream, ..new }
}

/// Returns each key that needs a restart, with its old and new value.
fn restarts(old: &NodeSettings, new: &NodeSettings) -> Vec<(&'static str, String, String)> {
    let workers = |node: &NodeSettings| match node.workers {
        None => "auto".to_owned(),
        Some(count) => count.to_string(),
    };
    let on = |is_on: bool| if is_on { "on" } else { "off" }.to_owned();
    let counters = |node: &NodeSettings| {
        if node.counters_continue { "continue" } else { "from-zero" }.to_owned()
    };
    [
        ("listen", old.listen.to_string(), new.listen.to_string()),
        ("data_dir", old.data_dir.clone(), new.data_dir.clone()),
        ("workers", workers(old), workers(new)),
        ("metrics", on(old.metrics), on(new.metrics)),
        ("metrics_flush", format_duration(old.metrics_flush), format_duration(new.metrics_flush)),
        (
            "metrics_history_mib",
            old.metrics_history_mib.to_string(),
            new.metrics_history_mib.to_string(),
        ),
        ("counters", counters(old), counters(new)),
    ]
    .into_iter()
    .filter(|(_, was, is)| was != is)
    .collect()
}
