//! Reads a file's text by the table of keys, finding everything that is wrong with it at once.
//!
//! ```text
//! text -> toml with spans -> rows of the table put each value into a draft, or note a misfit
//!      -> names are resolved -> the engine's own check -> settings, or problems in file order
//! ```
//!
//! A step goes on after a problem wherever what follows can still be judged. Never opens a file and
//! never asks the network: what the machine knows is an argument ([`Machine`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use tidemill_proxy::core::settings::{Limits, ProxySettings};
use tidemill_proxy::core::validate::{Segment, validate};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::definition::{BackendDraft, Key, Kind, Misfit, Presence, Scalar, Section, nearest};
use super::jobs::{CLUSTER, JOBS};
use super::node::NODE;
use super::problem::{Findings, Problem};
use super::proxy::{PROXY, ProxyDraft};
use super::resolve::{self, Machine};
use super::workstream::WORKSTREAM;
use super::{Config, SECTIONS};

/// Reads the text of the file that is called `file` in messages.
///
/// # Errors
///
/// Every problem, in the order of the file; at least one.
pub fn read(file: &str, text: &str, machine: &Machine<'_>) -> Result<Config, Vec<Problem>> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        findings: Findings::new(file, text),
        positions: BTreeMap::new(),
        is_whole: syntax_errors.is_empty(),
    };
    let (mut config, drafts) = reader.document(document.get_ref());
    config.proxies = reader.proxies(drafts, machine);
    reader.check(&config.node, &config.proxies, machine);
    // What follows from a broken line is noise; only the syntax error itself is told of it.
    let broken: Vec<_> = syntax_errors
        .iter()
        .map(|error| reader.findings.line(error.span().unwrap_or_default().start))
        .collect();
    reader.findings.forget_lines(&broken);
    for error in &syntax_errors {
        let what = error.message().trim().replace('\n', ", ");
        let right = match error.message() {
            message if message.starts_with("duplicate") => "leave one of the two out",
            _ => "write it as TOML: `key = value`, with strings in quotes",
        };
        reader.findings.push(&error.span().unwrap_or_default(), what, right);
    }
    let problems = reader.findings.into_problems();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

struct Reader<'a> {
    findings: Findings<'a>,
    /// Where each key that was given has its value, by its path: `proxy[0].timeouts.idle`.
    positions: BTreeMap<String, Range<usize>>,
    /// Without syntax errors, so that what is not there is really missing.
    is_whole: bool,
}

/// A table being read: what messages call it, its path, and where it stands.
struct Place<'a> {
    called: &'a str,
    path: &'a str,
    span: Range<usize>,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) -> (Config, Vec<ProxyDraft>) {
        let mut config = Config::default();
        let mut proxies = Vec::new();
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            if name == NODE.name {
                self.section(&NODE, key, value, |reader, place, table| {
                    reader.table(NODE.keys, table, place, &mut config.node);
                });
            } else if name == JOBS.name {
                self.section(&JOBS, key, value, |reader, place, table| {
                    reader.table(JOBS.keys, table, place, &mut config.jobs);
                });
            } else if name == CLUSTER.name {
                self.section(&CLUSTER, key, value, |reader, place, table| {
                    reader.table(CLUSTER.keys, table, place, &mut config.cluster);
                });
            } else if name == PROXY.name {
                self.section(&PROXY, key, value, |reader, place, table| {
                    let mut draft = ProxyDraft::new();
                    reader.table(PROXY.keys, table, place, &mut draft);
                    for misfit in draft.health.misfits() {
                        let at = reader.at(&format!("{}.health.{}", place.path, misfit.key));
                        reader.findings.push(&at, misfit.what, misfit.right);
                    }
                    proxies.push(draft);
                });
            } else if name == WORKSTREAM.name {
                self.section(&WORKSTREAM, key, value, |reader, place, table| {
                    reader.table(WORKSTREAM.keys, table, place, &mut config.workstream);
                });
            } else {
                let right = match nearest(name, SECTIONS.map(|(name, _)| name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        format!("the sections are {}", SECTIONS.map(|(_, head)| head).join(", "))
                    }
                };
                self.findings.push(&key.span(), format!("unknown section `{name}`"), right);
            }
        }
        (config, proxies)
    }

    /// Hands each table of a section to `read`.
    fn section<T>(
        &mut self,
        section: &Section<T>,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        mut read: impl FnMut(&mut Self, &Place<'_>, &DeTable<'_>),
    ) {
        let (name, called) = (section.name, section.called());
        match (section.is_repeated, value.get_ref()) {
            (false, DeValue::Table(table)) => {
                let place = Place { called: &called, path: name, span: key.span() };
                read(self, &place, table);
            }
            (true, DeValue::Array(array)) => {
                for (index, element) in array.iter().enumerate() {
                    let path = format!("{name}[{index}]");
                    let place = Place { called: &called, path: &path, span: element.span() };
                    match element.get_ref() {
                        DeValue::Table(table) => read(self, &place, table),
                        other => {
                            let what = format!("`{name}` holds {}", describe(other));
                            let right = format!("write each as a table of its own: `{called}`");
                            self.findings.push(&place.span, what, right);
                        }
                    }
                }
            }
            // A broken head turns one shape into another; its own error says so.
            _ if !self.is_whole => {}
            (_, other) => {
                let what = format!("`{name}` is {}", describe(other));
                self.findings.push(&key.span(), what, format!("write `{called}`"));
            }
        }
    }

    /// Puts every value of a table into `target` by its row; notes unknown and missing keys.
    fn table<T>(
        &mut self,
        keys: &'static [Key<T>],
        table: &DeTable<'_>,
        place: &Place<'_>,
        target: &mut T,
    ) {
        self.positions.insert(place.path.to_owned(), place.span.clone());
        let mut meant = Vec::new();
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            match keys.iter().find(|key| key.name == text) {
                Some(key) => self.value(key, value, place, target),
                None => {
                    let known = keys.iter().map(|key| key.name);
                    let right = match nearest(text, known.clone()) {
                        Some(near) => {
                            meant.push(near);
                            format!("did you mean `{near}`?")
                        }
                        None => {
                            let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
                            format!("the keys here are {}", known.join(", "))
                        }
                    };
                    let what = format!("unknown key `{text}` in {}", place.called);
                    self.findings.push(&name.span(), what, right);
                }
            }
        }
        for key in keys {
            if matches!(key.presence, Presence::Required)
                && !table.contains_key(key.name)
                && !meant.contains(&key.name)
                && self.is_whole
            {
                let what = format!("{} has no `{}`", place.called, key.name);
                let right = format!("add `{} = {}`", key.name, key.example);
                self.findings.push(&place.span, what, right);
            }
        }
    }

    fn value<T>(
        &mut self,
        key: &Key<T>,
        value: &Spanned<DeValue<'_>>,
        place: &Place<'_>,
        target: &mut T,
    ) {
        let path = format!("{}.{}", place.path, key.name);
        let called = format!("`{}`", key.name);
        self.positions.insert(path.clone(), value.span());
        match (&key.kind, value.get_ref()) {
            (Kind::Table(keys), DeValue::Table(table)) => {
                let place = Place { called: &called, path: &path, span: value.span() };
                self.table(keys, table, &place, target);
            }
            (Kind::Backends { keys, set }, DeValue::Array(array)) => {
                set(target, self.backends(keys, array, &path));
            }
            (Kind::Texts { count_max, set }, DeValue::Array(array))
                if (1..=*count_max).contains(&array.len())
                    && array.iter().all(|text| is_short_text(text.get_ref())) =>
            {
                let texts = array.iter().filter_map(|text| text.get_ref().as_str());
                set(target, texts.map(str::to_owned).collect());
            }
            (kind, value_read) => {
                if let Err(misfit) = kind.put(scalar(value_read), target) {
                    let what = match &misfit.reason {
                        Some(reason) => format!("{called} is {}: {reason}", describe(value_read)),
                        None => format!("{called} is {}", describe(value_read)),
                    };
                    let right = advice(key, kind, misfit);
                    self.findings.push(&value.span(), what, right);
                }
            }
        }
    }

    fn backends(
        &mut self,
        keys: &'static [Key<BackendDraft>],
        array: &DeArray<'_>,
        path: &str,
    ) -> Vec<BackendDraft> {
        let mut backends = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let place = Place { called: "the backend", path: &path, span: element.span() };
            self.positions.insert(path.clone(), element.span());
            let mut backend = BackendDraft { endpoint: None, weight: 1, span: element.span() };
            match element.get_ref() {
                DeValue::Table(table) => {
                    self.table(keys, table, &place, &mut backend);
                    if let Some(address) = table.get("address") {
                        backend.span = address.span();
                    }
                }
                text @ DeValue::String(_) => {
                    let address = &keys[0]; // a backend alone is its address, the first key
                    if let Err(misfit) = address.kind.put(scalar(text), &mut backend) {
                        let reason = misfit.reason.as_deref().unwrap_or("it is no address");
                        let what = format!("the backend {}: {reason}", quoted(text));
                        let right = match &misfit.corrected {
                            Some(corrected) => format!("write `{corrected}`"),
                            None => format!("expected {}", address.kind.expects()),
                        };
                        self.findings.push(&element.span(), what, right);
                    }
                }
                other => {
                    let what = format!("a backend is {}", describe(other));
                    let right = "write `\"127.0.0.1:6379\"` or \
                                 `{ address = \"127.0.0.1:6379\", weight = 2 }`";
                    self.findings.push(&element.span(), what, right);
                }
            }
            backends.push(backend);
        }
        backends
    }

    /// Resolves the backends' names and turns drafts into settings.
    fn proxies(&mut self, drafts: Vec<ProxyDraft>, machine: &Machine<'_>) -> Vec<ProxySettings> {
        let endpoints =
            drafts.iter().flat_map(|draft| &draft.backends).filter_map(|b| b.endpoint.as_ref());
        let resolved = resolve::resolve_all(endpoints, machine);
        let mut proxies = Vec::with_capacity(drafts.len());
        for (index, mut draft) in drafts.into_iter().enumerate() {
            let mut backends = Vec::new();
            let mut spans = Vec::new();
            for backend in std::mem::take(&mut draft.backends) {
                let Some(endpoint) = &backend.endpoint else { continue };
                match &resolved[endpoint] {
                    Ok(addresses) => {
                        for settings in resolve::settings(endpoint, backend.weight, addresses) {
                            backends.push(settings);
                            spans.push(backend.span.clone());
                        }
                    }
                    Err(reason) => {
                        let what = format!("`{}` does not resolve: {reason}", endpoint.host);
                        let right = "correct the name, or write an IP address";
                        self.findings.push(&backend.span, what, right);
                    }
                }
            }
            // From here on a backend's index counts addresses, as the engine's check does.
            for (at, span) in spans.into_iter().enumerate() {
                self.positions.insert(format!("proxy[{index}].backends[{at}].address"), span);
            }
            proxies.push(draft.settings(backends));
        }
        proxies
    }

    /// Checks what no single value can tell: between keys, between proxies, against the machine.
    fn check(
        &mut self,
        node: &super::NodeSettings,
        proxies: &[ProxySettings],
        machine: &Machine<'_>,
    ) {
        for problem in validate(proxies) {
            let place = path(&problem.place);
            // What a proxy needs and has not was missed before.
            if problem.place.len() == 3 && !self.positions.contains_key(&place) {
                continue;
            }
            let at = self.at(&place);
            if !self.findings.any_within(&at) {
                let (what, right) =
                    problem.what.split_once(": ").unwrap_or((&problem.what, "correct it"));
                self.findings.push(&at, what, right);
            }
        }
        for (index, proxy) in proxies.iter().enumerate() {
            if proxy.listen.port() != 0 && proxy.listen == node.listen {
                let at = self.at(&format!("proxy[{index}].listen"));
                let what = format!("the node itself listens on {}", proxy.listen);
                self.findings.push(&at, what, "choose another port here or in `node.listen`");
            }
            // The default is an upper bound that nobody asked for.
            let connections = proxy.limits.connections;
            if connections != Limits::default().connections
                && let Some(excess) = machine.excess(connections)
            {
                let at = self.at(&format!("proxy[{index}].limits.connections"));
                self.findings.push(&at, excess.what, excess.right);
            }
        }
    }

    /// Returns where the value at `path` stands, or what is around it where it was not written.
    fn at(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(span) = self.positions.get(path) {
                return span.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 0..0,
            }
        }
    }
}

fn advice<T>(key: &Key<T>, kind: &Kind<T>, misfit: Misfit) -> String {
    match (misfit.corrected, misfit.reason) {
        (Some(corrected), _) => format!("write `{} = {corrected}`", key.name),
        (None, Some(_)) => format!("expected {}", kind.expects()),
        (None, None) => {
            format!("expected {}, such as `{} = {}`", kind.expects(), key.name, key.example)
        }
    }
}

/// Returns true for a string of 1 to 256 bytes.
fn is_short_text(value: &DeValue<'_>) -> bool {
    value.as_str().is_some_and(|text| (1..=256).contains(&text.len()))
}

fn scalar<'a>(value: &'a DeValue<'_>) -> Scalar<'a> {
    match value {
        DeValue::String(text) => Scalar::Text(text),
        DeValue::Integer(number) => {
            Scalar::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        _ => Scalar::Other,
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => format!("the string {}", quoted(value)),
        DeValue::Integer(number) => format!("the integer {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(boolean) => format!("the boolean {boolean}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Returns a string as TOML would quote it, cut after 60 characters.
fn quoted(value: &DeValue<'_>) -> String {
    let text = value.as_str().unwrap_or_default();
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

fn path(place: &[Segment]) -> String {
    let mut path = String::new();
    for segment in place {
        match segment {
            Segment::Key(key) if path.is_empty() => path.push_str(key),
            Segment::Key(key) => path.extend([".", key]),
            Segment::Index(index) => {
                write!(path, "[{index}]").expect("writing to a string cannot fail");
            }
        }
    }
    path
}
