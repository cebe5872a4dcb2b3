//! The report as one page: the text, and the flame graphs before and after.

use super::Report;

/// Renders the page. Nothing in it is loaded from elsewhere.
pub(super) fn render(report: &Report) -> String {
    let (before, after) = &report.flame_graphs;
    let mut graphs = String::new();
    for (title, graph) in [("Before", before), ("After", after)] {
        if !graph.is_empty() {
            // A frame of its own, so that the two graphs' scripts and names do not meet.
            let source = escape(graph);
            graphs.push_str(&format!(
                "<h2>{title}</h2>\n<iframe title=\"flame graph {title}\" sandbox=\"allow-scripts\" \
                 srcdoc=\"{source}\"></iframe>\n"
            ));
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>tune: {title}</title>\n<style>{STYLE}</style>\n\
         <h1>{title}</h1>\n{graphs}<pre>{text}</pre>\n</html>\n",
        title = escape(&report.baseline.workload),
        text = escape(&report.markdown()),
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const STYLE: &str = "
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
pre { overflow-x: auto; font-size: 0.9rem; line-height: 1.4; }
iframe { width: 100%; height: 32rem; border: 1px solid; background: white; }
";
