//! Lists: filter, order, pages. A page begins behind the last item of the one before, so it costs
//! its own length wherever it lies, and items that come or go in between shift nothing.
//!
//! A cursor is the order's letter, the sort key and the identity of the last item, separated by
//! `.`; a title is in hexadecimal. A cursor of another order is refused.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::rows;
use super::tables::{MEMORY_COLUMNS, SELECT_TASKS as SELECT, memory_of_row, task_of_row};
use crate::error::{Error, Kind};
use crate::model::limits::{PAGE_MAX, invalid};
use crate::model::{
    MemoryEntry, MemoryKey, Page, PageRequest, SortKey, Status, Task, TaskFilter, TaskId, TaskSort,
};

/// Lists tasks. `matches` are those that a search found, if the filter asks for one.
pub(crate) fn tasks(
    connection: &Connection,
    filter: &TaskFilter,
    matches: Option<&[TaskId]>,
    sort: TaskSort,
    page: &PageRequest,
) -> Result<Page<Task>, Error> {
    check_limit(page.limit)?;
    let mut conditions = Conditions::default();
    conditions.filter(filter);
    if let Some(matches) = matches {
        conditions.one_of("id", matches.iter().map(|id| blob(*id)));
    }
    let (key, direction, comparison) = match sort.is_descending {
        true => (column(sort.key), "DESC", "<"),
        false => (column(sort.key), "ASC", ">"),
    };
    if let Some(after) = &page.after {
        let (value, id) = parse_cursor(sort.key, after).ok_or(Kind::Cursor(after.clone()))?;
        let value = conditions.bind(value);
        let id = conditions.bind(blob(id));
        conditions.texts.push(match sort.key {
            SortKey::CreatedAt => format!("id {comparison} {id}"),
            _ => format!("({key}, id) {comparison} ({value}, {id})"),
        });
    }
    let conditions_text = conditions.texts.join(" AND ");
    let status = statuses(filter);
    let selections = match is_selective(filter) || matches.is_some() {
        // Few rows: found by what selects them, then sorted.
        true => {
            let status: Vec<_> = status.iter().map(ToString::to_string).collect();
            let status = status.join(", ");
            format!("{SELECT} AND +status IN ({status}) AND {conditions_text}")
        }
        // Perhaps all rows: walked in order within each status, and merged.
        false => {
            let one =
                |status: &i64| format!("{SELECT} AND status = {status} AND {conditions_text}");
            status.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ")
        }
    };
    let order = match sort.key {
        SortKey::CreatedAt => format!("id {direction}"),
        _ => format!("{key} {direction}, id {direction}"),
    };
    let sql = format!("{selections} ORDER BY {order} LIMIT {}", page.limit + 1);
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(conditions.values), task_of_row)?;
    let items = found.collect::<Result<Vec<_>, _>>()?;
    Ok(paged(items, page.limit, |task| cursor(sort.key, task)))
}

/// Lists memory entries by scope and key.
pub(crate) fn memory(
    connection: &Connection,
    scope: Option<&str>,
    page: &PageRequest,
) -> Result<Page<MemoryEntry>, Error> {
    check_limit(page.limit)?;
    let after = match &page.after {
        None => MemoryKey::new("", ""),
        Some(after) => {
            let (scope, key) = after.split_once('/').ok_or(Kind::Cursor(after.clone()))?;
            MemoryKey::new(scope, key)
        }
    };
    let sql = format!(
        "SELECT {MEMORY_COLUMNS} FROM memory
         WHERE is_there AND (scope, key) > (?1, ?2) AND (?3 IS NULL OR scope = ?3)
         ORDER BY scope, key LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let bound = params![after.scope, after.key, scope, page.limit + 1];
    let items = statement.query_map(bound, memory_of_row)?.collect::<Result<Vec<_>, _>>()?;
    Ok(paged(items, page.limit, |entry| entry.name().to_string()))
}

/// Returns the numbers of the statuses that a filter lets through, each once.
fn statuses(filter: &TaskFilter) -> Vec<i64> {
    let wanted = |status: &&Status| filter.status.is_empty() || filter.status.contains(status);
    Status::ALL.iter().filter(wanted).map(|status| rows::status_number(*status)).collect()
}

/// Returns true when a filter lets few tasks through and an index knows which.
fn is_selective(filter: &TaskFilter) -> bool {
    !filter.labels.is_empty()
        || matches!(filter.assignee, Some(Some(_)))
        || matches!(filter.role, Some(Some(_)))
        || matches!(filter.parent, Some(Some(_)))
        || filter.has_conflicts == Some(true)
}

/// Cuts a list that was asked for with one item more than the page holds.
pub(super) fn paged<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = if has_more { items.last().map(cursor) } else { None };
    Page { items, next }
}

pub(super) fn check_limit(limit: usize) -> Result<(), Error> {
    if (1..=PAGE_MAX).contains(&limit) { Ok(()) } else { invalid("limit", "has to be 1 to 500") }
}

/// Conditions of a statement and the values bound in them.
struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { texts: vec!["is_there".to_owned()], values: Vec::new() }
    }
}

impl Conditions {
    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    fn one_of(&mut self, column: &str, values: impl Iterator<Item = Value>) {
        let places: Vec<_> = values.map(|value| self.bind(value)).collect();
        self.texts.push(format!("{column} IN ({})", places.join(", ")));
    }

    fn optional(&mut self, column: &str, value: Option<Value>) {
        let text = match value {
            Some(value) => format!("{column} = {}", self.bind(value)),
            None => format!("{column} IS NULL"),
        };
        self.texts.push(text);
    }

    fn filter(&mut self, filter: &TaskFilter) {
        if !filter.priority.is_empty() {
            let priority = filter.priority.iter();
            self.one_of("priority", priority.map(|p| rows::priority_number(*p).into()));
        }
        for label in &filter.labels {
            let label = self.bind(label.clone().into());
            self.texts.push(format!("id IN (SELECT task FROM task_labels WHERE label = {label})"));
        }
        if let Some(assignee) = &filter.assignee {
            self.optional("assignee", assignee.clone().map(Value::from));
        }
        if let Some(role) = &filter.role {
            self.optional("role", role.clone().map(Value::from));
        }
        if let Some(parent) = filter.parent {
            self.optional("parent", parent.map(blob));
        }
        match filter.has_conflicts {
            Some(true) => self.texts.push("(conflicts > 0 OR is_revived)".to_owned()),
            Some(false) => self.texts.push("NOT (conflicts > 0 OR is_revived)".to_owned()),
            None => {}
        }
    }
}

fn blob(id: TaskId) -> Value {
    Value::Blob(id.to_bytes().to_vec())
}

const fn column(key: SortKey) -> &'static str {
    match key {
        SortKey::CreatedAt => "id",
        SortKey::UpdatedAt => "updated_at",
        SortKey::Priority => "priority",
        SortKey::Status => "status",
        SortKey::Title => "title",
    }
}

const fn letter(key: SortKey) -> &'static str {
    match key {
        SortKey::CreatedAt => "c",
        SortKey::UpdatedAt => "u",
        SortKey::Priority => "p",
        SortKey::Status => "s",
        SortKey::Title => "t",
    }
}

fn cursor(key: SortKey, task: &Task) -> String {
    let value = match key {
        SortKey::CreatedAt => String::new(),
        SortKey::UpdatedAt => task.updated_at.unix_ms().to_string(),
        SortKey::Priority => rows::priority_number(task.priority).to_string(),
        SortKey::Status => rows::status_number(task.status).to_string(),
        SortKey::Title => task.title.bytes().map(|byte| format!("{byte:02x}")).collect(),
    };
    format!("{}.{value}.{}", letter(key), task.id)
}

fn parse_cursor(key: SortKey, cursor: &str) -> Option<(Value, TaskId)> {
    let mut parts = cursor.split('.');
    let (order, value, id) = (parts.next()?, parts.next()?, parts.next()?);
    if order != letter(key) || parts.next().is_some() {
        return None;
    }
    let value = match key {
        SortKey::CreatedAt => Value::Null,
        SortKey::Title => Value::Text(unhex(value)?),
        _ => Value::Integer(value.parse().ok()?),
    };
    Some((value, id.parse().ok()?))
}

fn unhex(text: &str) -> Option<String> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(pairs.iter().map(byte).collect::<Option<Vec<_>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_order() {
        let id = TaskId::new(1, 2);
        let text = format!("t.c3a9.{id}");
        assert_eq!(parse_cursor(SortKey::Title, &text), Some((Value::Text("é".to_owned()), id)));
        for wrong in ["", "t.c3.x", "t.c.", "u.1.", &format!("p.1.{id}"), &format!("{text}.")] {
            assert_eq!(parse_cursor(SortKey::Title, wrong), None, "{wrong}");
        }
    }
}
