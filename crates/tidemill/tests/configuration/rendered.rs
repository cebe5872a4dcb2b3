//! What is rendered from the table of keys: the reference page, the sample file, the schema.

use tidemill::config::{reference, rows, sample, schema};

use crate::good;

#[test]
fn the_reference_page_is_the_one_in_the_documentation() {
    testkit_snapshot("configuration.md", &reference());
}

#[test]
fn the_sample_file_is_good_and_names_every_key() {
    let config = good(&sample());
    assert_eq!(config.proxies.len(), 1);
    for row in rows() {
        let key = row.path.rsplit('.').next().expect("a path has a last part");
        assert!(sample().contains(key), "{}", row.path);
    }
    assert!(sample().lines().all(|line| line.chars().count() <= 100));
}

/// With the leading `# ` of keys and heads taken away, the sample is a file of defaults.
#[test]
fn every_key_of_the_sample_file_can_be_taken_into_use() {
    let is_key = |line: &str| {
        let line = line.strip_prefix("# ").unwrap_or_default();
        let word = line.split(" = ").next().unwrap_or_default();
        let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        line.starts_with("[proxy.") || line.contains(" = ") && is_word
    };
    let of_other_probes = ["# path", "# host", "# status", "# send", "# expect"];
    // Their default is that nothing is there.
    let absent = ["# memory", "# nats"];
    let lines = sample();
    let lines = lines.lines().map(|line| {
        let is_other = of_other_probes.iter().chain(&absent).any(|key| line.starts_with(key));
        if is_key(line) && !is_other { &line[2..] } else { line }
    });
    let text: Vec<_> = lines.collect();
    assert_eq!(good(&text.join("\n")), good(&sample()));
}

#[test]
fn the_schema_knows_every_key() {
    let schema = schema();
    for row in rows() {
        let mut node = &schema;
        for part in row.path.split('.') {
            if node["type"] == "array" {
                node = &node["items"];
            }
            let (key, is_element) = match part.strip_suffix("[]") {
                Some(key) => (key, true),
                None => (part, false),
            };
            node = &node["properties"][key];
            if is_element {
                node = &node["items"]["oneOf"][1];
            }
        }
        assert!(node["description"].is_string(), "{} is not in the schema", row.path);
    }
    assert_eq!(schema["additionalProperties"], false);
}

/// Holds a generated page against `docs/reference`; `UPDATE_SNAPSHOTS=1` writes it anew.
#[track_caller]
fn testkit_snapshot(name: &str, text: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference");
    let path = std::path::Path::new(path).join(name);
    #[expect(clippy::disallowed_methods, reason = "the one switch of the snapshots")]
    let is_update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    if is_update {
        let folder = path.parent().expect("the page is in a folder");
        std::fs::create_dir_all(folder).expect("the folder can be made");
        std::fs::write(&path, text).expect("the page can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{} is stale; run with UPDATE_SNAPSHOTS=1", path.display());
}
