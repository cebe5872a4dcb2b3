//! Rules about the members' manifests: shared lints, shared versions, nothing unused.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;
use crate::cargo::Workspace;

/// Checks each manifest, and the workspace's own table of versions.
pub(crate) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.members {
        let path = format!("{}/Cargo.toml", member.folder);
        let Some(manifest) = read(tree, &path, &mut findings) else { continue };
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            let what = format!("`{}` does not use the lints of the workspace", member.name);
            findings.push(Finding::new(&path, 1, what, "add `[lints]` with `workspace = true`"));
        }
        for (name, request) in dependencies(&manifest) {
            if request.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                let what = format!("`{name}` has its version here");
                let right = "versions stand in [workspace.dependencies], features here";
                findings.push(Finding::new(&path, line_of(tree, &path, name), what, right));
            }
        }
    }
    findings.extend(unused(tree, workspace));
    findings
}

/// Finds versions of the workspace that no member asks for.
fn unused(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(root) = read(tree, "Cargo.toml", &mut findings) else { return findings };
    let mut used = BTreeSet::new();
    for member in &workspace.members {
        // A manifest that cannot be read has been reported by the caller.
        let path = format!("{}/Cargo.toml", member.folder);
        let manifest = tree.text(&path).and_then(|text| text.parse::<toml::Table>().ok());
        let manifest = manifest.unwrap_or_default();
        used.extend(dependencies(&manifest).map(|(name, _)| name.clone()));
    }
    let declared = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    for name in declared.and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys) {
        if !used.contains(name) {
            let what = format!("no member uses `{name}`");
            let line = line_of(tree, "Cargo.toml", name);
            findings.push(Finding::new("Cargo.toml", line, what, "delete the line"));
        }
    }
    findings
}

fn read(tree: &Tree, path: &str, findings: &mut Vec<Finding>) -> Option<toml::Table> {
    let Some(text) = tree.text(path) else {
        findings.push(Finding::new(path, 1, "git does not know this manifest", "add it"));
        return None;
    };
    match text.parse() {
        Ok(table) => Some(table),
        Err(error) => {
            let error: toml::de::Error = error;
            findings.push(Finding::new(path, 1, error.message(), "write valid TOML"));
            None
        }
    }
}

/// Every entry of the three kinds of dependency tables, also of those for one platform.
fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = (&String, &toml::Value)> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let platforms = platforms.into_iter().flat_map(toml::Table::values);
    let holders = platforms.filter_map(toml::Value::as_table).chain([manifest]);
    holders
        .flat_map(move |holder| kinds.into_iter().filter_map(|kind| holder.get(kind)?.as_table()))
        .flatten()
}

/// The first line that begins with `key`.
fn line_of(tree: &Tree, path: &str, key: &str) -> usize {
    let text = tree.text(path).unwrap_or_default();
    let at = text.lines().position(|line| {
        let rest = line.strip_prefix(key).unwrap_or_default();
        rest.starts_with(['.', ' ', '='])
    });
    at.map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_manifests(root: &str, member: &str, want: &[&str]) {
        let tree = Tree::of(&[("Cargo.toml", root), ("crates/bus/Cargo.toml", member)]);
        let found = check(&tree, &Workspace::of(&[("crates/bus", "")]));
        let found: Vec<_> =
            found.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn good_manifests_pass() {
        check_manifests(
            "[workspace.dependencies]\nserde = \"1\"\n",
            "[lints]\nworkspace = true\n[dev-dependencies]\nserde.workspace = true\n",
            &[],
        );
        check_manifests(
            "[workspace.dependencies]\nloom = \"1\"\n",
            "[lints]\nworkspace = true\n[target.'cfg(loom)'.dependencies]\nloom.workspace = true\n",
            &[],
        );
    }

    #[test]
    fn each_rule_is_found() {
        check_manifests(
            "[workspace.dependencies]\nserde = \"1\"\ntoml = \"1\"\n",
            "[dependencies]\nserde = \"1\"\n",
            &[
                "crates/bus/Cargo.toml:1: `tidemill-bus` does not use the lints of the workspace",
                "crates/bus/Cargo.toml:2: `serde` has its version here",
                "Cargo.toml:3: no member uses `toml`",
            ],
        );
    }
}
