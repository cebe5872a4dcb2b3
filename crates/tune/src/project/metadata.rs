//! What `cargo metadata` tells of a project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::error::Error;
use crate::workload::Target;

/// A Cargo workspace, or a package on its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Project {
    /// The folder of the workspace's manifest.
    pub root: PathBuf,
    /// Where Cargo builds it.
    pub target_folder: PathBuf,
    /// The packages of the workspace, by name.
    pub packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its manifest.
    pub manifest_path: PathBuf,
    /// What it builds.
    pub targets: Vec<ProjectTarget>,
    /// Its features, and what each turns on.
    pub features: BTreeMap<String, Vec<String>>,
    /// Its dependencies, of all kinds.
    pub dependencies: Vec<Dependency>,
}

/// One thing that a package builds.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ProjectTarget {
    /// Its name.
    pub name: String,
    /// What it is; a library may be of several kinds.
    pub kind: Vec<Kind>,
    /// Its first source file.
    pub src_path: PathBuf,
}

/// What a target is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A program.
    Bin,
    /// An example program or library.
    Example,
    /// A benchmark.
    Bench,
    /// An integration test.
    Test,
    /// A build script.
    CustomBuild,
    /// A procedural macro.
    ProcMacro,
    /// A library of any form.
    #[serde(other)]
    Lib,
}

/// What a package depends on.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Dependency {
    /// The name of the package.
    pub name: String,
    /// Where it lies, for a path dependency.
    pub path: Option<PathBuf>,
}

impl Project {
    /// Reads the project whose manifest lies in `folder`.
    ///
    /// # Errors
    ///
    /// Cargo cannot be run or refuses the manifest, or a path dependency lies outside of the
    /// workspace, where a copy would not find it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(Error::request(format!(
                "{} has no Cargo.toml; name the folder of a Cargo project",
                folder.display()
            )));
        }
        let output = Command::new("cargo")
            .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"])
            .arg(&manifest)
            .output()
            .map_err(|error| Error::machine("cannot run cargo").because(error))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Error::project(format!("cargo refuses the project: {}", words.trim())));
        }
        let raw: RawMetadata = serde_json::from_slice(&output.stdout)
            .map_err(|error| Error::machine("cannot read cargo metadata").because(error))?;
        let mut packages = raw.packages;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        let project =
            Self { root: raw.workspace_root, target_folder: raw.target_directory, packages };
        project.check_paths()?;
        Ok(project)
    }

    /// Returns every target that can be run as a workload, with its package.
    pub fn runnable(&self) -> impl Iterator<Item = (&Package, Target)> {
        self.packages.iter().flat_map(|package| {
            package.targets.iter().filter_map(move |target| {
                let name = target.name.clone();
                let target = match target.kind.first()? {
                    Kind::Bin => Target::Bin(name),
                    Kind::Example => Target::Example(name),
                    Kind::Bench => Target::Bench(name),
                    _ => return None,
                };
                Some((package, target))
            })
        })
    }

    /// Returns the package that builds `target`.
    ///
    /// # Errors
    ///
    /// None does, or several do; the message lists what there is.
    pub fn package_of(&self, target: &Target) -> Result<&Package, Error> {
        let mut found = self.runnable().filter(|(_, other)| other == target);
        let (flag, name) = target.flag();
        match (found.next(), found.next()) {
            (Some((package, _)), None) => Ok(package),
            (Some(_), Some(_)) => Err(Error::request(format!(
                "several packages have {flag} {name}; run tune in the folder of one of them"
            ))),
            (None, _) => {
                let known: Vec<String> =
                    self.runnable().map(|(_, target)| target.flag().1.to_owned()).collect();
                Err(Error::request(format!(
                    "the project has no {flag} {name}; it has: {}",
                    if known.is_empty() {
                        "nothing that runs".to_owned()
                    } else {
                        known.join(", ")
                    }
                )))
            }
        }
    }

    fn check_paths(&self) -> Result<(), Error> {
        let outside = self.packages.iter().find_map(|package| {
            let path = package.dependencies.iter().find_map(|dependency| {
                dependency.path.as_ref().filter(|path| !path.starts_with(&self.root))
            })?;
            Some((package, path))
        });
        match outside {
            None => Ok(()),
            Some((package, path)) => Err(Error::request(format!(
                "{} depends on {}, outside of {}; tune works in a copy that would not find it: run \
                 it on a workspace that holds both",
                package.name,
                path.display(),
                self.root.display()
            ))),
        }
    }
}

#[derive(Debug, Deserialize)]
struct RawMetadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}
