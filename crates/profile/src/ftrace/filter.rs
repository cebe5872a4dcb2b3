//! What is asked for, held against what the kernel has, before anything is switched on.

use std::fs::{self, File};
use std::io::{self, Read};

use super::instance::{Instance, refused};
use crate::Error;
use crate::error::Kind;

/// Switches an event on, after its filter.
pub(super) fn enable_event(
    instance: &Instance,
    event: &str,
    filter: Option<&str>,
) -> Result<(), Error> {
    let unknown = |hint: String| Error::from(Kind::Event { name: event.to_owned(), hint });
    let Some((system, name)) = event.split_once(':').filter(|(a, b)| is_plain(a) && is_plain(b))
    else {
        return Err(unknown("; events are written as sched:sched_switch".to_owned()));
    };
    if !instance.path(&format!("events/{system}")).is_dir() {
        return Err(unknown(format!(
            "; there is no group `{system}`{}",
            near(instance, "", system)
        )));
    }
    let folder = format!("events/{system}/{name}");
    if !instance.path(&folder).join("enable").exists() {
        return Err(unknown(near(instance, system, name)));
    }
    if let Some(filter) = filter {
        set_filter(instance, &folder, event, filter)?;
    }
    instance.write(&format!("{folder}/enable"), "1")
}

fn set_filter(instance: &Instance, folder: &str, event: &str, filter: &str) -> Result<(), Error> {
    let path = instance.path(&format!("{folder}/filter"));
    match fs::write(&path, filter) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // The file then has the text, a caret below it, and what was wrong there. It gives
            // that to one read only, whatever its size.
            let mut told = vec![0; 4096];
            let count = File::open(&path).and_then(|mut file| file.read(&mut told)).unwrap_or(0);
            let told = String::from_utf8_lossy(&told[..count]);
            let message = told.lines().find_map(|line| line.strip_prefix("parse_error: "));
            let message = message.unwrap_or("the kernel cannot read it").to_owned();
            let (event, filter) = (event.to_owned(), filter.to_owned());
            Err(Kind::Filter { event, filter, message }.into())
        }
        Err(error) => Err(refused(&path, error)),
    }
}

/// Sets the filter for functions, if each name matches at least one.
pub(super) fn check_functions(instance: &Instance, names: &[&str]) -> Result<(), Error> {
    let root = instance.path("../..");
    let known = match fs::read_to_string(root.join("available_filter_functions")) {
        Ok(known) => known,
        Err(error) => return Err(functions_refused(&error)),
    };
    for name in names {
        let wanted = known.lines().map(function_of_line);
        if !is_pattern(name) || !wanted.clone().any(|function| matches(name, function)) {
            let hint = nearest(name, wanted).map(|near| format!("; did you mean `{near}`?"));
            let hint = hint.unwrap_or_default();
            return Err(Kind::Function { name: (*name).to_owned(), hint }.into());
        }
    }
    let path = instance.path("set_ftrace_filter");
    match fs::write(&path, names.join(" ")) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let name = names.join(" ");
            Err(Kind::Function { name, hint: "; the kernel refuses the list".to_owned() }.into())
        }
        Err(error) => Err(functions_refused(&error)),
    }
}

/// Chooses a tracer. One that is listed may be refused all the same, so writing is the test.
pub(super) fn set_tracer(instance: &Instance, tracer: &str) -> Result<(), Error> {
    let available = instance.read("available_tracers").unwrap_or_default();
    if !available.split_ascii_whitespace().any(|name| name == tracer) {
        let available = available.trim().to_owned();
        return Err(Kind::NoTracer { tracer: tracer.to_owned(), available }.into());
    }
    let path = instance.path("current_tracer");
    fs::write(&path, tracer).map_err(|error| functions_refused(&error))
}

fn functions_refused(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied if !rustix::process::geteuid().is_root() => {
            let path = "available_filter_functions".to_owned();
            Kind::Rights { path, source: io::Error::from(io::ErrorKind::PermissionDenied) }.into()
        }
        _ => Kind::Locked {
            what: "the tracing of functions",
            works: "trace events, such as --event sched:sched_switch or --event syscalls:...",
        }
        .into(),
    }
}

/// Returns true for what the kernel's files may be called; nothing leads out of the folder.
fn is_plain(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(is_word)
}

fn is_pattern(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.*?$".contains(c);
    !name.is_empty() && name.chars().all(is_part)
}

/// A line is a name and perhaps ` [module]`.
fn function_of_line(line: &str) -> &str {
    line.split_ascii_whitespace().next().unwrap_or_default()
}

/// Matches with `*` for any part and `?` for any character, in steps of at most the product of the
/// lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == name[n] || *byte == b'?' => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Returns a hint with the entry of an events folder that is nearest to a name.
fn near(instance: &Instance, system: &str, name: &str) -> String {
    let Ok(entries) = fs::read_dir(instance.path(&format!("events/{system}"))) else {
        return String::new();
    };
    let names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) if system.is_empty() => format!("; did you mean `{near}`?"),
        Some(near) => format!("; did you mean `{system}:{near}`?"),
        None => String::new(),
    }
}

/// Returns the name that shares the longest beginning, at least half of it.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let shared = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let best = known.max_by_key(|other| (shared(other), std::cmp::Reverse(other.len())))?;
    (shared(best) * 2 >= name.len()).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_kernels_do() {
        for (pattern, name, want) in [
            ("tcp_v4_connect", "tcp_v4_connect", true),
            ("tcp_*", "tcp_v4_connect", true),
            ("*connect", "tcp_v4_connect", true),
            ("t*v4*t", "tcp_v4_connect", true),
            ("t*v6*t", "tcp_v4_connect", false),
            ("tcp_v?_connect", "tcp_v4_connect", true),
            ("tcp_v4", "tcp_v4_connect", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_names() {
        assert!(is_plain("sched_switch") && is_pattern("tcp_v4_*"));
        for bad in ["", "..", "a/b", "a b", "a\nb"] {
            assert!(!is_plain(bad), "{bad}");
            assert!(!is_pattern(bad) || bad == "..", "{bad}");
        }
    }

    #[test]
    fn the_nearest_name_shares_its_beginning() {
        let known = ["sched_switch", "sched_wakeup", "tcp_probe"];
        assert_eq!(nearest("sched_swich", known.into_iter()), Some("sched_switch"));
        assert_eq!(nearest("xyz", known.into_iter()), None);
    }
}
