//! Ours and the peers behind one interface: a counter and a histogram that are shared by all
//! threads and resolved once, and many series to render.
//!
//! Each loop is inside the suite, so that the call through the interface is made once per run.
//! Histograms have the 13 explicit bounds of a connect time everywhere; ours is also measured with
//! its log-linear buckets, as the node uses it.

use std::hint::black_box;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use tidemill_metrics::{Buckets, Registry};

/// A library with what is measured of it.
pub(super) trait Suite: Sync {
    /// Adds one to the shared counter, so many times.
    fn count(&self, times: u64);
    /// Records into the shared histogram, so many times.
    fn record(&self, times: u64);
    /// Registers counters with one label; returns false where it would hold fewer series.
    fn make_counters(&self, series: usize) -> bool;
    /// Registers histograms with one label.
    fn make_histograms(&self, series: usize);
    /// Renders everything as Prometheus text; `None` where the library has no such text.
    fn render(&self) -> Option<String>;
}

/// Makes a suite that nothing has been recorded in.
pub(super) type Make = fn() -> Box<dyn Suite>;

/// Every suite by name.
pub(super) const ALL: [(&str, Make); 6] = [
    ("tidemill", || Box::new(Ours::new(Buckets::explicit(&BOUNDS)))),
    ("tidemill log-linear", || Box::new(Ours::new(Buckets::seconds()))),
    ("prometheus", || Box::new(Prometheus::new())),
    ("prometheus-client", || Box::new(PrometheusClient::new())),
    ("metrics", || Box::new(Facade::new())),
    ("opentelemetry", || Box::new(Otel::new())),
];

/// Values from 10 us to 2 s, the same for all.
fn value(n: u64) -> f64 {
    1e-5 * (1 + (n & 0xffff) * 3) as f64
}

fn name(n: usize) -> String {
    format!("series-{n}")
}

struct Ours {
    registry: Registry,
    counter: tidemill_metrics::Counter,
    buckets: Buckets,
    histogram: tidemill_metrics::Histogram,
}

impl Ours {
    fn new(buckets: Buckets) -> Self {
        let registry = Registry::default();
        let counter = registry.counter("shared_total", "S.", &[]).expect("a name");
        let histogram = registry.histogram("h", "H.", &[], buckets.clone()).expect("a name");
        Self { registry, counter, buckets, histogram }
    }
}

impl Suite for Ours {
    fn count(&self, times: u64) {
        (0..times).for_each(|_| black_box(&self.counter).inc());
    }

    fn record(&self, times: u64) {
        (0..times).for_each(|n| black_box(&self.histogram).record(value(n)));
    }

    fn make_counters(&self, series: usize) -> bool {
        for n in 0..series {
            self.registry.counter("many_total", "M.", &[("who", &name(n))]).expect("room");
        }
        true
    }

    fn make_histograms(&self, series: usize) {
        for n in 0..series {
            let labels = [("who", &*name(n))];
            self.registry.histogram("wide", "W.", &labels, self.buckets.clone()).expect("room");
        }
    }

    fn render(&self) -> Option<String> {
        Some(self.registry.render_prometheus())
    }
}

struct Prometheus {
    registry: prometheus::Registry,
    counter: prometheus::IntCounter,
    histogram: prometheus::Histogram,
}

impl Prometheus {
    fn new() -> Self {
        let registry = prometheus::Registry::new();
        let counter = prometheus::IntCounter::new("shared_total", "S.").expect("a name");
        let options = prometheus::HistogramOpts::new("h", "H.").buckets(BOUNDS.to_vec());
        let histogram = prometheus::Histogram::with_opts(options).expect("a name");
        registry.register(Box::new(counter.clone())).expect("new");
        registry.register(Box::new(histogram.clone())).expect("new");
        Self { registry, counter, histogram }
    }
}

impl Suite for Prometheus {
    fn count(&self, times: u64) {
        (0..times).for_each(|_| black_box(&self.counter).inc());
    }

    fn record(&self, times: u64) {
        (0..times).for_each(|n| black_box(&self.histogram).observe(value(n)));
    }

    fn make_counters(&self, series: usize) -> bool {
        let options = prometheus::Opts::new("many_total", "M.");
        let many = prometheus::IntCounterVec::new(options, &["who"]).expect("a name");
        (0..series).for_each(|n| drop(many.with_label_values(&[&*name(n)])));
        self.registry.register(Box::new(many)).expect("new");
        true
    }

    fn make_histograms(&self, series: usize) {
        let options = prometheus::HistogramOpts::new("wide", "W.").buckets(BOUNDS.to_vec());
        let wide = prometheus::HistogramVec::new(options, &["who"]).expect("a name");
        (0..series).for_each(|n| drop(wide.with_label_values(&[&*name(n)])));
        self.registry.register(Box::new(wide)).expect("new");
    }

    fn render(&self) -> Option<String> {
        let families = self.registry.gather();
        Some(prometheus::TextEncoder::new().encode_to_string(&families).expect("it renders"))
    }
}

type ClientLabels = Vec<(&'static str, String)>;

struct PrometheusClient {
    registry: std::sync::Mutex<prometheus_client::registry::Registry>,
    counter: prometheus_client::metrics::counter::Counter,
    histogram: prometheus_client::metrics::histogram::Histogram,
}

impl PrometheusClient {
    fn new() -> Self {
        let mut registry = prometheus_client::registry::Registry::default();
        let counter = prometheus_client::metrics::counter::Counter::default();
        let histogram = client_histogram();
        registry.register("shared", "S", counter.clone());
        registry.register("h", "H", histogram.clone());
        Self { registry: registry.into(), counter, histogram }
    }
}

fn client_histogram() -> prometheus_client::metrics::histogram::Histogram {
    prometheus_client::metrics::histogram::Histogram::new(BOUNDS)
}

impl Suite for PrometheusClient {
    fn count(&self, times: u64) {
        (0..times).for_each(|_| {
            black_box(&self.counter).inc();
        });
    }

    fn record(&self, times: u64) {
        (0..times).for_each(|n| black_box(&self.histogram).observe(value(n)));
    }

    fn make_counters(&self, series: usize) -> bool {
        use prometheus_client::metrics::{counter::Counter, family::Family};
        let many = Family::<ClientLabels, Counter>::default();
        (0..series).for_each(|n| drop(many.get_or_create(&vec![("who", name(n))])));
        self.registry.lock().expect("no panic").register("many", "M", many);
        true
    }

    fn make_histograms(&self, series: usize) {
        use prometheus_client::metrics::{family::Family, histogram::Histogram};
        let wide = Family::<ClientLabels, Histogram>::new_with_constructor(client_histogram);
        (0..series).for_each(|n| drop(wide.get_or_create(&vec![("who", name(n))])));
        self.registry.lock().expect("no panic").register("wide", "W", wide);
    }

    fn render(&self) -> Option<String> {
        let mut text = String::new();
        let registry = self.registry.lock().expect("no panic");
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("it renders");
        Some(text)
    }
}

struct Facade {
    recorder: metrics_exporter_prometheus::PrometheusRecorder,
    counter: metrics::Counter,
    histogram: metrics::Histogram,
}

impl Facade {
    fn new() -> Self {
        use metrics::Recorder as _;
        let builder = metrics_exporter_prometheus::PrometheusBuilder::new();
        let builder = builder.set_buckets(&BOUNDS).expect("there are bounds");
        let recorder = builder.build_recorder();
        let counter = recorder.register_counter(&"shared_total".into(), &METADATA);
        let histogram = recorder.register_histogram(&"h".into(), &METADATA);
        Self { recorder, counter, histogram }
    }
}

impl Suite for Facade {
    fn count(&self, times: u64) {
        (0..times).for_each(|_| black_box(&self.counter).increment(1));
    }

    fn record(&self, times: u64) {
        (0..times).for_each(|n| black_box(&self.histogram).record(value(n)));
        // It keeps every sample until somebody drains it.
        self.recorder.handle().run_upkeep();
    }

    fn make_counters(&self, series: usize) -> bool {
        use metrics::Recorder as _;
        for n in 0..series {
            let key =
                metrics::Key::from_parts("many_total", vec![metrics::Label::new("who", name(n))]);
            self.recorder.register_counter(&key, &METADATA).increment(1);
        }
        true
    }

    fn make_histograms(&self, series: usize) {
        use metrics::Recorder as _;
        for n in 0..series {
            let key = metrics::Key::from_parts("wide", vec![metrics::Label::new("who", name(n))]);
            self.recorder.register_histogram(&key, &METADATA).record(1.0);
        }
        self.recorder.handle().run_upkeep();
    }

    fn render(&self) -> Option<String> {
        Some(self.recorder.handle().render())
    }
}

static METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

struct Otel {
    meter: Meter,
    counter: opentelemetry::metrics::Counter<u64>,
    histogram: opentelemetry::metrics::Histogram<f64>,
    _provider: SdkMeterProvider,
}

impl Otel {
    fn new() -> Self {
        let reader = ManualReader::builder().build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let meter = provider.meter("compare");
        let counter = meter.u64_counter("shared").build();
        let histogram = meter.f64_histogram("h").with_boundaries(BOUNDS.to_vec()).build();
        Self { meter, counter, histogram, _provider: provider }
    }
}

impl Suite for Otel {
    fn count(&self, times: u64) {
        (0..times).for_each(|_| black_box(&self.counter).add(1, &[]));
    }

    fn record(&self, times: u64) {
        (0..times).for_each(|n| black_box(&self.histogram).record(value(n), &[]));
    }

    fn make_counters(&self, series: usize) -> bool {
        // From 2,000 on (the specification's default limit) it folds series into one.
        if series >= 2_000 {
            return false;
        }
        let many = self.meter.u64_counter("many").build();
        (0..series).for_each(|n| many.add(1, &[KeyValue::new("who", name(n))]));
        true
    }

    fn make_histograms(&self, series: usize) {
        let wide = self.meter.f64_histogram("wide").with_boundaries(BOUNDS.to_vec()).build();
        (0..series).for_each(|n| wide.record(1.0, &[KeyValue::new("who", name(n))]));
    }

    fn render(&self) -> Option<String> {
        None
    }
}

const BOUNDS: [f64; 13] =
    [2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 5e-2, 0.25, 1.0, 2.5, 5.0];
