//! Holds the code map of the architecture page against the crates.
//!
//! Each crate has a block `### crates/NAME` of at most [`BLOCK_LINES_MAX`] lines that says what the
//! crate answers and what it never does. Types under `Key types:` exist in that crate.

use std::collections::BTreeSet;

use super::scan::words;
use super::tree::Tree;
use super::{ARCHITECTURE, Finding};
use crate::cargo::Workspace;

/// Checks that each crate has its block and that each block tells the truth.
pub(crate) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    // Without the page the layers have said so already.
    let Some(text) = tree.text(ARCHITECTURE) else { return Vec::new() };
    let blocks = blocks(text);
    let mut findings = Vec::new();
    for member in workspace.members.iter().filter(|member| member.is_crate()) {
        if !blocks.iter().any(|block| block.folder == member.folder) {
            let what = format!("the code map has no block for {}", member.folder);
            let right = format!("add `### {}` with Answers, Key types, Never", member.folder);
            findings.push(Finding::new(ARCHITECTURE, 1, what, right));
        }
    }
    for block in &blocks {
        check_block(block, tree, workspace, &mut findings);
    }
    findings
}

fn check_block(block: &Block<'_>, tree: &Tree, workspace: &Workspace, findings: &mut Vec<Finding>) {
    let mut report = |line: usize, what: String, right: &str| {
        findings.push(Finding::new(ARCHITECTURE, line, what, right));
    };
    let folder = block.folder;
    if !workspace.members.iter().any(|member| member.folder == folder) {
        report(
            block.line,
            format!("the code map describes {folder}, which is no crate"),
            "delete the block",
        );
        return;
    }
    for start in ["Answers:", "Never:"] {
        if !block.lines.iter().any(|(_, line)| field(line, start).is_some()) {
            report(block.line, format!("the block of {folder} has no line `{start}`"), "add it");
        }
    }
    let count = block.lines.iter().filter(|(_, line)| !line.trim().is_empty()).count();
    if count > BLOCK_LINES_MAX {
        let what = format!("the block of {folder} has {count} lines");
        report(block.line, what, "at most 8: detail belongs to the head of the crate");
    }
    let known = crate_words(folder, tree);
    for (line, text) in &block.lines {
        let Some(types) = field(text, "Key types:") else { continue };
        let named = words(types).map(|(_, word)| word);
        for name in named.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())) {
            if !known.contains(name) {
                let what = format!("{folder} has no type `{name}`");
                report(*line, what, "name the type as the code does");
            }
        }
    }
}

/// One `### crates/NAME` and the lines below it.
struct Block<'a> {
    folder: &'a str,
    line: usize,
    lines: Vec<(usize, &'a str)>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut inside = false;
    for (line, text) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let heading = text.strip_prefix("### ").map(|heading| heading.trim_start_matches('`'));
        if let Some(folder) = heading.filter(|heading| heading.starts_with("crates/")) {
            let folder = folder.split([' ', '`']).next().unwrap_or(folder).trim_end_matches('/');
            blocks.push(Block { folder, line, lines: Vec::new() });
            inside = true;
        } else if text.starts_with('#') {
            inside = false;
        } else if let Some(block) = blocks.last_mut().filter(|_| inside) {
            block.lines.push((line, text));
        }
    }
    blocks
}

/// What follows `start` in a line that may be a list item or emphasised.
fn field<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.trim_start_matches([' ', '-', '*', '_']).strip_prefix(start)
}

fn crate_words<'a>(folder: &str, tree: &'a Tree) -> BTreeSet<&'a str> {
    let source = format!("{folder}/src/");
    let files = tree.rust().filter(|(path, ..)| path.starts_with(&source));
    files.flat_map(|(_, _, scan)| words(&scan.code)).map(|(_, word)| word).collect()
}

/// What a reader takes in at a glance.
const BLOCK_LINES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_page(page: &str, want: &[&str]) {
        let source = "//! Head.\npub struct Ring; // Bus\n";
        let tree = Tree::of(&[(ARCHITECTURE, page), ("crates/bus/src/lib.rs", source)]);
        let found = check(&tree, &Workspace::of(&[("crates/bus", ""), ("xtask", "")]));
        let found: Vec<_> = found.iter().map(|f| format!("{}: {}", f.line, f.what)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_whole_block_passes() {
        check_page(
            "## Code map\n### crates/bus  [layer 1]\n- **Answers:** \"how?\"\n\
             Key types: `Ring`.\nNever: blocks.\n## Next\nNobody: Bus\n",
            &[],
        );
    }

    #[test]
    fn a_crate_without_block_is_found() {
        check_page("## Code map\n", &["1: the code map has no block for crates/bus"]);
    }

    #[test]
    fn a_block_says_what_is_so() {
        check_page(
            "### `crates/bus`\nAnswers: \"how?\"\nKey types: Ring, Bus.\n\n### crates/gone\n",
            &[
                "1: the block of crates/bus has no line `Never:`",
                "3: crates/bus has no type `Bus`",
                "5: the code map describes crates/gone, which is no crate",
            ],
        );
    }
}
