//! What a node tells while it runs: one line for each event, on stderr.
//!
//! `2026-11-21T03:43:27.123456Z  INFO proxy redis listens on 127.0.0.1:8080`

use std::fmt;
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{self as subscriber, FmtContext};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::command::{Common, wants_colour};

/// How much is told, and whether in colour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSettings {
    level: LevelFilter,
    is_coloured: bool,
}

impl LogSettings {
    /// Reads them from the command line's flags.
    pub(crate) fn new(common: &Common) -> Self {
        let level = match (common.verbose, common.quiet) {
            (0, 0) => LevelFilter::INFO,
            (1, _) => LevelFilter::DEBUG,
            (2.., _) => LevelFilter::TRACE,
            (0, 1) => LevelFilter::WARN,
            (0, _) => LevelFilter::ERROR,
        };
        Self { level, is_coloured: wants_colour(common.color, &io::stderr()) }
    }

    /// Sends the process's events to stderr from now on; libraries tell only of warnings.
    pub(super) fn start(self) {
        let filter = Targets::new()
            .with_default(self.level.min(LevelFilter::WARN))
            .with_target("tidemill", self.level);
        let layer = subscriber::layer()
            .with_writer(io::stderr)
            .with_ansi(self.is_coloured)
            .event_format(Line);
        // A second node in this process (a test's) keeps the first one's log.
        let _ = tracing_subscriber::registry().with(layer).with(filter).try_init();
    }
}

/// Time, level, message.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let colour = match level {
            Level::ERROR => "\x1b[1;31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            _ => "\x1b[2m",
        };
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[2m")?;
            SystemTime.format_time(&mut writer)?;
            write!(writer, "\x1b[0m {colour}{level:>5}\x1b[0m ")?;
        } else {
            SystemTime.format_time(&mut writer)?;
            write!(writer, " {level:>5} ")?;
        }
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
