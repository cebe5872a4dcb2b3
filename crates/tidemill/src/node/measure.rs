//! What the node remembers of its metrics: a look each second, a flush each interval.
//!
//! One task hands each look to a blocking thread, because a flush syncs a file; a look that takes
//! longer than a second delays the next one, they never pile up. Trouble with the file is logged
//! when it begins and when it ends, and never stops the node: what cannot be written stays in
//! memory, and the next flush has it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tidemill_metrics::{History, HistoryFile, HistoryOptions, Registry};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::NodeSettings;

/// The history of the node's metrics, shared with the API.
#[derive(Debug, Clone)]
pub(crate) struct Remembered(Arc<Mutex<History>>);

impl Remembered {
    pub(crate) fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// History and file before the first look.
#[derive(Debug)]
pub(super) struct Measuring {
    remembered: Remembered,
    file: Option<HistoryFile>,
    flush_interval: Duration,
}

/// The running task.
#[derive(Debug)]
pub(super) struct Measured {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Measuring {
    /// Reads what an earlier run has left in `path`; lets counters of `registry` go on from it
    /// where that is asked for. A file that is not ours, or of another version, is left alone.
    pub(super) fn open(path: Option<PathBuf>, node: &NodeSettings, registry: &Registry) -> Self {
        let mut history = History::new(HistoryOptions::default());
        let path = path.filter(|_| node.metrics_history_mib > 0 && registry.is_on());
        let file = path.and_then(|path| {
            let bytes_max = u64::from(node.metrics_history_mib) << 20;
            match HistoryFile::open(&path, bytes_max, &mut history) {
                Ok((file, recovered)) => {
                    let (flushes, damaged) = (recovered.flushes, recovered.damaged_bytes);
                    tracing::debug!("metrics history: {flushes} moments read");
                    if damaged > 0 {
                        tracing::warn!(
                            "metrics history: {damaged} bytes were damaged or cut short and are \
                             left out; {flushes} moments were read"
                        );
                    }
                    Some(file)
                }
                Err(error) => {
                    tracing::error!("{error}; metrics are kept in memory only");
                    None
                }
            }
        });
        if node.counters_continue {
            registry.carry(history.counters());
        }
        let remembered = Remembered(Arc::new(Mutex::new(history)));
        Self { remembered, file, flush_interval: node.metrics_flush }
    }

    pub(super) fn remembered(&self) -> Remembered {
        self.remembered.clone()
    }

    /// Begins to look at `registry`. Must be called within the runtime.
    pub(super) fn start(self, registry: &Registry) -> Measured {
        let (stop, stopped) = watch::channel(false);
        let keeper = Keeper {
            registry: registry.clone(),
            remembered: self.remembered,
            file: self.file,
            flush_interval: self.flush_interval,
            flushed_at: monotonic(),
            is_failing: false,
        };
        Measured { stop, task: tokio::spawn(keep(keeper, stopped)) }
    }
}

impl Measured {
    /// Looks and flushes once more and ends.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        // A task that panicked has nothing left to flush.
        let _ = self.task.await;
    }
}

/// What a look works on.
struct Keeper {
    registry: Registry,
    remembered: Remembered,
    file: Option<HistoryFile>,
    flush_interval: Duration,
    flushed_at: Instant,
    is_failing: bool,
}

impl Keeper {
    fn look(&mut self, is_last: bool) {
        let (now, at) = (monotonic(), wall());
        let mut history = self.remembered.lock();
        history.sample(&self.registry, now, at);
        let is_due = now.duration_since(self.flushed_at) >= self.flush_interval;
        let Some(file) = self.file.as_mut().filter(|_| is_due || is_last) else { return };
        self.flushed_at = now;
        match file.flush(&history, at) {
            Ok(()) if self.is_failing => {
                tracing::info!("metrics history: written again");
                self.is_failing = false;
            }
            Err(error) if !self.is_failing => {
                tracing::error!("{error}; trying again at each flush");
                self.is_failing = true;
            }
            Ok(()) | Err(_) => {}
        }
    }
}

async fn keep(mut keeper: Keeper, mut stopped: watch::Receiver<bool>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let is_last = tokio::select! {
            _ = ticks.tick() => false,
            // Its sender is gone when the node is: that is an end too.
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        let look = move || {
            keeper.look(is_last);
            keeper
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(back) if !is_last => keeper = back,
            _ => return,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the look is the edge where time enters")]
fn monotonic() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "samples carry the time of day")]
fn wall() -> SystemTime {
    SystemTime::now()
}
