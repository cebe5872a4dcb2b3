//! `compare scheduler`: what runs jobs, beside what its users would take otherwise.
//!
//! Each group of cases is a benchmark of the crate, built as it ships and run in a process of its
//! own that prints `name value` lines; a name that comes again is the next round's.

mod durable;
mod in_process;

use std::path::Path;

use super::Options;
use super::report::Report;
use crate::cargo::Workspace;
use crate::error::Result;

/// Measures all that `options` ask for.
///
/// # Errors
///
/// Fails when a benchmark does not build or an interrupt comes; a case that fails is in the report.
pub(crate) fn measure(root: &Path, _: &Workspace, options: &Options) -> Result<Report> {
    let all = [&in_process::GROUPS[..], &["durable"]].concat();
    let groups = Options::choose(&options.groups, &all)?;
    let mut report = Report::new("tidemill");
    in_process::measure(root, options, &groups, &mut report)?;
    if groups.contains(&"durable") {
        durable::measure(root, options, &mut report)?;
    }
    Ok(report)
}
