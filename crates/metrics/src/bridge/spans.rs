//! A `tracing` layer: how long spans live, as a histogram by name and target.
//!
//! A span is measured from its making to its close. Series are bounded as in any family; names and
//! targets of spans are written in code, so there are few.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::{Buckets, Error, Histogram, Registry, Timer};

/// Records the time of every span that reaches it into `tidemill_span_seconds`.
#[derive(Debug)]
pub struct SpanTimes {
    registry: Registry,
    /// One for each place in the code that makes spans.
    by_callsite: Mutex<HashMap<Identifier, Option<Histogram>>>,
}

impl SpanTimes {
    /// Makes a layer for a `tracing_subscriber` registry.
    pub fn new(registry: &Registry) -> Self {
        Self { registry: registry.clone(), by_callsite: Mutex::default() }
    }

    fn histogram(&self, metadata: &'static Metadata<'static>) -> Option<Histogram> {
        let mut known = self.by_callsite.lock().unwrap_or_else(PoisonError::into_inner);
        let register = || self.register(metadata).ok();
        known.entry(metadata.callsite()).or_insert_with(register).clone()
    }

    fn register(&self, metadata: &Metadata<'_>) -> Result<Histogram, Error> {
        let labels = [("span", metadata.name()), ("target", metadata.target())];
        let help = "Time from a span's making to its close.";
        self.registry.histogram("tidemill_span_seconds", help, &labels, Buckets::seconds())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanTimes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(histogram) = self.histogram(attributes.metadata())
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(histogram.start_timer());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id) {
            // Dropping it records.
            drop(span.extensions_mut().remove::<Timer>());
        }
    }
}
