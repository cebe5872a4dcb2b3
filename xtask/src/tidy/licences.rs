//! Holds licence, source and version of every dependency against `deny.toml`.
//!
//! The file is cargo-deny's, so that tool can read it too; what stands in it is checked here
//! without needing it. A licence expression is SPDX: `OR` needs one allowed side, `AND` both, a
//! term with an exception (`WITH`) must be allowed as a whole, `/` is the old way to write `OR`.

use super::Finding;
use super::tree::Tree;
use crate::cargo::{External, Workspace};

/// Checks every package from outside.
pub(crate) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let policy = match tree.text(POLICY).map(str::parse::<toml::Table>) {
        Some(Ok(policy)) => policy,
        Some(Err(error)) => {
            return vec![Finding::new(POLICY, 1, error.message(), "write valid TOML")];
        }
        None => {
            let right = "write it: [licenses] allow, [sources] allow-registry";
            return vec![Finding::new(POLICY, 1, "the policy is missing", right)];
        }
    };
    let licences = strings(&policy, "licenses", "allow");
    let registries = strings(&policy, "sources", "allow-registry");
    let mut findings = Vec::new();
    for package in &workspace.externals {
        findings.extend(check_licence(package, &licences));
        let registry = package.source.trim_start_matches("registry+");
        if !registries.iter().any(|allowed| allowed == registry) {
            let what = format!("`{}` comes from {}", package.name, package.source);
            findings.push(Finding::new(LOCK, 1, what, "take it from crates.io"));
        }
    }
    for member in &workspace.members {
        for dependency in &member.dependencies {
            if dependency.requirement == "*" && !dependency.local {
                let what = format!("`{}` is asked for in any version", dependency.name);
                let path = format!("{}/Cargo.toml", member.folder);
                findings.push(Finding::new(
                    path,
                    1,
                    what,
                    "name the version that is known to work",
                ));
            }
        }
    }
    findings
}

fn check_licence(package: &External, allowed: &[String]) -> Option<Finding> {
    let External { name, version, licence, .. } = package;
    let what = match licence {
        None => format!("`{name}` {version} names no licence"),
        Some(licence) if is_allowed(licence, allowed) => return None,
        Some(licence) => format!("`{name}` {version} is under `{licence}`"),
    };
    Some(Finding::new(LOCK, 1, what, "use another crate, or allow the licence in deny.toml"))
}

/// Returns true when some reading of the SPDX expression needs allowed licences only.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<_> = spaced.split_whitespace().collect();
    let mut expression = Expression { tokens: &tokens, allowed };
    expression.any_of() == Some(true) && expression.tokens.is_empty()
}

/// What is left to read of an SPDX expression; `None` where it is malformed.
struct Expression<'a> {
    tokens: &'a [&'a str],
    allowed: &'a [String],
}

impl<'a> Expression<'a> {
    fn any_of(&mut self) -> Option<bool> {
        let mut good = self.all_of()?;
        while self.accept("OR") {
            good |= self.all_of()?;
        }
        Some(good)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut good = self.term()?;
        while self.accept("AND") {
            good &= self.term()?;
        }
        Some(good)
    }

    fn term(&mut self) -> Option<bool> {
        if self.accept("(") {
            let good = self.any_of()?;
            return self.accept(")").then_some(good);
        }
        let mut licence = self.next()?.to_owned();
        if self.accept("WITH") {
            licence = format!("{licence} WITH {}", self.next()?);
        }
        Some(self.allowed.contains(&licence))
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn accept(&mut self, token: &str) -> bool {
        let found = self.tokens.first() == Some(&token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }
}

fn strings(policy: &toml::Table, table: &str, key: &str) -> Vec<String> {
    let list = policy.get(table).and_then(|table| table.get(key)).and_then(toml::Value::as_array);
    let values = list.into_iter().flatten();
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

const POLICY: &str = "deny.toml";
const LOCK: &str = "Cargo.lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_expression(expression: &str, want: bool) {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        let allowed = allowed.map(str::to_owned);
        assert_eq!(is_allowed(expression, &allowed), want, "{expression}");
    }

    #[test]
    fn expressions_are_read_as_spdx_does() {
        check_expression("MIT", true);
        check_expression("GPL-3.0", false);
        check_expression("GPL-3.0 OR MIT", true);
        check_expression("GPL-3.0/MIT", true);
        check_expression("GPL-3.0 AND MIT", false);
        check_expression("(MIT OR GPL-3.0) AND Unicode-3.0", true);
        check_expression("MIT OR GPL-3.0 AND EUPL-1.2", true);
        check_expression("(GPL-3.0 OR MIT) AND EUPL-1.2", false);
        check_expression("Apache-2.0 WITH LLVM-exception", true);
        check_expression("MIT WITH LLVM-exception", false);
        check_expression("(MIT", false);
        check_expression("MIT MIT", false);
        check_expression("", false);
    }

    #[test]
    fn sources_and_licences_are_found() {
        let policy = "[licenses]\nallow = [\"MIT\"]\n[sources]\nallow-registry = [\"https://r\"]\n";
        let external = |name: &str, licence: Option<&str>, source: &str| External {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.map(str::to_owned),
            source: source.to_owned(),
        };
        let workspace = Workspace {
            externals: vec![
                external("good", Some("MIT"), "registry+https://r"),
                external("bare", None, "registry+https://r"),
                external("copyleft", Some("GPL-3.0"), "registry+https://r"),
                external("fork", Some("MIT"), "git+https://elsewhere/fork"),
            ],
            ..Workspace::default()
        };
        let found = check(&Tree::of(&[(POLICY, policy)]), &workspace);
        let found: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        let want = [
            "`bare` 1.0.0 names no licence",
            "`copyleft` 1.0.0 is under `GPL-3.0`",
            "`fork` comes from git+https://elsewhere/fork",
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn without_a_policy_nothing_is_allowed_silently() {
        assert_eq!(check(&Tree::of(&[]), &Workspace::default()).len(), 1);
    }
}
