//! Our own rules, for what clippy does not see.
//!
//! | rule | finds | fix |
//! | --- | --- | --- |
//! | `contains-in-loop` | a list searched for each item | a set beside it |
//! | `front-removal` | `remove(0)`, `insert(0, _)` on a list in a loop | a double-ended queue |
//! | `char-index` | `chars().nth(i)` in a loop | the characters collected once |
//! | `unbuffered-io` | a file written or read piece by piece | a buffer around it |
//! | `print-in-loop` | standard output locked for each line | locked once, buffered |
//! | `lock-per-item` | a mutex taken for each item | taken once around the loop |
//! | `capacity` | growth where the size is known | `with_capacity` |
//! | `format-in-loop` | a temporary string for each item | written in place |
//! | `regex-compiled` | a pattern compiled for each call | compiled once |
//! | `integer-hash` | SipHash on integer keys | a multiplying hasher |
//! | `last-clone` | a clone of what is not used again | the value itself |
//! | `lock-across-await` | a guard that lives across an await | - |
//! | `blocking-in-async` | a call that blocks the executor's thread | - |
//! | `unbounded` | a channel or a crowd of tasks without a bound | - |
//!
//! Rules read text and guess types. That is enough: a wrong guess does not compile or changes the
//! output, and the judge rejects it. Paths are written out in full, so no import has to fit.

mod asynchronous;
mod facts;
mod growth;
mod hash;
mod io;
mod lists;
mod once;
mod text;

use std::path::Path;

use self::facts::{Bytes, Facts};
use super::edit::{Edit, Fix};
use super::{Finding, Sources};

/// Returns what every rule finds in the sources, in the order of files and lines.
#[must_use]
pub fn own_rules(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in sources.files() {
        let Some(syntax) = &file.syntax else { continue };
        for facts in facts::facts(syntax) {
            let view = View { path, text: &file.text, facts: &facts };
            findings.extend(RULES.iter().flat_map(|rule| rule(&view)));
        }
    }
    for finding in &mut findings {
        finding.function =
            sources.function_at(&finding.file, finding.line).map(|function| function.name.clone());
    }
    findings.sort_by(|a, b| (&a.file, a.line, &a.rule).cmp(&(&b.file, b.line, &b.rule)));
    findings
}

type Rule = fn(&View<'_>) -> Vec<Finding>;

const RULES: [Rule; 14] = [
    lists::contains_in_loop,
    lists::front_removal,
    lists::char_index,
    io::unbuffered_io,
    io::print_in_loop,
    once::lock_per_item,
    once::regex_compiled,
    once::last_clone,
    growth::capacity,
    text::format_in_loop,
    hash::integer_hash,
    asynchronous::lock_across_await,
    asynchronous::blocking_in_async,
    asynchronous::unbounded,
];

/// A function as the rules see it.
struct View<'a> {
    path: &'a Path,
    text: &'a str,
    facts: &'a Facts,
}

impl<'a> View<'a> {
    /// Returns the text of a place.
    fn text(&self, bytes: &Bytes) -> &'a str {
        self.text.get(bytes.clone()).unwrap_or_default()
    }

    /// Returns a finding at a place.
    fn finding(&self, rule: &str, at: &Bytes, message: impl Into<String>) -> Finding {
        let before = self.text.get(..at.start).unwrap_or_default();
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        Finding::new(rule, self.path, u32::try_from(line).unwrap_or(u32::MAX), message)
    }

    /// Returns the edit that replaces a place.
    fn replace(&self, bytes: &Bytes, text: impl Into<String>) -> Edit {
        Edit { file: self.path.to_owned(), range: bytes.clone(), text: text.into() }
    }

    /// Returns the edit that puts a statement on a line of its own before another.
    fn before(&self, statement: &Bytes, text: &str) -> Edit {
        let indent = self.indent(statement.start);
        self.replace(&(statement.start..statement.start), format!("{text}\n{indent}"))
    }

    /// Returns the edit that puts a statement on a line of its own behind another.
    fn behind(&self, statement: &Bytes, text: &str) -> Edit {
        let indent = self.indent(statement.start);
        self.replace(&(statement.end..statement.end), format!("\n{indent}{text}"))
    }

    /// Returns the white space at the start of the line of a place.
    fn indent(&self, place: usize) -> &'a str {
        let before = self.text.get(..place).unwrap_or_default();
        let line = &before[before.rfind('\n').map_or(0, |newline| newline + 1)..];
        &line[..line.len() - line.trim_start().len()]
    }
}

/// Returns a name that no variable has: of `self.items` and `set`, `items_set`.
fn name_for(name: &str, suffix: &str) -> String {
    format!("{}_{suffix}", name.trim_start_matches("self."))
}

impl Finding {
    /// Returns the finding with a fix.
    fn fixed_by(self, what: &str, edits: Vec<Edit>) -> Self {
        Self { fix: Some(Fix::new(what, edits)), ..self }
    }
}

/// Applies a rule to a text and returns what becomes of it; nothing where it finds nothing to fix.
#[cfg(test)]
fn fixed(text: &str, rule: &str) -> Option<String> {
    let sources = Sources::from_texts([("src/main.rs", text)]);
    let finding = own_rules(&sources).into_iter().find(|finding| finding.rule == rule)?;
    let texts = finding.fix?.apply(&sources).unwrap();
    let after = texts.into_values().next().unwrap();
    assert!(syn::parse_file(&after).is_ok(), "{after}");
    Some(after)
}

/// Returns true when a rule finds something in a text.
#[cfg(test)]
fn finds(text: &str, rule: &str) -> bool {
    let sources = Sources::from_texts([("src/main.rs", text)]);
    own_rules(&sources).iter().any(|finding| finding.rule == rule)
}
