//! What Cargo knows about this workspace, asked once and turned into plain values.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::{Context, Error, Result};

/// Members, what they depend on, and every package from outside.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Where Cargo puts what it builds.
    pub(crate) target_dir: PathBuf,
    /// Our own packages, in the order Cargo lists them.
    pub(crate) members: Vec<Member>,
    /// Packages that this machine's platform needs and that are not ours.
    pub(crate) externals: Vec<External>,
}

/// One package of ours.
#[derive(Debug)]
pub(crate) struct Member {
    /// The package's name, `tidemill-proxy`.
    pub(crate) name: String,
    /// Its folder below the root, `crates/proxy`.
    pub(crate) folder: String,
    /// What its manifest asks for.
    pub(crate) dependencies: Vec<Dependency>,
    /// Names of its integration test targets.
    pub(crate) tests: Vec<String>,
}

/// One line of a `[dependencies]` table.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package asked for.
    pub(crate) name: String,
    /// True in `[dev-dependencies]`.
    pub(crate) dev: bool,
    /// The version requirement; `*` for none.
    pub(crate) requirement: String,
    /// True when it is a folder of this workspace.
    pub(crate) local: bool,
}

/// One package of somebody else.
#[derive(Debug)]
pub(crate) struct External {
    /// The package's name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its SPDX licence expression.
    pub(crate) licence: Option<String>,
    /// Where Cargo takes it from.
    pub(crate) source: String,
}

impl Workspace {
    /// Asks Cargo about the workspace at `root`, for the platform of this machine.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let host = host_platform()?;
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--filter-platform", &host])
            .current_dir(root)
            .output()
            .context(|| "cannot run cargo".to_owned())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::outside(format!("cargo metadata: {}", said.trim())));
        }
        let value: Value = serde_json::from_slice(&output.stdout)
            .context(|| "cannot read what cargo metadata printed".to_owned())?;
        Self::from_metadata(&value)
    }

    /// Takes what is needed from the metadata's JSON, format version 1.
    fn from_metadata(value: &Value) -> Result<Self> {
        let root = text(value, "workspace_root")?;
        let mut workspace =
            Self { target_dir: text(value, "target_directory")?.into(), ..Self::default() };
        for package in list(value, "packages")? {
            match package["source"].as_str() {
                Some(source) => workspace.externals.push(External {
                    name: text(package, "name")?.to_owned(),
                    version: text(package, "version")?.to_owned(),
                    licence: package["license"].as_str().map(str::to_owned),
                    source: source.to_owned(),
                }),
                None => workspace.members.push(Member::from_metadata(package, root)?),
            }
        }
        Ok(workspace)
    }

    /// Returns the member with this package name.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Member {
    fn from_metadata(package: &Value, root: &str) -> Result<Self> {
        let manifest = text(package, "manifest_path")?;
        let folder = manifest
            .strip_prefix(root)
            .and_then(|path| path.strip_suffix("Cargo.toml"))
            .map(|path| path.trim_matches('/').to_owned())
            .ok_or_else(|| Error::outside(format!("{manifest} is outside the workspace")))?;
        let mut dependencies = Vec::new();
        for dependency in list(package, "dependencies")? {
            dependencies.push(Dependency {
                name: text(dependency, "name")?.to_owned(),
                dev: dependency["kind"].as_str() == Some("dev"),
                requirement: text(dependency, "req")?.to_owned(),
                local: dependency["path"].is_string(),
            });
        }
        let mut tests = Vec::new();
        for target in list(package, "targets")? {
            if list(target, "kind")?.iter().any(|kind| kind == "test") {
                tests.push(text(target, "name")?.to_owned());
            }
        }
        Ok(Self { name: text(package, "name")?.to_owned(), folder, dependencies, tests })
    }

    /// Returns the name the documents use: the folder's own, `proxy` for `crates/proxy`.
    pub(crate) fn short_name(&self) -> &str {
        self.folder.rsplit('/').next().unwrap_or(&self.folder)
    }

    /// Returns true for a member below `crates`, which the architecture page describes.
    pub(crate) fn is_crate(&self) -> bool {
        self.folder.starts_with("crates/")
    }
}

#[cfg(test)]
impl Workspace {
    /// Builds crates from `name: dependency dependency`, all of them normal ones.
    pub(crate) fn of(crates: &[(&str, &str)]) -> Self {
        let members = crates.iter().map(|(folder, dependencies)| Member {
            name: format!("tidemill-{}", folder.rsplit('/').next().expect("rsplit yields one")),
            folder: (*folder).to_owned(),
            dependencies: dependencies
                .split_whitespace()
                .map(|name| Dependency {
                    name: format!("tidemill-{}", name.trim_start_matches("dev:")),
                    dev: name.starts_with("dev:"),
                    requirement: "*".to_owned(),
                    local: true,
                })
                .collect(),
            tests: Vec::new(),
        });
        Self { members: members.collect(), ..Self::default() }
    }
}

fn host_platform() -> Result<String> {
    let output =
        Command::new("rustc").arg("-vV").output().context(|| "cannot run rustc".to_owned())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Error::outside("rustc -vV names no host"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().ok_or_else(|| Error::outside(format!("cargo metadata has no {key}")))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key].as_array().ok_or_else(|| Error::outside(format!("cargo metadata has no {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_members_and_externals() {
        let metadata = serde_json::json!({
            "workspace_root": "/w", "target_directory": "/w/target", "packages": [
                {"name": "tidemill-proxy", "version": "0.1.0", "source": null,
                 "manifest_path": "/w/crates/proxy/Cargo.toml",
                 "targets": [{"kind": ["lib"], "name": "tidemill_proxy"},
                             {"kind": ["test"], "name": "real_redis"}],
                 "dependencies": [
                    {"name": "testkit", "kind": "dev", "req": "*", "path": "/w/testkit"},
                    {"name": "serde", "kind": null, "req": "^1"}]},
                {"name": "serde", "version": "1.0.1", "license": "MIT OR Apache-2.0",
                 "source": "registry+https://github.com/rust-lang/crates.io-index",
                 "manifest_path": "/elsewhere/Cargo.toml", "targets": [], "dependencies": []},
            ],
        });
        let workspace = Workspace::from_metadata(&metadata).expect("well formed");
        let proxy = workspace.member("tidemill-proxy").expect("listed");
        assert_eq!((proxy.folder.as_str(), proxy.short_name()), ("crates/proxy", "proxy"));
        assert!(proxy.is_crate());
        assert_eq!(proxy.tests, ["real_redis"]);
        let kinds: Vec<_> = proxy.dependencies.iter().map(|d| (d.dev, d.local)).collect();
        assert_eq!(kinds, [(true, true), (false, false)]);
        assert_eq!(workspace.externals[0].licence.as_deref(), Some("MIT OR Apache-2.0"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Workspace::from_metadata(&serde_json::json!({"workspace_root": "/w"}));
        assert!(error.expect_err("no packages").to_string().contains("target_directory"));
    }
}
