//! The tools: names, what they take, what they do to the world, and the request each becomes.
//!
//! A schema here is what an agent reads; the API checks the values again and says what is wrong.

use std::sync::Arc;

use hyper::Method;
use rmcp::model::{JsonObject, ToolAnnotations};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::client::{Ask, segment};
use crate::command::{Common, Failure};
use crate::desk::{Desk, Purpose, query};

/// A tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    required: &'static [&'static str],
    properties: fn() -> Value,
    action: Action,
}

/// What a call does to the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    /// Reads the index.
    Searches,
    Adds,
    /// Replaces what was there, the same for the same arguments.
    Replaces,
}

/// How a call becomes a request.
enum Action {
    /// At the node or the store.
    Api(fn(&Arguments<'_>) -> Result<Ask, Refusal>),
    /// At the node or the store, about the one task that `id` names.
    Task(fn(&Arguments<'_>, id: &str) -> Result<Ask, Refusal>),
    /// About a task where the argument `with` is given, else about none.
    Either {
        with: &'static str,
        task: fn(&Arguments<'_>, id: &str) -> Result<Ask, Refusal>,
        api: fn(&Arguments<'_>) -> Result<Ask, Refusal>,
    },
    Metrics,
}

/// Why a call did nothing, for an agent.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    /// The HTTP status that fits, as the API would answer.
    status: u16,
    reason: String,
    /// What the agent can do about it.
    next: &'static str,
}

impl Tool {
    /// Returns the tool as clients list it.
    pub(super) fn describe(&self) -> rmcp::model::Tool {
        let schema = json!({
            "type": "object",
            "properties": (self.properties)(),
            "required": self.required,
            "additionalProperties": false,
        });
        let Value::Object(schema) = schema else { return rmcp::model::Tool::default() };
        let schema: JsonObject = schema;
        let reads = matches!(self.effect, Effect::Reads | Effect::Searches);
        let hints = ToolAnnotations::from_raw(
            Some(self.title.to_owned()),
            Some(reads),
            Some(self.effect == Effect::Replaces),
            Some(reads || self.effect == Effect::Replaces),
            Some(false),
        );
        let mut tool = rmcp::model::Tool::new(self.name, self.description, Arc::new(schema));
        tool.title = Some(self.title.to_owned());
        tool.annotations = Some(hints);
        tool
    }

    /// Carries out a call.
    pub(super) async fn call(&self, common: &Common, given: &JsonObject) -> Result<Value, Refusal> {
        let arguments = Arguments { given };
        self.check(given)?;
        let purpose = match self.effect {
            Effect::Reads => Purpose::Read,
            Effect::Searches => Purpose::Search,
            Effect::Adds | Effect::Replaces => Purpose::Write,
        };
        let desk = Desk::open(common, purpose).await.map_err(Refusal::of_failure)?;
        let answer = self.ask(&desk, &arguments).await;
        desk.close().await;
        answer
    }

    async fn ask(&self, desk: &Desk, arguments: &Arguments<'_>) -> Result<Value, Refusal> {
        let ask = match &self.action {
            Action::Api(ask) => ask(arguments)?,
            Action::Task(ask) => ask(arguments, &task_id(desk, arguments).await?)?,
            Action::Either { with, task, .. } if arguments.given.contains_key(*with) => {
                task(arguments, &task_id(desk, arguments).await?)?
            }
            Action::Either { api, .. } => api(arguments)?,
            Action::Metrics => return metrics(desk, arguments).await,
        };
        let answer = desk.send(&ask).await.map_err(Refusal::of_failure)?;
        if !answer.status.is_success() {
            return Err(Refusal::new(answer.status.as_u16(), answer.detail()));
        }
        let value = answer.read().map_err(Refusal::of_failure)?;
        // Results are objects.
        Ok(if value == Value::Null { json!({ "task": null }) } else { value })
    }

    /// Holds the names of the arguments against those that the tool knows.
    fn check(&self, given: &JsonObject) -> Result<(), Refusal> {
        let known = (self.properties)();
        let known = known.as_object().map(Map::keys).into_iter().flatten();
        let known: Vec<_> = known.map(String::as_str).collect();
        if let Some(name) = given.keys().find(|name| !known.contains(&name.as_str())) {
            let all = known.join(", ");
            return Err(Refusal::invalid(format!("`{name}` is no argument; there are {all}")));
        }
        match self.required.iter().find(|name| !given.contains_key(**name)) {
            Some(name) => Err(Refusal::invalid(format!("`{name}` is missing"))),
            None => Ok(()),
        }
    }
}

/// What an agent passed.
struct Arguments<'a> {
    given: &'a JsonObject,
}

impl Arguments<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name)?.as_str()
    }

    /// Returns these arguments as a query; a list becomes one pair for each element.
    fn query(&self, names: &[&str]) -> Result<String, Refusal> {
        let mut pairs = Vec::new();
        for name in names {
            match self.given.get(*name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => pairs.push((*name, text.clone())),
                Some(Value::Number(number)) => pairs.push((*name, number.to_string())),
                Some(other) => {
                    return Err(Refusal::invalid(format!("`{name}` cannot be {other}")));
                }
            }
        }
        Ok(query(&pairs))
    }

    /// Returns the path of the entry that `scope` and `key` name.
    fn memory_path(&self) -> Result<String, Refusal> {
        let part = |name: &str| match self.text(name) {
            Some(text) if !text.is_empty() => Ok(segment(text)),
            _ => Err(Refusal::invalid(format!("`{name}` is a string that is not empty"))),
        };
        Ok(format!("/api/v1/memory/{}/{}", part("scope")?, part("key")?))
    }

    /// Returns every argument but these as a JSON body.
    fn body_without(&self, names: &[&str]) -> Value {
        let rest = self.given.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Value::Object(rest.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

impl Refusal {
    fn new(status: u16, reason: String) -> Self {
        let next = match status {
            404 => "look for the right id or key with list_tasks, search_tasks or search_memory",
            409 => "read the task again; it is not in a state that allows this",
            412 => "somebody was faster: read it again, then repeat with the new version",
            503 => "wait a second and repeat",
            400 | 422 => "correct the argument that the reason names and repeat",
            _ => "tell the person you work for",
        };
        Self { status, reason, next }
    }

    fn invalid(reason: String) -> Self {
        Self::new(422, reason)
    }

    fn of_failure(failure: Failure) -> Self {
        let status = if failure.code() == 2 { 422 } else { 503 };
        Self::new(status, failure.message().to_owned())
    }
}

/// Returns the whole id of the task that the argument `id` names.
async fn task_id(desk: &Desk, arguments: &Arguments<'_>) -> Result<String, Refusal> {
    let given = arguments.text("id").filter(|id| !id.is_empty());
    let given = given.ok_or_else(|| Refusal::invalid("`id` is a string: the id".to_owned()))?;
    desk.task_id(given).await.map_err(Refusal::of_failure)
}

/// Reads the node's metrics; only a node has any.
async fn metrics(desk: &Desk, arguments: &Arguments<'_>) -> Result<Value, Refusal> {
    let text = desk.metrics().await.map_err(Refusal::of_failure)?;
    let prefix = arguments.text("prefix").unwrap_or_default();
    let samples = text.lines().filter(|line| !line.starts_with('#') && line.starts_with(prefix));
    let samples = samples.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), json!(value.parse::<f64>().ok()?)))
    });
    let samples: Map<_, _> = samples.take(SAMPLES_MAX).collect();
    Ok(json!({ "samples": samples, "is_whole": samples.len() < SAMPLES_MAX }))
}

const SAMPLES_MAX: usize = 1_000;

/// Every tool, in the order listed.
pub(super) static TOOLS: &[Tool] = &[
    Tool {
        name: "list_tasks",
        title: "List tasks",
        description: "Lists tasks, 50 at a time: pass `next` of the answer as `after` for more. \
                      Without filters every task, oldest first.",
        effect: Effect::Reads,
        required: &[],
        properties: || {
            json!({
                "status": text("Only these, with commas: todo, doing, blocked, done, cancelled"),
                "priority": text("Only these, with commas: low, normal, high, critical, emergency"),
                "assignee": text("Only tasks of this one"),
                "role": text("Only tasks for this role"),
                "label": text("Only tasks with this label"),
                "parent": text("Only parts of the task with this id"),
                "sort": text("created_at, updated_at, priority, status, title; -title descends"),
                "limit": { "type": "integer", "minimum": 1, "maximum": 500 },
                "after": text("`next` of the answer before"),
            })
        },
        action: Action::Api(|arguments| {
            let names = [
                "status", "priority", "assignee", "role", "label", "parent", "sort", "limit",
                "after",
            ];
            Ok(Ask::get(format!("/api/v1/tasks?{}", arguments.query(&names)?)))
        }),
    },
    Tool {
        name: "get_task",
        title: "Read a task",
        description: "Returns one task with its version.",
        effect: Effect::Reads,
        required: &["id"],
        properties: || json!({ "id": id() }),
        action: Action::Task(|_, id| Ok(Ask::get(format!("/api/v1/tasks/{id}")))),
    },
    Tool {
        name: "create_task",
        title: "Add a task",
        description: "Adds a task and returns it with its id.",
        effect: Effect::Adds,
        required: &["title"],
        properties: fields,
        action: Action::Api(|arguments| {
            Ok(Ask::post("/api/v1/tasks", arguments.body_without(&[])))
        }),
    },
    Tool {
        name: "update_task",
        title: "Change a task",
        description: "Changes the fields that are given and leaves the others; null empties role, \
                      assignee and parent. With `version` only if nobody changed it since.",
        effect: Effect::Replaces,
        required: &["id"],
        properties: || {
            let mut properties = fields();
            properties["id"] = id();
            properties["version"] =
                json!({ "type": "integer", "minimum": 0, "description": "The version you read" });
            properties
        },
        action: Action::Task(|arguments, id| {
            let body = arguments.body_without(&["id", "version"]);
            let ask = Ask::new(Method::PATCH, format!("/api/v1/tasks/{id}")).with_body(body);
            match arguments.given.get("version") {
                None | Some(Value::Null) => Ok(ask),
                Some(version) if version.is_u64() => Ok(ask.if_match(format!("\"{version}\""))),
                Some(_) => Err(Refusal::invalid("`version` is a whole number".to_owned())),
            }
        }),
    },
    Tool {
        name: "claim_task",
        title: "Take a task",
        description: "Takes the next ready task by priority and dependencies, or the one with \
                      `id`, for `holder` until the lease ends; with `id` again it renews that. \
                      Returns null when nothing is ready.",
        effect: Effect::Adds,
        required: &["holder"],
        properties: || {
            json!({
                "holder": text("Your own name; the same in every call"),
                "role": text("Only tasks for this role, or for none"),
                "id": id(),
                "lease_seconds": {
                    "type": "integer", "minimum": 1, "maximum": 86400, "default": 1800,
                },
            })
        },
        action: Action::Either {
            with: "id",
            task: |arguments, id| {
                let body = arguments.body_without(&["id"]);
                Ok(Ask::post(format!("/api/v1/tasks/{id}/claim"), body))
            },
            api: |arguments| Ok(Ask::post("/api/v1/claim", arguments.body_without(&["id"]))),
        },
    },
    Tool {
        name: "comment_task",
        title: "Comment a task",
        description: "Adds a comment to a task. Comments stay.",
        effect: Effect::Adds,
        required: &["id", "text"],
        properties: || json!({ "id": id(), "text": text("Markdown") }),
        action: Action::Task(|arguments, id| {
            let body = arguments.body_without(&["id"]);
            Ok(Ask::post(format!("/api/v1/tasks/{id}/comments"), body))
        }),
    },
    Tool {
        name: "search_tasks",
        title: "Search tasks",
        description: "Searches titles, texts, comments and labels of tasks, best first.",
        effect: Effect::Searches,
        required: &["query"],
        properties: search_properties,
        action: Action::Api(|arguments| search(arguments, "task")),
    },
    Tool {
        name: "store_memory",
        title: "Store a value",
        description: "Stores a text under scope/key for everybody who works here, in the place of \
                      what stood there.",
        effect: Effect::Replaces,
        required: &["scope", "key", "value"],
        properties: || {
            json!({
                "scope": text("What the value belongs to: letters, digits, . _ -"),
                "key": text("Its name in the scope: letters, digits, . _ -"),
                "value": text("Any text"),
                "format": text("What the text is, as the ending of a file: md, json, txt"),
            })
        },
        action: Action::Api(|arguments| {
            let body = arguments.body_without(&["scope", "key"]);
            Ok(Ask::new(Method::PUT, arguments.memory_path()?).with_body(body))
        }),
    },
    Tool {
        name: "get_memory",
        title: "Read a value",
        description: "Returns the value under scope/key.",
        effect: Effect::Reads,
        required: &["scope", "key"],
        properties: || json!({ "scope": text("The scope"), "key": text("The name in the scope") }),
        action: Action::Api(|arguments| Ok(Ask::get(arguments.memory_path()?))),
    },
    Tool {
        name: "search_memory",
        title: "Search values",
        description: "Searches the stored values and their names, best first.",
        effect: Effect::Searches,
        required: &["query"],
        properties: search_properties,
        action: Action::Api(|arguments| search(arguments, "memory")),
    },
    Tool {
        name: "read_metrics",
        title: "Read metrics",
        description: "Returns the node's metrics by series: connections, bytes, errors, latencies. \
                      Needs a running node.",
        effect: Effect::Reads,
        required: &[],
        properties: || json!({ "prefix": text("Only series that begin so: tidemill_proxy_") }),
        action: Action::Metrics,
    },
];

/// Describes an argument that is a text.
fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn id() -> Value {
    text("The task's id, or a prefix of it that is unique")
}

/// Describes the fields of a task.
fn fields() -> Value {
    json!({
        "title": text("What is to be done, in a line"),
        "body": text("Markdown"),
        "status": { "type": "string", "enum": ["todo", "doing", "blocked", "done", "cancelled"] },
        "priority": {
            "type": "string", "enum": ["low", "normal", "high", "critical", "emergency"],
        },
        "role": { "type": ["string", "null"], "description": "The role that can do it" },
        "assignee": { "type": ["string", "null"], "description": "Who does it" },
        "labels": { "type": "array", "items": { "type": "string" }, "description": "All of them" },
        "parent": { "type": ["string", "null"], "description": "Whole id of the task above it" },
        "depends_on": {
            "type": "array", "items": { "type": "string" },
            "description": "Whole ids of all tasks that have to be done first",
        },
    })
}

fn search_properties() -> Value {
    json!({
        "query": text("Words, all required; also \"a phrase\", begin*, label:word, -not, OR"),
        "limit": { "type": "integer", "minimum": 1, "maximum": 100, "default": 20 },
    })
}

fn search(arguments: &Arguments<'_>, kind: &str) -> Result<Ask, Refusal> {
    let text = arguments.text("query").unwrap_or_default().to_owned();
    let limit = arguments.given.get("limit").map_or_else(|| "20".to_owned(), Value::to_string);
    let pairs = [("q", text), ("kind", kind.to_owned()), ("limit", limit)];
    Ok(Ask::get(format!("/api/v1/search?{}", query(&pairs))))
}
