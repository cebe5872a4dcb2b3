//! Files over 800 lines and functions over 70 may not be added and those there may not grow.
//!
//! What is already too long stands with its length in `xtask/ratchet.toml`, tables `files` and
//! `functions` (`"path::name" = lines`; of two functions with one name the longer counts). The
//! recorded length is exact: whoever makes one shorter lowers the number or removes the line.

use std::collections::BTreeMap;

use super::Finding;
use super::scan::words;
use super::tree::Tree;

/// Checks the length of every Rust file and function.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut ratchet = Ratchet::read(tree, &mut findings);
    for (path, text, scan) in tree.rust() {
        let lines = text.lines().count();
        findings.extend(ratchet.judge(
            "files",
            path,
            Place { path, line: 1 },
            lines,
            FILE_LINES_MAX,
        ));
        let mut longest: BTreeMap<&str, Function<'_>> = BTreeMap::new();
        for function in functions(&scan.code) {
            let known = longest.entry(function.name).or_insert(function);
            if known.lines < function.lines {
                *known = function;
            }
        }
        for (name, function) in longest {
            let key = format!("{path}::{name}");
            let place = Place { path, line: function.line };
            findings.extend(ratchet.judge(
                "functions",
                &key,
                place,
                function.lines,
                FUNCTION_LINES_MAX,
            ));
        }
    }
    for (table, key) in ratchet.recorded.into_keys() {
        let what = format!("`{key}` of [{table}] is not there or not too long");
        findings.push(Finding::new(RATCHET, 1, what, "delete the line"));
    }
    findings
}

#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    line: usize,
}

/// Lengths that were accepted, by table and key; each is removed when it is met.
struct Ratchet {
    recorded: BTreeMap<(&'static str, String), usize>,
}

impl Ratchet {
    fn read(tree: &Tree, findings: &mut Vec<Finding>) -> Self {
        let mut recorded = BTreeMap::new();
        let table: toml::Table = match tree.text(RATCHET).unwrap_or_default().parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                findings.push(Finding::new(RATCHET, 1, error.message(), "write valid TOML"));
                return Self { recorded };
            }
        };
        for name in ["files", "functions"] {
            let entries = table.get(name).and_then(toml::Value::as_table);
            for (key, lines) in entries.into_iter().flatten() {
                match lines.as_integer().map(usize::try_from) {
                    Some(Ok(lines)) => {
                        recorded.insert((name, key.clone()), lines);
                    }
                    _ => {
                        let what = format!("`{key}` of [{name}] is no number of lines");
                        findings.push(Finding::new(RATCHET, 1, what, "write the length"));
                    }
                }
            }
        }
        Self { recorded }
    }

    fn judge(
        &mut self,
        table: &'static str,
        key: &str,
        place: Place<'_>,
        lines: usize,
        max: usize,
    ) -> Option<Finding> {
        if lines <= max {
            return None;
        }
        let finding = |what, right: String| Some(Finding::new(place.path, place.line, what, right));
        let name = key.rsplit("::").next().unwrap_or(key);
        match self.recorded.remove(&(table, key.to_owned())) {
            Some(recorded) if recorded == lines => None,
            Some(recorded) if recorded > lines => finding(
                format!("`{name}` shrank from {recorded} to {lines} lines"),
                format!("write {lines} into {RATCHET}"),
            ),
            Some(recorded) => finding(
                format!("`{name}` grew from {recorded} to {lines} lines"),
                "what is too long may only shrink".to_owned(),
            ),
            None => finding(
                format!("`{name}` has {lines} lines"),
                format!("at most {max}: split it by subject"),
            ),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// Finds each function with a body in code without strings and comments, nested ones too.
fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    let mut words = words(code).peekable();
    while let Some((at, word)) = words.next() {
        // `fn(u8)` is a type, and what follows `fn` in a macro is `$name`.
        if word != "fn" {
            continue;
        }
        let Some((name_at, name)) = words.peek().copied() else { break };
        let named = code[at + word.len()..name_at].chars().all(char::is_whitespace);
        if let Some(end) = body_end(&code[name_at..]).filter(|_| named) {
            let line = 1 + count_lines(&code[..at]);
            let lines = 1 + count_lines(&code[at..name_at + end]);
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// The offset of the brace that closes the body, or `None` for a declaration without one.
fn body_end(code: &str) -> Option<usize> {
    let mut brackets = 0_u32;
    let mut braces = 0_u32;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' if braces == 0 => brackets += 1,
            ')' | ']' if braces == 0 => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return None,
            '{' if brackets == 0 => braces += 1,
            '}' if brackets == 0 && braces <= 1 => return Some(at),
            '}' if brackets == 0 => braces -= 1,
            _ => {}
        }
    }
    None
}

fn count_lines(code: &str) -> usize {
    code.matches('\n').count()
}

const RATCHET: &str = "xtask/ratchet.toml";
const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    /// Checks the findings for one file and a ratchet.
    #[track_caller]
    fn check_sizes(text: &str, ratchet: &str, want: &[&str]) {
        let found = check(&Tree::of(&[("x/a.rs", text), (RATCHET, ratchet)]));
        let found: Vec<_> =
            found.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn functions_are_measured_with_their_braces() {
        let code = "trait T { fn a(&self); fn b(x: [u8; 2]) -> fn(u8) {\n}\n}\n\
            impl<T> X<T> where T: Fn() {\n  fn c()\n  where\n    T: A,\n  { if x { y }\n  }\n}\n";
        let found: Vec<_> = functions(code).iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("b", 1, 2), ("c", 5, 5)]);
    }

    #[test]
    fn the_limits_hold() {
        check_sizes(&function("f", 70), "", &[]);
        check_sizes(&function("f", 71), "", &["x/a.rs:1: `f` has 71 lines"]);
        check_sizes(&"//\n".repeat(800), "", &[]);
        check_sizes(&"//\n".repeat(801), "", &["x/a.rs:1: `x/a.rs` has 801 lines"]);
    }

    #[test]
    fn the_ratchet_turns_one_way() {
        let ratchet = "[functions]\n\"x/a.rs::f\" = 80\n";
        check_sizes(&function("f", 80), ratchet, &[]);
        check_sizes(&function("f", 81), ratchet, &["x/a.rs:1: `f` grew from 80 to 81 lines"]);
        check_sizes(&function("f", 79), ratchet, &["x/a.rs:1: `f` shrank from 80 to 79 lines"]);
        let gone = "xtask/ratchet.toml:1: `x/a.rs::f` of [functions] is not there or not too long";
        check_sizes(&function("f", 70), ratchet, &[gone]);
    }

    #[test]
    fn of_two_functions_with_one_name_the_longer_counts() {
        let text = function("f", 75) + &function("f", 80);
        check_sizes(&text, "", &["x/a.rs:76: `f` has 80 lines"]);
        check_sizes(&text, "[functions]\n\"x/a.rs::f\" = 80\n", &[]);
    }
}
