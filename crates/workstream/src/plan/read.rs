//! Reads a plan: every mistake at once, each with line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Plan, PlanTask, Strategy, Topology, layout};
use crate::model::Priority;

/// A mistake in a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlanError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}

impl std::error::Error for PlanError {}

pub(super) fn read(text: &str, set: &BTreeMap<String, String>) -> Result<Plan, Vec<PlanError>> {
    let mut reader = Reader { text, variables: BTreeMap::new(), errors: Vec::new() };
    let plan = if text.len() > TEXT_BYTES_MAX {
        reader.error(0, format!("a plan has at most {TEXT_BYTES_MAX} bytes"));
        None
    } else {
        reader.document(set)
    };
    let mut errors = reader.errors;
    errors.sort();
    errors.dedup();
    match plan {
        Some(plan) if errors.is_empty() => Ok(plan),
        _ => Err(errors),
    }
}

struct Reader<'a> {
    text: &'a str,
    variables: BTreeMap<String, String>,
    errors: Vec<PlanError>,
}

type Table<'t> = DeTable<'t>;
type Node<'t> = Spanned<DeValue<'t>>;

impl Reader<'_> {
    fn document(&mut self, set: &BTreeMap<String, String>) -> Option<Plan> {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table,
            Err(error) => {
                self.error(error.span().map_or(0, |span| span.start), error.message().to_owned());
                return None;
            }
        };
        let root = table.get_ref();
        self.known(root, &["plan", "variables", "role", "task"], "the plan");
        self.fill_variables(root, set);
        let Some(head) = root.get("plan").and_then(|head| self.table(head)) else {
            self.error(0, "there is no section [plan]".to_owned());
            return None;
        };
        self.known(head, &HEAD_KEYS, "[plan]");
        let roles = self.roles(root);
        let (tasks, places) = self.tasks(root, &roles);
        let head_at = root.get("plan").map_or(0, |head| head.span().start);
        let name = self.required(head, "name", head_at);
        self.check_word(head, "name", &name);
        let coordinator = self.required(head, "coordinator", head_at);
        if let Some(at) = head.get("coordinator").map(|node| node.span().start)
            && !roles.contains_key(&coordinator)
        {
            self.error(at, format!("`{coordinator}` is no [[role]] of this plan"));
        }
        self.check_tasks(&tasks, &places);
        Some(Plan {
            name,
            title: self.required(head, "title", head_at),
            description: self.optional(head, "description"),
            topology: self.word(head, "topology", &TOPOLOGIES).unwrap_or(Topology::Hierarchical),
            coordinator,
            strategy: self.word(head, "strategy", &STRATEGIES).unwrap_or(Strategy::Balanced),
            workers_max: self.workers(head),
            roles,
            tasks,
        })
    }

    /// Takes each variable's value from `set` or its default; refuses what is unknown or missing.
    fn fill_variables(&mut self, root: &Table<'_>, set: &BTreeMap<String, String>) {
        let declared = root.get("variables").and_then(|node| self.table(node));
        for (name, node) in declared.into_iter().flatten() {
            let Some(table) = self.table(node) else { continue };
            self.known(table, &["doc", "default"], "a variable");
            let name = name.get_ref().to_string();
            let default = table.get("default").and_then(|node| self.plain_text(node));
            match set.get(&name).cloned().or(default) {
                Some(value) => drop(self.variables.insert(name, value)),
                None => {
                    let what = format!("{name} has no default: set it with --set {name}=VALUE");
                    self.error(node.span().start, what);
                    self.variables.insert(name, String::new());
                }
            }
        }
        for name in set
            .keys()
            .filter(|name| !self.variables.contains_key(*name))
            .cloned()
            .collect::<Vec<_>>()
        {
            let known: Vec<_> = self.variables.keys().map(String::as_str).collect();
            let what = format!("the plan has no variable `{name}`; it has: {}", known.join(", "));
            self.error(root.get("variables").map_or(0, |node| node.span().start), what);
        }
    }

    fn roles(&mut self, root: &Table<'_>) -> BTreeMap<String, String> {
        let mut roles = BTreeMap::new();
        for (table, at) in self.tables(root, "role") {
            self.known(table, &["name", "does"], "[[role]]");
            let name = self.required(table, "name", at);
            let does = self.required(table, "does", at);
            if roles.insert(name.clone(), does).is_some() {
                self.error(at, format!("the role `{name}` is there twice"));
            }
        }
        roles
    }

    fn tasks(
        &mut self,
        root: &Table<'_>,
        roles: &BTreeMap<String, String>,
    ) -> (Vec<PlanTask>, Vec<usize>) {
        let (mut tasks, mut places) = (Vec::new(), Vec::new());
        for (table, at) in self.tables(root, "task") {
            self.known(table, &TASK_KEYS, "[[task]]");
            let role = self.required(table, "role", at);
            if let Some(node) = table.get("role")
                && !roles.contains_key(&role)
            {
                self.error(node.span().start, format!("`{role}` is no [[role]] of this plan"));
            }
            let name = self.required(table, "name", at);
            self.check_word(table, "name", &name);
            let parent = table.get("parent").and_then(|node| self.filled(node));
            tasks.push(PlanTask {
                name,
                title: self.required(table, "title", at),
                body: self.optional(table, "body"),
                role,
                priority: self.word(table, "priority", &PRIORITIES).unwrap_or_default(),
                labels: self.list(table, "labels"),
                parent,
                depends_on: self.list(table, "depends_on"),
            });
            places.push(at);
        }
        if tasks.is_empty() || tasks.len() > TASKS_MAX {
            self.error(0, format!("a plan has 1 to {TASKS_MAX} sections [[task]]"));
        }
        (tasks, places)
    }

    /// Checks what tasks say of one another.
    fn check_tasks(&mut self, tasks: &[PlanTask], places: &[usize]) {
        let is_known = |name: &String| tasks.iter().any(|task| task.name == *name);
        for (number, (task, at)) in tasks.iter().zip(places).enumerate() {
            if tasks[..number].iter().any(|other| other.name == task.name) {
                self.error(*at, format!("the task `{}` is there twice", task.name));
            }
            for name in task.depends_on.iter().chain(&task.parent).filter(|name| !is_known(name)) {
                self.error(*at, format!("`{}` names `{name}`, which is no task here", task.name));
            }
            let mut above = task.parent.as_ref();
            for _ in 0..tasks.len() {
                above = above
                    .and_then(|name| tasks.iter().find(|task| task.name == *name))
                    .and_then(|task| task.parent.as_ref());
            }
            if above.is_some() {
                self.error(*at, format!("`{}` is a part of itself", task.name));
            }
        }
        let ordered = layout::order(tasks);
        let in_circle = (0..tasks.len()).find(|place| !ordered.contains(place));
        if let Some(place) = in_circle.filter(|_| self.errors.is_empty()) {
            let what = format!("`{}` waits for itself, by way of others", tasks[place].name);
            self.error(places[place], what);
        }
    }

    fn workers(&mut self, head: &Table<'_>) -> usize {
        let Some(node) = head.get("workers_max") else { return WORKERS_DEFAULT };
        let number = match node.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| (1..=WORKERS_MAX).contains(number));
        if number.is_none() {
            self.error(
                node.span().start,
                format!("workers_max is a number from 1 to {WORKERS_MAX}"),
            );
        }
        number.unwrap_or(WORKERS_DEFAULT)
    }

    fn word<T: Copy>(&mut self, table: &Table<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let node = table.get(key)?;
        let word = self.filled(node)?;
        let known = words.iter().find(|(known, _)| *known == word);
        if known.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.error(node.span().start, format!("{key} is one of {}", all.join(", ")));
        }
        known.map(|(_, value)| *value)
    }

    fn check_word(&mut self, table: &Table<'_>, key: &str, word: &str) {
        let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(node) = table.get(key)
            && (word.is_empty() || word.len() > 48 || !word.chars().all(is_good))
        {
            let what = format!("{key} is a word of up to 48 lower-case letters, digits and `-`");
            self.error(node.span().start, what);
        }
    }

    fn list(&mut self, table: &Table<'_>, key: &str) -> Vec<String> {
        let Some(node) = table.get(key) else { return Vec::new() };
        let DeValue::Array(items) = node.get_ref() else {
            self.error(node.span().start, format!("{key} is a list of texts"));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.filled(item)).collect()
    }

    fn required(&mut self, table: &Table<'_>, key: &str, at: usize) -> String {
        match table.get(key) {
            Some(node) => self.filled(node).unwrap_or_default(),
            None => {
                self.error(at, format!("{key} is missing"));
                String::new()
            }
        }
    }

    fn optional(&mut self, table: &Table<'_>, key: &str) -> String {
        table.get(key).and_then(|node| self.filled(node)).unwrap_or_default()
    }

    /// Returns a text with its variables filled in.
    fn filled(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.plain_text(node)?;
        let mut filled = String::with_capacity(text.len());
        let mut rest = text.as_str();
        let mut number = 0;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let at = self.place_of_variable(&node.span(), number);
            number += 1;
            let Some((name, after)) = after.split_once('}') else {
                self.error(at, "`${` has no `}`".to_owned());
                return None;
            };
            match self.variables.get(name) {
                Some(value) => filled.push_str(value),
                None => self.error(at, format!("there is no variable `{name}` in [variables]")),
            }
            rest = after;
        }
        filled.push_str(rest);
        Some(filled)
    }

    /// Returns where the `number`-th `${` of a value stands.
    fn place_of_variable(&self, span: &Range<usize>, number: usize) -> usize {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let place = written.match_indices("${").nth(number).map_or(0, |(at, _)| at);
        span.start + place
    }

    fn plain_text(&mut self, node: &Node<'_>) -> Option<String> {
        match node.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.error(node.span().start, "this is a text in quotes".to_owned());
                None
            }
        }
    }

    fn table<'t, 'i>(&mut self, node: &'t Node<'i>) -> Option<&'t Table<'i>> {
        match node.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.error(node.span().start, "this is a section".to_owned());
                None
            }
        }
    }

    fn tables<'t, 'i>(&mut self, root: &'t Table<'i>, key: &str) -> Vec<(&'t Table<'i>, usize)> {
        let Some(node) = root.get(key) else { return Vec::new() };
        let DeValue::Array(items) = node.get_ref() else {
            self.error(node.span().start, format!("write [[{key}]]"));
            return Vec::new();
        };
        let tables = items.iter().filter_map(|item| Some((self.table(item)?, item.span().start)));
        tables.collect()
    }

    fn known(&mut self, table: &Table<'_>, keys: &[&str], place: &str) {
        for (key, _) in table {
            if !keys.contains(&key.get_ref().as_ref()) {
                let what =
                    format!("{place} has no key `{}`; it has: {}", key.get_ref(), keys.join(", "));
                self.error(key.span().start, what);
            }
        }
    }

    fn error(&mut self, at: usize, what: String) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.errors.push(PlanError { line, column, what });
    }
}

const HEAD_KEYS: [&str; 7] =
    ["name", "title", "description", "topology", "coordinator", "strategy", "workers_max"];
const TASK_KEYS: [&str; 8] =
    ["name", "title", "body", "role", "priority", "labels", "parent", "depends_on"];
const TOPOLOGIES: [(&str, Topology); 4] = [
    ("hierarchical", Topology::Hierarchical),
    ("mesh", Topology::Mesh),
    ("ring", Topology::Ring),
    ("star", Topology::Star),
];
const STRATEGIES: [(&str, Strategy); 3] = [
    ("balanced", Strategy::Balanced),
    ("critical-path", Strategy::CriticalPath),
    ("sequential", Strategy::Sequential),
];
const PRIORITIES: [(&str, Priority); 5] = [
    ("low", Priority::Low),
    ("normal", Priority::Normal),
    ("high", Priority::High),
    ("critical", Priority::Critical),
    ("emergency", Priority::Emergency),
];
const WORKERS_DEFAULT: usize = 4;
const WORKERS_MAX: usize = 256;
const TASKS_MAX: usize = 200;
const TEXT_BYTES_MAX: usize = 1 << 20;
