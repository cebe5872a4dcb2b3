//! What agents are offered: a tool for each request to a [`Worker`], with the schema of its
//! arguments.
//!
//! ```text
//! call ──▶ arguments checked ──▶ Worker::submit ──▶ { "job": 7 }
//! get_job { job: 7 } ──▶ state, doing, result or error; cancel_job ends it
//! ```
//!
//! No tool waits: all but `get_job` and `cancel_job` answer with the number of a job. A verdict is
//! computed here and never taken from the caller. Speaks no protocol; the server that lists the
//! tools brings its own.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::worker::{Request, Worker};

/// One tool.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the agent that chooses.
    pub description: &'static str,
    /// Whether it changes the user's tree.
    pub writes: bool,
    required: &'static [&'static str],
    properties: &'static [(&'static str, &'static str)],
    act: fn(&Worker, &Arguments<'_>) -> Result<Value, Error>,
}

impl Tool {
    /// Returns the tool of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static Self> {
        TOOLS.iter().find(|tool| tool.name == name)
    }

    /// Returns the JSON schema of its arguments.
    #[must_use]
    pub fn schema(&self) -> Value {
        let properties: Map<String, Value> = self
            .properties
            .iter()
            .map(|(name, what)| {
                let kind = if *name == "job" { "integer" } else { "string" };
                ((*name).to_owned(), json!({ "type": kind, "description": what }))
            })
            .collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }

    /// Carries out a call.
    ///
    /// # Errors
    ///
    /// An argument is unknown, missing or of the wrong type, there is no such job, or the worker's
    /// queue is full. What goes wrong later is the job's error.
    pub fn call(&self, worker: &Worker, given: &Map<String, Value>) -> Result<Value, Error> {
        let is_known = |name: &str| self.properties.iter().any(|(known, _)| *known == name);
        if let Some(name) = given.keys().find(|name| !is_known(name)) {
            return Err(Error::request(format!("{} has no argument {name}", self.name)));
        }
        if let Some(name) = self.required.iter().find(|name| !given.contains_key(**name)) {
            return Err(Error::request(format!("{} needs the argument {name}", self.name)));
        }
        (self.act)(worker, &Arguments(given))
    }
}

/// What a caller passed.
struct Arguments<'a>(&'a Map<String, Value>);

impl Arguments<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Error::request(format!("{name} is a text"))),
        }
    }

    fn needed(&self, name: &str) -> Result<String, Error> {
        self.text(name)?.ok_or_else(|| Error::request(format!("{name} is missing")))
    }

    fn job(&self) -> Result<u64, Error> {
        let id = self.0.get("job").and_then(Value::as_u64);
        id.ok_or_else(|| Error::request("job is the number that a tool answered with"))
    }
}

fn submit(worker: &Worker, request: Request) -> Result<Value, Error> {
    Ok(json!({ "job": worker.submit(request)? }))
}

/// A patch of the caller's own, or the fix of a finding: the same judge either way.
fn attempt(worker: &Worker, given: &Arguments<'_>) -> Result<Value, Error> {
    let request = match (given.text("finding")?, given.text("name")?, given.text("patch")?) {
        (Some(id), None, None) => Request::TryFinding { id },
        (None, Some(name), Some(patch)) => Request::TryPatch { name, patch },
        _ => return Err(Error::request("try_patch wants either finding, or name and patch")),
    };
    submit(worker, request)
}

fn look(worker: &Worker, given: &Arguments<'_>) -> Result<Value, Error> {
    let id = given.job()?;
    let job = worker.job(id).ok_or_else(|| {
        Error::request(format!("there is no job {id}; the last hundred are kept"))
    })?;
    serde_json::to_value(job).map_err(|error| Error::machine("a job has no JSON").because(error))
}

/// Every tool, in the order in which a session takes them.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "discover_project",
        description: "What there is to work with: packages, benchmarks, instruments.",
        writes: false,
        required: &[],
        properties: &[],
        act: |worker, _| submit(worker, Request::Discover),
    },
    Tool {
        name: "measure_baseline",
        description: "Build and test the project as it is, and measure its workload.",
        writes: false,
        required: &[],
        properties: &[],
        act: |worker, _| submit(worker, Request::Measure),
    },
    Tool {
        name: "find_hotspots",
        description: "Functions by their share of the time, the most expensive first.",
        writes: false,
        required: &[],
        properties: &[],
        act: |worker, _| submit(worker, Request::Hotspots),
    },
    Tool {
        name: "find_candidates",
        description: "What may mend the hot spots, in the order of its cost.",
        writes: false,
        required: &[],
        properties: &[],
        act: |worker, _| submit(worker, Request::Candidates),
    },
    Tool {
        name: "explain_function",
        description: "Source, share of the time, allocations and findings of a function.",
        writes: false,
        required: &["function"],
        properties: &[("function", "its name, or the end of it behind ::")],
        act: |worker, given| {
            submit(worker, Request::Explain { function: given.needed("function")? })
        },
    },
    Tool {
        name: "try_patch",
        description: "Send a patch of your own, or the fix of a finding, through the judge.",
        writes: false,
        required: &[],
        properties: &[
            ("finding", "the id of a finding with a fix"),
            ("name", "a name for your patch"),
            ("patch", "your patch, as git diff writes it"),
        ],
        act: attempt,
    },
    Tool {
        name: "accept_patch",
        description: "Write a change that the judge kept into the project.",
        writes: true,
        required: &["id"],
        properties: &[("id", "the finding, or the name of the patch")],
        act: |worker, given| submit(worker, Request::Accept { id: given.needed("id")? }),
    },
    Tool {
        name: "reject_patch",
        description: "Forget a change that the judge kept.",
        writes: false,
        required: &["id"],
        properties: &[("id", "the finding, or the name of the patch")],
        act: |worker, given| submit(worker, Request::Reject { id: given.needed("id")? }),
    },
    Tool {
        name: "check_budget",
        description: "Hold the budget of tune.toml: pass, fail or unmeasurable for each clause.",
        writes: false,
        required: &[],
        properties: &[("baseline", "the commit beside which relative clauses are measured")],
        act: |worker, given| {
            submit(worker, Request::CheckBudget { baseline: given.text("baseline")? })
        },
    },
    Tool {
        name: "get_report",
        description: "Everything that is known so far.",
        writes: false,
        required: &[],
        properties: &[],
        act: |worker, _| submit(worker, Request::Report),
    },
    Tool {
        name: "get_job",
        description: "Where a job is, and its result once it is done.",
        writes: false,
        required: &["job"],
        properties: &[("job", "the number that a tool answered with")],
        act: look,
    },
    Tool {
        name: "cancel_job",
        description: "Stop a job that waits or runs.",
        writes: false,
        required: &["job"],
        properties: &[("job", "the number that a tool answered with")],
        act: |worker, given| Ok(json!({ "cancelled": worker.cancel(given.job()?) })),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Options;

    /// Calls a tool on a worker whose folder holds no project.
    #[track_caller]
    fn check(name: &str, arguments: Value, want: &str) {
        let empty = tempfile::tempdir().unwrap();
        let worker = Worker::start(empty.path(), Options::default()).unwrap();
        let tool = Tool::of(name).unwrap();
        let got = match tool.call(&worker, arguments.as_object().unwrap()) {
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn a_tool_answers_with_a_job() {
        check("find_hotspots", json!({}), r#"{"job":1}"#);
        check("try_patch", json!({ "name": "mine", "patch": "" }), r#"{"job":1}"#);
        check("cancel_job", json!({ "job": 9 }), r#"{"cancelled":false}"#);
    }

    #[test]
    fn arguments_that_are_wrong_start_nothing() {
        let either = "try_patch wants either finding, or name and patch";
        check("try_patch", json!({ "name": "mine" }), either);
        check("try_patch", json!({ "finding": "a", "patch": "b" }), either);
        let verdict = json!({ "finding": "a", "verdict": "keep" });
        check("try_patch", verdict, "try_patch has no argument verdict");
        check("accept_patch", json!({}), "accept_patch needs the argument id");
        check("accept_patch", json!({ "id": 3 }), "id is a text");
        check("get_job", json!({ "job": 3 }), "there is no job 3; the last hundred are kept");
    }

    #[test]
    fn schemas_name_every_argument() {
        for tool in TOOLS {
            let schema = tool.schema();
            for name in tool.required {
                assert!(schema["properties"][name].is_object(), "{}: {name}", tool.name);
            }
        }
        assert_eq!(TOOLS.iter().filter(|tool| tool.writes).count(), 1);
    }
}
