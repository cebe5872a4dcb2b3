//! Rules about the pages: links lead somewhere, paths exist, decisions are listed.

use super::tree::Tree;
use super::{ARCHITECTURE, Finding};

/// Checks the links of every page, and the paths and decisions of the architecture page.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for (line, text) in prose(text) {
            for target in link_targets(text).filter(|target| is_local(target)) {
                if !tree.exists(&resolve(path, target)) {
                    let what = format!("the link to `{target}` leads nowhere");
                    findings.push(Finding::new(path, line, what, "link what is there"));
                }
            }
        }
    }
    let architecture = tree.text(ARCHITECTURE).unwrap_or_default();
    findings.extend(check_paths(architecture, tree));
    for (path, _) in tree.files() {
        let decision = path.starts_with("docs/decisions/") && path.ends_with(".md");
        if decision && !architecture.contains(path) {
            let right = format!("list it in {ARCHITECTURE} with its outcome in one line");
            findings.push(Finding::new(path, 1, "no link leads to this decision", right));
        }
    }
    findings
}

/// Each path in back ticks exists from the root, or from the crate of its block.
fn check_paths(text: &str, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut folder = String::new();
    for (line, text) in prose(text) {
        if let Some(heading) = text.strip_prefix('#') {
            let words = heading.split([' ', '`', '#']).find(|word| word.starts_with("crates/"));
            folder = words.unwrap_or_default().to_owned();
        }
        for span in text.split('`').skip(1).step_by(2).filter(|span| is_path(span)) {
            let places =
                [span.to_owned(), format!("{folder}/{span}"), format!("{folder}/src/{span}")];
            if !places.iter().any(|place| tree.exists(place)) {
                let what = format!("`{span}` does not exist");
                findings.push(Finding::new(ARCHITECTURE, line, what, "name a path that does"));
            }
        }
    }
    findings
}

/// Returns true for what reads as a path of this repository: not an endpoint, an address range, a
/// media type, a path with a gap to fill in, or something that is made at run time.
fn is_path(span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let first = span.split('/').next().unwrap_or_default();
    span.contains('/')
        && span.chars().all(plain)
        && !matches!(first, "" | "target" | ".workspace" | "data_dir" | "application" | "text")
        && !first.starts_with(|c: char| c.is_ascii_digit())
}

/// The lines outside fenced blocks, numbered.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of `[text](target)`, without their fragments.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.map(|target| target.split('#').next().unwrap_or(target))
}

fn is_local(target: &str) -> bool {
    !target.is_empty() && !target.contains(':')
}

/// Returns `target`, which stands in `page`, as a path from the root.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_tree(files: &[(&str, &str)], want: &[&str]) {
        let found = check(&Tree::of(files));
        let found: Vec<_> =
            found.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn links_are_followed_from_their_page() {
        check_tree(
            &[
                ("docs/a.md", "[b](guide/b.md#x) [r](../README.md) [w](https://x.org/y) [s](#s)"),
                ("docs/guide/b.md", "[a](../a.md)\n[gone](c.md)\n```\n[code](d.md)\n```\n"),
                ("README.md", "[docs](docs/)"),
            ],
            &["docs/guide/b.md:2: the link to `c.md` leads nowhere"],
        );
    }

    #[test]
    fn paths_of_the_architecture_exist() {
        let page = "`crates/bus/src/lib.rs` `docs/gone.md` `GET /metrics` `/api/v1` `127.0.0.0/8`\n\
            ### crates/bus [layer 1]\n`tests/loom.rs` `ring/mod.rs` `target/x` `docs/<name>.md`\n\
            ## Next\n`ring/mod.rs`\n";
        check_tree(
            &[
                (ARCHITECTURE, page),
                ("crates/bus/src/lib.rs", ""),
                ("crates/bus/src/ring/mod.rs", ""),
                ("crates/bus/tests/loom.rs", ""),
            ],
            &[
                "ARCHITECTURE.md:1: `docs/gone.md` does not exist",
                "ARCHITECTURE.md:5: `ring/mod.rs` does not exist",
            ],
        );
    }

    #[test]
    fn each_decision_is_listed() {
        check_tree(
            &[
                (ARCHITECTURE, "- [Tokio first](docs/decisions/tokio.md): yes\n"),
                ("docs/decisions/tokio.md", ""),
                ("docs/decisions/maglev.md", ""),
            ],
            &["docs/decisions/maglev.md:1: no link leads to this decision"],
        );
    }
}
