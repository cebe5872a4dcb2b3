//! Holds the dependency table of the architecture page against the manifests.
//!
//! A row gives crates and what they may depend on: `| proxy, load | net, metrics (counters) |`,
//! with `-` for nothing and `all` for everything. The manifests may use less than the table allows,
//! never more. Dev-dependencies are free, but for the applications, which never meet.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use super::{ARCHITECTURE, Finding};
use crate::cargo::{Member, Workspace};

/// Checks every dependency between members of the workspace.
pub(crate) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let Some(text) = tree.text(ARCHITECTURE) else {
        let right = "write it: `## Layers` holds the table `| crate | may depend on |`";
        return vec![Finding::new(ARCHITECTURE, 1, "the architecture page is missing", right)];
    };
    let mut findings = Vec::new();
    let table = Table::parse(text, workspace, &mut findings);
    for member in &workspace.members {
        check_member(member, workspace, &table, &mut findings);
    }
    findings
}

fn check_member(
    member: &Member,
    workspace: &Workspace,
    table: &Table,
    findings: &mut Vec<Finding>,
) {
    let own = member.short_name();
    let manifest = format!("{}/Cargo.toml", member.folder);
    let row = table.rows.get(own);
    if member.is_crate() && row.is_none() {
        let what = format!("crate `{own}` has no row in the table of `## Layers`");
        let right = format!("add `| {own} | … |`");
        findings.push(Finding::new(ARCHITECTURE, table.line, what, right));
        return;
    }
    for dependency in member.dependencies.iter().filter(|dependency| dependency.local) {
        let Some(other) = workspace.member(&dependency.name).map(Member::short_name) else {
            continue;
        };
        let mut report = |what: String, right: &str| {
            findings.push(Finding::new(&manifest, 1, what, right));
        };
        if other == "xtask" {
            report(format!("`{own}` depends on xtask"), "xtask is a command, used by nobody");
        } else if other == "testkit" {
            if !dependency.dev {
                let what = format!("`{own}` depends on testkit outside tests");
                report(what, "move it to [dev-dependencies]");
            }
        } else if APPLICATIONS.contains(&own) && APPLICATIONS.contains(&other) {
            let what = format!("application `{own}` imports application `{other}`");
            report(what, "`tidemill` wires applications together");
        } else if !dependency.dev && !row.is_some_and(|row| row.allows(other)) {
            let what = format!("`{own}` depends on `{other}`, which the table does not allow");
            report(what, "drop the dependency, or change the table of ARCHITECTURE.md");
        }
    }
}

/// The rows under `## Layers`.
struct Table {
    line: usize,
    rows: BTreeMap<String, Row>,
}

/// What one crate may depend on.
#[derive(Clone)]
struct Row {
    all: bool,
    allowed: BTreeSet<String>,
}

impl Row {
    fn allows(&self, other: &str) -> bool {
        self.all || self.allowed.contains(other)
    }
}

impl Table {
    /// Reads the first table below the heading; names that are no member are findings.
    fn parse(text: &str, workspace: &Workspace, findings: &mut Vec<Finding>) -> Self {
        let mut table = Self { line: 1, rows: BTreeMap::new() };
        let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let mut section = numbered.skip_while(|(_, line)| line.trim() != "## Layers");
        match section.next() {
            Some((line, _)) => table.line = line,
            None => {
                let right = "add it, with the table `| crate | may depend on |`";
                findings.push(Finding::new(ARCHITECTURE, 1, "no heading `## Layers`", right));
            }
        }
        let rows = section
            .take_while(|(_, line)| !line.starts_with('#'))
            .skip_while(|(_, line)| !line.starts_with('|'))
            .take_while(|(_, line)| line.starts_with('|'))
            .skip(2); // the head and the rule below it
        for (line, row) in rows {
            let cells: Vec<_> = row.trim().trim_matches('|').split('|').collect();
            let [crates, allowed] = cells.as_slice() else {
                let right = "two columns: crate, may depend on";
                findings.push(Finding::new(ARCHITECTURE, line, "a row without two cells", right));
                continue;
            };
            let allowed = names(allowed);
            let row = Row { all: allowed.contains("all"), allowed };
            let own = names(crates);
            for name in own.iter().chain(&row.allowed).filter(|name| *name != "all") {
                if !workspace.members.iter().any(|member| member.short_name() == name) {
                    let what = format!("the table names `{name}`, which is no crate");
                    let right = "crates enter the table when they have content";
                    findings.push(Finding::new(ARCHITECTURE, line, what, right));
                }
            }
            for name in own {
                if table.rows.insert(name.clone(), row.clone()).is_some() {
                    let what = format!("`{name}` has two rows");
                    findings.push(Finding::new(ARCHITECTURE, line, what, "keep one"));
                }
            }
        }
        table
    }
}

/// The names in a cell: without back ticks, and without what stands in parentheses.
fn names(cell: &str) -> BTreeSet<String> {
    let plain = cell.replace('`', "");
    let names = plain.split(',').map(|name| name.split('(').next().unwrap_or(name).trim());
    names.filter(|name| !matches!(*name, "" | "-" | "–" | "—")).map(str::to_owned).collect()
}

/// Crates that `tidemill` offers to people; none of them may know another.
const APPLICATIONS: &[&str] = &["proxy", "workstream", "monitor", "tune", "load"];

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Architecture\n\n## Layers\n\nProse.\n\n| crate | may depend on |\n\
        |---|---|\n| memory, `metrics` | - |\n| proxy | memory (pools), metrics |\n\
        | load | metrics |\n| tidemill | all |\n\n## Code map\n";

    /// Checks the findings' text for crates given as `(folder, dependencies)`.
    #[track_caller]
    fn check_page(page: &str, crates: &[(&str, &str)], want: &[&str]) {
        let tree = Tree::of(&[(ARCHITECTURE, page)]);
        let found = check(&tree, &Workspace::of(crates));
        let found: Vec<_> =
            found.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
        assert_eq!(found, want);
    }

    const GOOD: [(&str, &str); 6] = [
        ("crates/memory", "dev:testkit"),
        ("crates/metrics", ""),
        ("crates/proxy", "memory dev:testkit"),
        ("crates/load", "metrics dev:memory"),
        ("crates/tidemill", "proxy load metrics"),
        ("testkit", ""),
    ];

    #[test]
    fn less_than_allowed_is_good() {
        check_page(PAGE, &GOOD, &[]);
    }

    #[test]
    fn more_than_allowed_is_found() {
        let mut crates = GOOD;
        crates[0].1 = "metrics";
        check_page(
            PAGE,
            &crates,
            &["crates/memory/Cargo.toml:1: `memory` depends on `metrics`, \
                 which the table does not allow"],
        );
    }

    #[test]
    fn applications_do_not_meet_even_in_tests() {
        let mut crates = GOOD;
        crates[3].1 = "dev:proxy";
        let want = "crates/load/Cargo.toml:1: application `load` imports application `proxy`";
        check_page(PAGE, &crates, &[want]);
    }

    #[test]
    fn testkit_stays_in_tests() {
        let mut crates = GOOD;
        crates[4].1 = "testkit";
        let want = "crates/tidemill/Cargo.toml:1: `tidemill` depends on testkit outside tests";
        check_page(PAGE, &crates, &[want]);
    }

    #[test]
    fn rows_and_crates_are_the_same_set() {
        check_page(
            PAGE,
            &[("crates/memory", ""), ("crates/metrics", ""), ("crates/bus", "")],
            &[
                "ARCHITECTURE.md:10: the table names `proxy`, which is no crate",
                "ARCHITECTURE.md:11: the table names `load`, which is no crate",
                "ARCHITECTURE.md:12: the table names `tidemill`, which is no crate",
                "ARCHITECTURE.md:3: crate `bus` has no row in the table of `## Layers`",
            ],
        );
    }

    #[test]
    fn a_page_without_the_table_is_found() {
        check_page(
            "# Architecture\n",
            &[("xtask", "")],
            &["ARCHITECTURE.md:1: no heading `## Layers`"],
        );
    }
}
