//! Holds the metric names in the code against the reference page, both ways.
//!
//! A metric's name is a string literal `tidemill_…` in a crate's source outside its tests, so names
//! must be written whole, never put together. A crate's own name (`tidemill_proxy`, a log target)
//! is no metric.

use std::collections::BTreeMap;

use super::Finding;
use super::scan::words;
use super::tree::Tree;
use crate::cargo::Workspace;

/// Checks that each name used is described and each name described is used.
pub(crate) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let used = used_names(tree, workspace);
    let Some(reference) = tree.text(REFERENCE) else {
        let what = format!("the reference is missing, and the code has {} metrics", used.len());
        let finding = Finding::new(REFERENCE, 1, what, "describe each metric there");
        return if used.is_empty() { Vec::new() } else { vec![finding] };
    };
    let mut described = BTreeMap::new();
    for (index, line) in reference.lines().enumerate() {
        for name in names(line, workspace) {
            described.entry(name).or_insert(index + 1);
        }
    }
    let mut findings = Vec::new();
    for (name, (path, line)) in &used {
        if !described.contains_key(name) {
            let what = format!("metric `{name}` is not described");
            findings.push(Finding::new(*path, *line, what, format!("add it to {REFERENCE}")));
        }
    }
    for (name, line) in described {
        // A histogram's samples have names of their own.
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        if !used.contains_key(name) && !family.is_some_and(|family| used.contains_key(family)) {
            let what = format!("no code has the metric `{name}`");
            findings.push(Finding::new(REFERENCE, line, what, "delete it, or correct the name"));
        }
    }
    findings
}

/// Each name with the first place that has it.
fn used_names<'a>(tree: &'a Tree, workspace: &Workspace) -> BTreeMap<&'a str, (&'a str, usize)> {
    let mut used = BTreeMap::new();
    for (path, text, scan) in tree.rust().filter(|(path, ..)| is_source(path)) {
        let tests_at = text.lines().position(|line| line.starts_with("#[cfg(test)]"));
        for (line, string) in &scan.strings {
            if tests_at.is_none_or(|tests_at| *line <= tests_at) {
                for name in names(string, workspace) {
                    used.entry(name).or_insert((path, *line));
                }
            }
        }
    }
    used
}

fn is_source(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("crates") && parts.nth(1) == Some("src") && !path.ends_with("/tests.rs")
}

fn names<'a>(text: &'a str, workspace: &Workspace) -> impl Iterator<Item = &'a str> {
    let names = words(text).map(|(_, word)| word).filter(|word| {
        let rest = word.strip_prefix("tidemill_").unwrap_or_default();
        !rest.is_empty() && !rest.ends_with('_')
    });
    names.filter(|name| {
        !workspace.members.iter().any(|member| member.name.replace('-', "_") == *name)
    })
}

const REFERENCE: &str = "docs/reference/metrics.md";

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "//! `tidemill_in_a_comment`.\n\
        const A: &str = \"tidemill_proxy_a_total\";\nconst T: &str = \"tidemill_bus\";\n\
        #[cfg(test)]\nmod tests { const B: &str = \"tidemill_b\"; }\n";

    #[track_caller]
    fn check_reference(reference: Option<&str>, want: &[&str]) {
        let mut files = vec![("crates/bus/src/lib.rs", SOURCE)];
        files.extend(reference.map(|text| (REFERENCE, text)));
        let found = check(&Tree::of(&files), &Workspace::of(&[("crates/bus", "")]));
        let found: Vec<_> =
            found.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn code_and_reference_name_the_same() {
        check_reference(
            Some("| `tidemill_proxy_a_total` |\n| `tidemill_proxy_a_total_count` |"),
            &[],
        );
    }

    #[test]
    fn either_side_alone_is_found() {
        check_reference(
            Some("# Metrics\n`tidemill_gone`\n"),
            &[
                "crates/bus/src/lib.rs:2: metric `tidemill_proxy_a_total` is not described",
                "docs/reference/metrics.md:2: no code has the metric `tidemill_gone`",
            ],
        );
        let want =
            "docs/reference/metrics.md:1: the reference is missing, and the code has 1 metrics";
        check_reference(None, &[want]);
    }
}
