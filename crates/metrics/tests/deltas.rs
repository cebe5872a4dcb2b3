//! Deltas, decoded by a reader that knows the JSON only, add up to the registry.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::Value as Json;
use tidemill_metrics::{Deltas, Registry};

/// What a browser would keep.
#[derive(Default)]
struct Reader {
    names: BTreeMap<u64, (String, bool)>,
    values: BTreeMap<u64, f64>,
}

impl Reader {
    fn read(&mut self, json: &str) {
        let delta: Json = serde_json::from_str(json).expect("JSON");
        let list = |key: &str| delta[key].as_array().cloned().unwrap_or_default();
        for new in list("new") {
            let name = new[1].as_str().expect("a name").to_owned();
            self.names.insert(new[0].as_u64().expect("a number"), (name, new[2] == "count"));
        }
        for pair in list("v").chunks(2) {
            let number = pair[0].as_u64().expect("a number");
            let value = pair[1].as_f64().unwrap_or(f64::NAN);
            let before = self.values.entry(number).or_default();
            *before = if self.names[&number].1 { *before + value } else { value };
        }
        for gone in list("gone") {
            let number = gone.as_u64().expect("a number");
            self.names.remove(&number).expect("it was there");
            self.values.remove(&number);
        }
    }

    fn all(&self) -> BTreeMap<String, f64> {
        self.names.iter().map(|(number, (name, _))| (name.clone(), self.values[number])).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test may know the time")]
fn now() -> Instant {
    Instant::now()
}

fn all(registry: &Registry) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    registry.each_sample(now(), |sample| {
        all.insert(sample.series(), sample.value().as_f64());
    });
    all
}

proptest! {
    #[test]
    fn a_reader_of_all_deltas_knows_every_value(
            steps in prop::collection::vec((0u8..7, 0u8..3), 1..60),
        ) {
        let registry = Registry::default();
        let mut deltas = Deltas::new(&registry);
        let mut reader = Reader::default();
        let labels = ["a", "b \"quoted\"\n", "\u{1}é\\"];
        for (step, label) in steps {
            let labels = [("x", labels[usize::from(label)])];
            match step {
                0 => registry.counter("c_total", "C.", &labels).expect("fits").add(3),
                1 => registry.gauge("g", "G.", &labels).expect("fits").add(-2),
                2 => registry.float_gauge("f", "F.", &labels).expect("fits").add(0.25),
                3 => {
                    let histogram = registry.histogram("h", "H.", &labels, &[1.0]);
                    histogram.expect("fits").record(0.5);
                }
                4 => drop(registry.remove("c_total", &labels)),
                5 => drop(registry.remove("h", &labels)),
                _ => {
                    reader.read(&deltas.look(now(), UNIX_EPOCH).to_json());
                    prop_assert_eq!(reader.all(), all(&registry));
                }
            }
        }
    }
}

#[test]
fn a_quiet_registry_makes_empty_deltas_and_an_event_a_few_bytes() {
    let registry = Registry::default();
    let counter = registry.counter("c_total", "C.", &[("proxy", "a long name")]).expect("fits");
    let ratio = registry.float_gauge("r_ratio", "R.", &[]).expect("fits");
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
    let mut deltas = Deltas::new(&registry);
    counter.add(7);
    let first = "{\"t\":1700000000000,\
                 \"new\":[[0,\"c_total{proxy=\\\"a long name\\\"}\",\"count\"],\
                 [1,\"r_ratio\",\"number\"]],\"v\":[0,7,1,0]}";
    assert_eq!(deltas.look(now(), at).to_json(), first);
    assert!(deltas.look(now(), at).is_empty());
    counter.add(2);
    ratio.set(f64::NAN);
    assert_eq!(deltas.look(now(), at).to_json(), "{\"t\":1700000000000,\"v\":[0,2,1,null]}");
    assert!(deltas.next().is_some_and(|delta| delta.is_empty()), "NaN is still NaN");
    registry.remove("r_ratio", &[]);
    assert_eq!(deltas.look(now(), at).to_json(), "{\"t\":1700000000000,\"gone\":[1]}");
}
