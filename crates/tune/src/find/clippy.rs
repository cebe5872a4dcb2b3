//! Clippy's performance lints, from whichever group they are in, with their machine fixes.
//!
//! Each lint is asked for by name: the group `perf` leaves out most of what costs time, and
//! `clippy --fix` would apply everything at once. A fix that clippy calls machine-applicable is a
//! candidate like any other; being applicable does not make it faster.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustfix::diagnostics::Diagnostic;
use rustfix::{Filter, collect_suggestions};
use serde::Deserialize;

use super::edit::{Edit, Fix};
use super::{Finding, Sources};
use crate::error::Error;
use crate::progress::Stop;
use crate::project::Copy;

/// Runs clippy on the copy and returns what its performance lints say of the project's own code.
///
/// # Errors
///
/// Clippy is not installed, the project does not compile, or the session was stopped.
pub fn clippy(copy: &Copy, sources: &Sources, stop: &Stop) -> Result<Vec<Finding>, Error> {
    let text = copy.clippy(&LINTS, stop)?;
    let mut findings: Vec<Finding> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| message.message)
        .filter_map(|diagnostic| finding(&diagnostic, copy.root(), sources))
        .collect();
    // A file that two targets share is reported twice.
    findings.sort_by(|a, b| (&a.file, a.line, &a.rule).cmp(&(&b.file, b.line, &b.rule)));
    findings.dedup();
    Ok(findings)
}

fn finding(diagnostic: &Diagnostic, root: &Path, sources: &Sources) -> Option<Finding> {
    let rule = &diagnostic.code.as_ref()?.code;
    LINTS.iter().find(|lint| rule.strip_prefix("clippy::") == Some(**lint))?;
    let span = diagnostic.spans.iter().find(|span| span.is_primary)?;
    let file = relative(&span.file_name, root);
    // Code from a macro of somebody else is not ours to change.
    sources.text(&file)?;
    let line = u32::try_from(span.line_start).ok()?;
    let mut finding = Finding::new(rule.as_str(), file.as_path(), line, &*diagnostic.message);
    finding.function = sources.function_at(&file, line).map(|function| function.name.clone());
    finding.fix = fix(diagnostic, root);
    Some(finding)
}

/// Returns the first solution that clippy calls machine-applicable.
fn fix(diagnostic: &Diagnostic, root: &Path) -> Option<Fix> {
    let only = HashSet::<String>::new();
    let suggestion = collect_suggestions(diagnostic, &only, Filter::MachineApplicableOnly)?;
    let solution = suggestion.solutions.into_iter().next()?;
    let edits = solution
        .replacements
        .into_iter()
        .map(|replacement| Edit {
            file: relative(&replacement.snippet.file_name, root),
            range: replacement.snippet.range,
            text: replacement.replacement,
        })
        .collect();
    Some(Fix::new(solution.message, edits))
}

fn relative(file: &str, root: &Path) -> PathBuf {
    let file = Path::new(file);
    file.strip_prefix(root).unwrap_or(file).to_owned()
}

#[derive(Debug, Deserialize)]
struct Message {
    message: Option<Diagnostic>,
}

/// Lints that name something which costs time or allocations.
const LINTS: [&str; 46] = [
    "assigning_clones",
    "box_collection",
    "boxed_local",
    "cmp_owned",
    "collapsible_str_replace",
    "drain_collect",
    "expect_fun_call",
    "extend_with_drain",
    "format_collect",
    "format_in_format_args",
    "format_push_string",
    "implicit_clone",
    "inefficient_to_string",
    "iter_overeager_cloned",
    "iter_with_drain",
    "large_const_arrays",
    "large_enum_variant",
    "large_futures",
    "manual_contains",
    "manual_memcpy",
    "manual_retain",
    "manual_str_repeat",
    "map_entry",
    "mutex_atomic",
    "naive_bytecount",
    "needless_collect",
    "needless_pass_by_value",
    "or_fun_call",
    "path_buf_push_overwrite",
    "readonly_write_lock",
    "redundant_allocation",
    "redundant_clone",
    "regex_creation_in_loops",
    "same_item_push",
    "set_contains_or_insert",
    "significant_drop_tightening",
    "single_char_pattern",
    "slow_vector_initialization",
    "stable_sort_primitive",
    "string_add_assign",
    "to_string_in_format_args",
    "trivial_regex",
    "unbuffered_bytes",
    "unnecessary_to_owned",
    "useless_vec",
    "vec_init_then_push",
];
