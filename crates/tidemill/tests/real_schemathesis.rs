//! The API against Schemathesis: requests made up from its own description, right and wrong ones,
//! with every check that the tool knows.

use std::time::Duration;

use testkit::{Launch, Tidemill, registry};

#[test]
fn the_api_is_what_its_description_says() {
    let Some(bin) = registry::python(env!("CARGO_TARGET_TMPDIR"), &["schemathesis==4.32.5"]) else {
        return;
    };
    let node = Tidemill::new(env!("CARGO_BIN_EXE_tidemill"))
        .config("[node]\nlisten = \"127.0.0.1:0\"\n")
        .start();
    for title in ["first", "second"] {
        let made = node.ask("POST", "/api/v1/tasks", &format!("{{\"title\": \"{title}\"}}"));
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let config = node.folder().join("schemathesis.toml");
    std::fs::write(&config, CONFIG).expect("the folder can be written");
    let url = format!("http://{}/api/v1/openapi.json", node.address());
    let finished = Launch::new(bin.join("schemathesis"))
        .folder(node.folder())
        .args(["--config-file"])
        .args([&config])
        .args(["run", &url, "--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--header", &format!("Authorization: {}", node.bearer())])
        // Answered as long as the node lives; every other operation is called.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--max-examples", "6", "--workers", "1", "--request-timeout", "10"])
        // Of what is made up, not of what is answered.
        .args(["--suppress-health-check", "all"])
        .args(["--seed", "20261121", "--continue-on-failure"])
        .env("PYTHONUNBUFFERED", "1")
        .run(Duration::from_secs(600));
    assert!(finished.status.success(), "{}\n{}", finished.stdout, finished.stderr);
    assert!(!node.process().has_ended(), "{}", node.process());
    let failures: Vec<_> = node.log().into_iter().filter(|line| line.contains("ERROR")).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// What is right by the schema and yet refused: by the state of a task (409), or because the
/// version in `If-Match` never was (412), which is a refusal of what is wrong, too.
const CONFIG: &str = "\
[checks.positive_data_acceptance]
expected-statuses = [\"2xx\", 401, 403, 404, 409, 412, 503]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, \"5xx\"]
";
