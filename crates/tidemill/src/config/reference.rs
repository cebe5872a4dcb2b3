//! Renders the table of keys for people: the reference page and the sample file.

use std::fmt::Write as _;

use super::definition::{Key, Kind, Presence, Section};
use super::jobs::{CLUSTER, JOBS};
use super::node::NODE;
use super::proxy::PROXY;
use super::workstream::WORKSTREAM;

/// One key as documentation and tests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place in the file: `proxy.health.interval`; `[]` stands for each element of an array.
    pub path: String,
    /// What its value may be.
    pub kind: String,
    /// The default as TOML, `required`, or what holds without it.
    pub default: String,
    /// What it does.
    pub doc: String,
}

/// Returns every key of the configuration file.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    push_rows(NODE.name, NODE.keys, &mut rows);
    push_rows(JOBS.name, JOBS.keys, &mut rows);
    push_rows(CLUSTER.name, CLUSTER.keys, &mut rows);
    push_rows(PROXY.name, PROXY.keys, &mut rows);
    push_rows(WORKSTREAM.name, WORKSTREAM.keys, &mut rows);
    rows
}

/// Renders the reference page in Markdown.
pub fn reference() -> String {
    let mut page = PREFACE.to_owned();
    page.push_str(&section_page(&NODE));
    page.push_str(&section_page(&JOBS));
    page.push_str(&section_page(&CLUSTER));
    page.push_str(&section_page(&PROXY));
    page.push_str(&section_page(&WORKSTREAM));
    write!(page, "\n## A file with everything\n\n```toml\n{}```\n", sample())
        .expect("writing to a string cannot fail");
    page
}

/// Renders a file that holds every key: the required ones with an example, the others behind a
/// `#` with their default.
pub fn sample() -> String {
    let mut file = SAMPLE_PREFACE.to_owned();
    sample_section(&NODE, &mut file);
    sample_section(&JOBS, &mut file);
    file.push('\n');
    sample_section(&CLUSTER, &mut file);
    file.push('\n');
    sample_section(&PROXY, &mut file);
    sample_section(&WORKSTREAM, &mut file);
    file
}

fn push_rows<T>(prefix: &str, keys: &'static [Key<T>], rows: &mut Vec<Row>) {
    for key in keys {
        let path = format!("{prefix}.{}", key.name);
        rows.push(Row {
            path: path.clone(),
            kind: key.kind.expects(),
            default: match key.presence {
                Presence::Required => "required".to_owned(),
                Presence::Default(toml) => format!("`{toml}`"),
                Presence::Absent(words) => words.to_owned(),
            },
            doc: key.documentation(),
        });
        match &key.kind {
            Kind::Table(keys) => push_rows(&path, keys, rows),
            Kind::Backends { keys, .. } => push_rows(&format!("{path}[]"), keys, rows),
            _ => {}
        }
    }
}

impl<T> Key<T> {
    /// Returns the key's sentence, and what each of its choices means.
    fn documentation(&self) -> String {
        let mut doc = self.doc.to_owned();
        if let Kind::Choice(choices) = &self.kind {
            for (index, choice) in choices.iter().enumerate() {
                let lead = if index == 0 { " " } else { "; " };
                write!(doc, "{lead}`\"{}\"`: {}", choice.name, choice.doc)
                    .expect("writing to a string cannot fail");
            }
            doc.push('.');
        }
        doc
    }
}

fn section_page<T>(section: &'static Section<T>) -> String {
    let mut rows = Vec::new();
    push_rows(section.name, section.keys, &mut rows);
    let mut page = format!("\n## `{}`\n\n{}\n\n", section.called(), section.doc);
    page.push_str("| key | value | default | what it does |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let path = row.path.trim_start_matches(section.name).trim_start_matches('.');
        writeln!(page, "| `{path}` | {} | {} | {} |", row.kind, row.default, row.doc)
            .expect("writing to a string cannot fail");
    }
    page
}

fn sample_section<T>(section: &'static Section<T>, file: &mut String) {
    comment(section.doc, file);
    writeln!(file, "{}", section.called()).expect("writing to a string cannot fail");
    sample_keys(section.keys, file);
    for key in section.keys {
        if let Kind::Table(keys) = &key.kind {
            file.push('\n');
            comment(key.doc, file);
            writeln!(file, "# [{}.{}]", section.name, key.name)
                .expect("writing to a string cannot fail");
            sample_keys(keys, file);
        }
    }
}

fn sample_keys<T>(keys: &'static [Key<T>], file: &mut String) {
    for key in keys.iter().filter(|key| !matches!(key.kind, Kind::Table(_))) {
        file.push('\n');
        comment(&key.documentation(), file);
        let name = key.name;
        match key.presence {
            Presence::Required => writeln!(file, "{name} = {}", key.example),
            Presence::Default(toml) => writeln!(file, "# {name} = {toml}"),
            Presence::Absent(words) => {
                writeln!(file, "# {name} = {} # absent: {words}", key.example)
            }
        }
        .expect("writing to a string cannot fail");
    }
}

/// Writes text as comment lines of at most 100 columns.
fn comment(text: &str, file: &mut String) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            file.push_str(&line);
            file.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    file.push_str(&line);
    file.push('\n');
}

const PREFACE: &str = "\
# Configuration

<!-- Generated from the table of keys; `UPDATE_SNAPSHOTS=1 cargo test -p tidemill` writes it anew. -->

Tidemill reads `tidemill.toml` in the folder it is started in, or the file named with `--config`.
Every key has a default unless it is marked as required.
An unknown key is an error, and `tidemill check` tells every error of a file at once, each as \
`file:line:column: what is wrong; what would be right`.
Durations are written with a unit, `\"250ms\"`, `\"5s\"` or `\"1h30m\"`.

While `tidemill up` runs, a change of the file (or SIGHUP) is applied to the running process; a \
file with an error is reported and changes nothing.
`tidemill check --schema` prints a JSON schema for editors, `tidemill check --sample` the file at \
the end of this page.
";

const SAMPLE_PREFACE: &str = "\
# tidemill.toml with every key. What stands behind a # is the default.

";
