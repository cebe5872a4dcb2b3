//! Rules for single lines and single files: head, width, unsafe, leftovers, paths of a machine.

use super::Finding;
use super::scan::{Scan, words};
use super::tree::Tree;

/// Checks every file on its own.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, scan) in tree.rust() {
        check_head(path, text, &mut findings);
        check_width(path, text, scan, &mut findings);
        check_unsafe(path, scan, &mut findings);
        check_leftovers(path, scan, &mut findings);
    }
    for (path, text) in tree.files() {
        check_machine_paths(path, text, &mut findings);
    }
    findings
}

/// The first thing after an optional shebang and attributes is `//!`.
fn check_head(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let mut attribute_open = false;
    let head = text.lines().map(str::trim).find(|line| {
        let shebang = line.starts_with("#!/");
        let begins = line.starts_with("#![");
        let skipped = line.is_empty() || shebang || begins || attribute_open;
        attribute_open = (attribute_open || begins) && !line.ends_with(']');
        !skipped
    });
    if !head.is_some_and(|line| line.starts_with("//!")) {
        let right = "begin with `//!`: what it is, its invariants, what it never does";
        findings.push(Finding::new(path, 1, "the file has no head", right));
    }
}

/// A line with an address or with nothing but a string may be long: people search for both whole.
fn check_width(path: &str, text: &str, scan: &Scan, findings: &mut Vec<Finding>) {
    let parts = scan.code.lines().zip(scan.comments.lines());
    for ((line, text), (code, comment)) in numbered(text).zip(parts) {
        let columns = text.chars().count();
        let only_a_string = words(code).next().is_none() && comment.trim().is_empty();
        if columns > COLUMNS_MAX && !only_a_string && !text.contains("://") {
            let right = format!("at most {COLUMNS_MAX}");
            findings.push(Finding::new(path, line, format!("{columns} columns"), right));
        }
    }
}

/// The word `unsafe` stands in the crates of the list only, and nowhere is it waved through.
fn check_unsafe(path: &str, scan: &Scan, findings: &mut Vec<Finding>) {
    let listed = path.strip_prefix("crates/").and_then(|path| path.split('/').next());
    let listed = listed.is_some_and(|name| UNSAFE_CRATES.contains(&name));
    for (line, code) in numbered(&scan.code) {
        for (_, word) in words(code) {
            if word == "unsafe" && !listed {
                let right =
                    format!("safe code, or a crate of the list: {}", UNSAFE_CRATES.join(", "));
                findings.push(Finding::new(path, line, "`unsafe`", right));
            }
            if word == "unsafe_code" && !(listed && code.contains("#![expect(")) {
                let right =
                    "only `#![expect(unsafe_code, reason = \"…\")]`, in a crate of the list";
                findings.push(Finding::new(path, line, "the lint `unsafe_code` is changed", right));
            }
        }
    }
}

/// Marks of unfinished work, in code and in comments.
fn check_leftovers(path: &str, scan: &Scan, findings: &mut Vec<Finding>) {
    let code = numbered(&scan.code).flat_map(|(line, text)| {
        words(text).filter_map(move |(at, word)| {
            let called = text[at + word.len()..].starts_with('!');
            (called && LEFTOVER_MACROS.contains(&word)).then(|| (line, format!("`{word}!`")))
        })
    });
    let comments = numbered(&scan.comments).flat_map(|(line, text)| {
        let marks = words(text).filter(|(_, word)| LEFTOVER_MARKS.contains(word));
        marks.map(move |(_, word)| (line, format!("`{word}`")))
    });
    for (line, what) in code.chain(comments) {
        findings.push(Finding::new(path, line, what, "finish it, or open an issue"));
    }
}

/// A path that exists on the author's machine only.
fn check_machine_paths(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (line, text) in numbered(text) {
        for prefix in MACHINE_PATHS {
            let named = text.match_indices(prefix).any(|(at, _)| {
                // Behind a folder's name it is a path below the project's own root.
                !text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~}>*".contains(c))
            });
            if named {
                let what = format!("a path of one machine: {prefix}…");
                findings.push(Finding::new(
                    path,
                    line,
                    what,
                    "a path below the root of the project",
                ));
            }
        }
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

const COLUMNS_MAX: usize = 100;

/// Where unsafe code may stand; each block there argues its safety (a compiler lint).
const UNSAFE_CRATES: &[&str] = &["memory", "bus", "profile", "runtime", "net", "packet"];

const LEFTOVER_MACROS: &[&str] = &["dbg", "todo", "unimplemented"];
const LEFTOVER_MARKS: &[&str] = &["FIXME", "XXX"];

/// Put together so that this file does not name them.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `line: what` of the findings in one file.
    #[track_caller]
    fn check_file(path: &str, text: &str, want: &[&str]) {
        let found = check(&Tree::of(&[(path, text)]));
        let found: Vec<_> = found.iter().map(|f| format!("{}: {}", f.line, f.what)).collect();
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn a_head_may_follow_shebang_and_attributes() {
        check_file("x/a.rs", "//! Head.\n", &[]);
        check_file(
            "x/a.rs",
            "#!/usr/bin/env x\n#![expect(\n    y,\n    reason = \"z\"\n)]\n\n//! H.\n",
            &[],
        );
        check_file("x/a.rs", "// Not a head.\nfn f() {}\n", &["1: the file has no head"]);
        check_file("x/a.rs", "use a::b;\n//! Late.\n", &["1: the file has no head"]);
        check_file("x/a.rs", "", &["1: the file has no head"]);
    }

    #[test]
    fn width_counts_characters() {
        let wide = |last: &str| format!("//! H.\n// {}{last}\n", "é".repeat(96));
        check_file("x/a.rs", &wide("x"), &[]);
        check_file("x/a.rs", &wide("xy"), &["2: 101 columns"]);
        check_file("x/a.rs", &wide(" https://example.org/"), &[]);
        let string = format!("(\"{}\"),\n", "x".repeat(100));
        check_file("x/a.rs", &format!("//! H.\n{string}"), &[]);
        check_file("x/a.rs", &format!("//! H.\nf{string}"), &["2: 106 columns"]);
    }

    #[test]
    fn unsafe_is_a_word_of_code() {
        let text = "//! unsafe\nfn f() { let unsafe_x = \"unsafe\"; unsafe { g() } }\n";
        check_file("crates/proxy/src/a.rs", text, &["2: `unsafe`"]);
        check_file("crates/bus/src/a.rs", text, &[]);
        check_file("crates/bus-tool/src/a.rs", text, &["2: `unsafe`"]);
    }

    #[test]
    fn the_lint_is_opened_in_one_way() {
        let open = "//! H.\n#![expect(unsafe_code, reason = \"rings\")]\n";
        check_file("crates/bus/src/lib.rs", open, &[]);
        let want = ["2: the lint `unsafe_code` is changed"];
        check_file("crates/proxy/src/lib.rs", open, &want);
        check_file("crates/bus/src/lib.rs", "//! H.\n#![allow(unsafe_code)]\n", &want);
    }

    #[test]
    fn leftovers_are_found_in_code_and_comments() {
        check_file(
            "x/a.rs",
            "//! H.\nfn f() { todo!() } // FIXME\n",
            &["2: `todo!`", "2: `FIXME`"],
        );
        check_file("x/a.rs", "//! H.\nfn todo() -> &'static str { \"dbg!() FIXME\" }\n", &[]);
    }

    #[test]
    fn machine_paths_are_found_anywhere() {
        let root = MACHINE_PATHS[1];
        let want = ["1: a path of one machine: ".to_owned() + root + "…"];
        let want: Vec<_> = want.iter().map(String::as_str).collect();
        check_file("docs/a.md", &format!("see {root}x"), &want);
        check_file("docs/a.md", &format!("see bench{root}x"), &[]);
    }
}
