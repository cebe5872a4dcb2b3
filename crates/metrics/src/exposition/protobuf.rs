//! Prometheus' protobuf exposition: the one format that carries native histograms.
//!
//! A few fields of `io/prometheus/client/metrics.proto` (prometheus/client_model), written in the
//! protobuf wire format: each field is a key, `number << 3 | type`, and a value. Types used here:
//! 0 varint, 1 eight bytes, 2 length and bytes. A message inside a message is written to a buffer
//! of its own first, because its length comes before it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::distribution::{Distribution, Native};
use crate::exemplar::Seen;
use crate::family::{Families, Family, FamilyKind, Instrument, Series};
use crate::varint;

/// Renders all families, each message with its length before it.
pub(super) fn render(families: &Families, now: Instant) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, family) in families {
        let message = metric_family(name, family, now);
        varint::push(&mut out, message.0.len() as u64);
        out.extend(message.0);
    }
    out
}

fn metric_family(name: &str, family: &Family, now: Instant) -> Message {
    let kind = match &family.kind {
        FamilyKind::Counter => 0,
        FamilyKind::Gauge | FamilyKind::FloatGauge => 1,
        FamilyKind::Summary { .. } => 2,
        FamilyKind::Histogram { .. } => 4,
    };
    let mut message = Message::default();
    message.text(1, name);
    message.text(2, &family.help);
    message.number(3, kind);
    for (values, series) in &family.series {
        let mut metric = Message::default();
        for (name, value) in family.label_names.iter().zip(values) {
            metric.message(1, &label_pair(name, value));
        }
        instrument(&mut metric, series, now);
        message.message(4, &metric);
    }
    if let Some(unit) = &family.unit {
        message.text(5, unit);
    }
    message
}

fn instrument(metric: &mut Message, series: &Series, now: Instant) {
    let mut value = Message::default();
    let field = match &series.instrument {
        Instrument::Gauge(gauge) => {
            value.double(1, gauge.value() as f64);
            2
        }
        Instrument::FloatGauge(gauge) => {
            value.double(1, gauge.value());
            2
        }
        Instrument::Counter(counter) => {
            value.double(1, counter.value() as f64);
            if let Some(seen) = counter.exemplar() {
                value.message(2, &exemplar(&seen));
            }
            value.message(3, &timestamp(series.created));
            3
        }
        Instrument::Summary(summary) => {
            let reading = summary.read(now);
            value.number(1, reading.count);
            value.double(2, reading.sum);
            for (q, at) in reading.quantiles {
                let mut quantile = Message::default();
                quantile.double(1, q);
                quantile.double(2, at.unwrap_or(f64::NAN));
                value.message(3, &quantile);
            }
            value.message(4, &timestamp(series.created));
            4
        }
        Instrument::Histogram(histogram) => {
            value = distribution(&histogram.read(), &histogram.exemplars());
            value.message(15, &timestamp(series.created));
            7
        }
    };
    metric.message(field, &value);
}

fn distribution(read: &Distribution, exemplars: &[Option<Seen>]) -> Message {
    let mut message = Message::default();
    message.number(1, read.count());
    message.double(2, read.sum());
    for (index, (bound, count)) in read.buckets().into_iter().enumerate() {
        let mut bucket = Message::default();
        bucket.number(1, count);
        bucket.double(2, bound);
        if let Some(Some(seen)) = exemplars.get(index) {
            bucket.message(3, &exemplar(seen));
        }
        message.message(3, &bucket);
    }
    if let Some(native) = read.native() {
        native_fields(&mut message, &native);
    }
    message
}

/// Spans of neighbouring buckets, and what each count is more than the one before.
fn native_fields(message: &mut Message, native: &Native) {
    message.signed(5, i64::from(native.schema));
    message.double(6, native.zero_threshold);
    message.number(7, native.zero_count);
    let mut spans: Vec<(i32, u64)> = Vec::new();
    let mut next = 0;
    for &(index, _) in &native.buckets {
        match spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            _ => spans.push((index - next, 1)),
        }
        next = index + 1;
    }
    // A reader knows a native histogram by its spans; one without values has an empty one.
    if spans.is_empty() {
        spans.push((0, 0));
    }
    for (offset, length) in spans {
        let mut span = Message::default();
        span.signed(1, i64::from(offset));
        span.number(2, length);
        message.message(12, &span);
    }
    let mut before = 0;
    for &(_, count) in &native.buckets {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        message.signed(13, count - before);
        before = count;
    }
}

fn exemplar(seen: &Seen) -> Message {
    let mut message = Message::default();
    for (name, value) in seen.exemplar.labels.iter() {
        message.message(1, &label_pair(name, value));
    }
    message.double(2, seen.value);
    message.message(3, &timestamp(seen.at));
    message
}

fn label_pair(name: &str, value: &str) -> Message {
    let mut message = Message::default();
    message.text(1, name);
    message.text(2, value);
    message
}

fn timestamp(time: SystemTime) -> Message {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut message = Message::default();
    message.number(1, since.as_secs());
    message.number(2, u64::from(since.subsec_nanos()));
    message
}

/// A message being written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) {
        varint::push(&mut self.0, field << 3);
        varint::push(&mut self.0, value);
    }

    /// A number in zigzag form, `sint32` and `sint64`.
    fn signed(&mut self, field: u64, value: i64) {
        self.number(field, ((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn double(&mut self, field: u64, value: f64) {
        varint::push(&mut self.0, field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        varint::push(&mut self.0, field << 3 | 2);
        varint::push(&mut self.0, bytes.len() as u64);
        self.0.extend(bytes);
    }
}
