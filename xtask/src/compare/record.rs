//! Keeps a run: `bench/runs/DATE-AREA/` and the area's section of `docs/benchmarks.md`.
//!
//! A second run on one day replaces the first. The page's section stands between two comments, and
//! nothing outside of them is touched.

use std::fs;
use std::path::Path;

use super::machine;
use super::report::Report;
use crate::clock;
use crate::error::{Context, Error, Result};

/// Writes raw values, tables, command and machine.
///
/// # Errors
///
/// Fails when a file cannot be written or the page has no place for this area.
pub(crate) fn keep(root: &Path, area: &str, report: &Report) -> Result<()> {
    let page_path = root.join(PAGE);
    let page = fs::read_to_string(&page_path).context(|| format!("cannot read {PAGE}"))?;
    let run = format!("{}-{area}", clock::today());
    let machine = machine::describe(root);
    let section = format!(
        "Run of {run} ([raw values, command, machine](../bench/runs/{run})).\n\n{}",
        report.tables()
    );
    let page = replace_section(&page, area, &section)?;

    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let raw = serde_json::to_string_pretty(&report.raw()).expect("plain values");
    let mut summary = format!("# {run}\n\n{}## Machine\n\n", report.tables());
    machine.lines().for_each(|line| summary.push_str(&format!("- {line}\n")));
    let folder = root.join("bench/runs").join(&run);
    fs::create_dir_all(&folder).context(|| format!("cannot create bench/runs/{run}"))?;
    for (name, text) in [
        ("raw.json", raw + "\n"),
        ("summary.md", summary),
        ("command", format!("cargo xtask {}\n", arguments.join(" "))),
        ("machine", machine),
    ] {
        let path = folder.join(name);
        fs::write(path, text).context(|| format!("cannot write bench/runs/{run}/{name}"))?;
    }
    fs::write(page_path, page).context(|| format!("cannot write {PAGE}"))?;
    println!("kept in bench/runs/{run} and {PAGE}");
    Ok(())
}

/// Returns `page` with `section` between the area's two comments.
fn replace_section(page: &str, area: &str, section: &str) -> Result<String> {
    let begin = format!("<!-- {area}: begin, written by cargo xtask compare {area} --record -->");
    let end = format!("<!-- {area}: end -->");
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts
        .ok_or_else(|| Error::outside(format!("{PAGE} needs the lines `{begin}` and `{end}`")))?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", section.trim()))
}

const PAGE: &str = "docs/benchmarks.md";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_changes() {
        let begin = "<!-- proxy: begin, written by cargo xtask compare proxy --record -->";
        let page = format!("# Head\n{begin}\nold\n<!-- proxy: end -->\ntail\n");
        let once = replace_section(&page, "proxy", "new\n").expect("both comments are there");
        assert_eq!(once, format!("# Head\n{begin}\n\nnew\n\n<!-- proxy: end -->\ntail\n"));
        assert_eq!(replace_section(&once, "proxy", "new\n").expect("again"), once);
    }

    #[test]
    fn a_page_without_the_place_is_an_error() {
        assert!(replace_section("# Head\n", "proxy", "new").is_err());
    }
}
