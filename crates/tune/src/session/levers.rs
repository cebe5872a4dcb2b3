//! Other ways to build the same sources, judged like any change.

use std::collections::BTreeMap;

use super::Session;
use crate::attempt::{Candidate, Change};
use crate::error::Error;
use crate::find::unified;
use crate::progress::Observer;
use crate::project::Profile;

impl Session {
    /// Tries each lever that the project's release profile has not pulled already.
    pub(super) fn try_levers(&mut self, observer: Observer<'_>) -> Result<(), Error> {
        let manifest = self.project.root.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .map_err(|error| Error::file("read", &manifest, error))?;
        for (name, settings) in LEVERS {
            let settings: BTreeMap<String, String> = settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            let is_set = |key: &String, value: &String| {
                self.context.release_profile.contains(&format!("{key} = {value}"))
            };
            if settings.iter().all(|(key, value)| is_set(key, value)) {
                continue;
            }
            let after = with_settings(&text, &settings);
            let patch = unified("Cargo.toml".as_ref(), &text, &after);
            let what = format!("build with {name}");
            let profile = Profile { settings, ..Profile::default() };
            let id = format!("build::{name}");
            let candidate = Candidate::new(&id, None, Change::Build(profile));
            let trial = self.judge(&candidate, &what, Some(patch), observer)?;
            if trial.verdict == crate::judge::Verdict::Keep {
                self.kept.insert(id, BTreeMap::from([("Cargo.toml".into(), after)]));
            }
            self.record(trial);
        }
        Ok(())
    }
}

/// Returns a manifest with keys of `[profile.release]` set, everything else as it was.
fn with_settings(manifest: &str, settings: &BTreeMap<String, String>) -> String {
    let mut lines: Vec<String> = manifest.lines().map(str::to_owned).collect();
    let head = lines.iter().position(|line| line.trim() == "[profile.release]");
    let first = match head {
        Some(head) => head + 1,
        None => {
            lines.extend([String::new(), "[profile.release]".to_owned()]);
            lines.len()
        }
    };
    let length = lines[first..].iter().take_while(|line| !line.trim().starts_with('[')).count();
    let mut section = lines.split_off(first);
    let rest = section.split_off(length);
    section.retain(|line| {
        line.split_once('=').is_none_or(|(key, _)| !settings.contains_key(key.trim()))
    });
    lines.extend(settings.iter().map(|(key, value)| format!("{key} = {value}")));
    lines.extend(section);
    lines.extend(rest);
    lines.join("\n") + "\n"
}

/// Names and settings, values as TOML.
const LEVERS: [(&str, &[(&str, &str)]); 3] = [
    ("opt-level=3", &[("opt-level", "3")]),
    ("codegen-units=1", &[("codegen-units", "1")]),
    ("lto=fat,codegen-units=1", &[("codegen-units", "1"), ("lto", "\"fat\"")]),
];

/// What needs a decision that no measurement can make.
pub(super) const PROPOSALS: [&str; 3] = [
    "panic = \"abort\" in [profile.release]: smaller code, but a panic ends the process",
    "-C target-cpu=native: faster here, does not start on older processors",
    "another allocator as #[global_allocator]: a new dependency",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &str, want: &str) {
        let settings = BTreeMap::from([("lto".to_owned(), "\"fat\"".to_owned())]);
        assert_eq!(with_settings(manifest, &settings), want);
    }

    #[test]
    fn settings_join_the_section_that_is_there() {
        check(
            "[package]\n\n[profile.release]\nlto = false # slow\nopt-level = 3\n\n[x]\ny = 1\n",
            "[package]\n\n[profile.release]\nlto = \"fat\"\nopt-level = 3\n\n[x]\ny = 1\n",
        );
    }

    #[test]
    fn a_section_that_is_missing_is_added() {
        check("[package]\n", "[package]\n\n[profile.release]\nlto = \"fat\"\n");
    }
}
