//! The shape of the configuration's one table of keys.
//!
//! A [`Section`] lists its [`Key`]s; each key has its kind, its default as it would be written, one
//! sentence of documentation and the function that puts a read value into its place. The reader,
//! the search for unknown keys, the reference page, the sample file and the JSON schema all walk
//! the same rows, so that none of them can tell something else.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::value::{self, Endpoint};

/// A top-level table of the file: `[name]`, or `[[name]]` where it is repeated.
pub(super) struct Section<T: 'static> {
    pub(super) name: &'static str,
    pub(super) is_repeated: bool,
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key<T>],
}

impl<T> Section<T> {
    /// Returns its head in a file.
    pub(super) fn called(&self) -> String {
        if self.is_repeated { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }
}

/// One key and everything that is known about it; `T` is what its values are put into.
pub(super) struct Key<T: 'static> {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    /// A good value as TOML; what messages and the sample file show.
    pub(super) example: &'static str,
    pub(super) doc: &'static str,
    pub(super) kind: Kind<T>,
}

/// Whether a key has to be there, and what holds where it is not.
pub(super) enum Presence {
    Required,
    /// As it would be written in TOML.
    Default(&'static str),
    /// In words.
    Absent(&'static str),
}

/// What a value may be, with its bounds, and where it goes.
pub(super) enum Kind<T: 'static> {
    /// 1 to 64 of `a-z A-Z 0-9 . _ -`: fit for a metric label and a path segment.
    Name(fn(&mut T, String)),
    /// At most `bytes_max` bytes, beginning with `begins`, never empty.
    Text {
        bytes_max: usize,
        begins: &'static str,
        set: fn(&mut T, String),
    },
    /// A folder; `~/` is the home folder, a relative one is relative to the file's folder.
    Folder(fn(&mut T, String)),
    Listen(fn(&mut T, SocketAddr)),
    Endpoint(fn(&mut T, Endpoint)),
    Duration {
        min: Duration,
        max: Duration,
        set: fn(&mut T, Duration),
    },
    Integer {
        min: u32,
        max: u32,
        set: fn(&mut T, u32),
    },
    Percent(fn(&mut T, u8)),
    /// Bytes, written with a unit.
    Size {
        min: u64,
        max: u64,
        set: fn(&mut T, u64),
    },
    /// An array of strings of 1 to 256 bytes.
    Texts {
        count_max: usize,
        set: fn(&mut T, Vec<String>),
    },
    Statuses(fn(&mut T, (u16, u16))),
    /// `"auto"` or a number of threads.
    Threads {
        max: usize,
        set: fn(&mut T, Option<NonZeroUsize>),
    },
    Choice(&'static [Choice<T>]),
    Table(&'static [Key<T>]),
    /// An array of endpoints, each alone as a string or in a table with more.
    Backends {
        keys: &'static [Key<BackendDraft>],
        set: fn(&mut T, Vec<BackendDraft>),
    },
}

/// One of several named values.
pub(super) struct Choice<T: 'static> {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) set: fn(&mut T),
}

/// A backend as written, its name not yet resolved.
#[derive(Debug, Clone)]
pub(super) struct BackendDraft {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) weight: u16,
    /// Where it stands in the file.
    pub(super) span: std::ops::Range<usize>,
}

/// A value that does not fit its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// What is wrong with a value of the right type; `None` where the type is wrong.
    pub(super) reason: Option<String>,
    /// The corrected value as TOML, where it can be told.
    pub(super) corrected: Option<String>,
}

/// A scalar of the file.
pub(super) enum Scalar<'a> {
    Text(&'a str),
    /// `None` when it does not fit 64 bits.
    Integer(Option<i64>),
    Other,
}

impl<T> Kind<T> {
    /// Puts a scalar into its place in `target`; tables and arrays are the reader's.
    pub(super) fn put(&self, scalar: Scalar<'_>, target: &mut T) -> Result<(), Misfit> {
        match (self, scalar) {
            (Self::Name(set), Scalar::Text(text)) => set(target, name(text)?),
            (Self::Text { bytes_max, begins, set }, Scalar::Text(text)) => {
                set(target, bounded_text(text, *bytes_max, begins)?);
            }
            (Self::Folder(set), Scalar::Text(text)) => {
                set(target, bounded_text(text, 4_096, "")?);
            }
            (Self::Listen(set), Scalar::Text(text)) => {
                set(target, value::parse_listen(text).map_err(corrected)?);
            }
            (Self::Endpoint(set), Scalar::Text(text)) => {
                set(target, value::parse_endpoint(text).map_err(corrected)?);
            }
            (Self::Duration { min, max, set }, Scalar::Text(text)) => {
                let duration = value::parse_duration(text).map_err(because)?;
                if !(*min..=*max).contains(&duration) {
                    return Err(because("it is out of range".to_owned()));
                }
                set(target, duration);
            }
            (Self::Duration { .. }, Scalar::Integer(Some(number @ 0..))) => {
                let corrected = Some(format!("\"{number}s\""));
                return Err(Misfit { reason: Some("it has no unit".to_owned()), corrected });
            }
            (Self::Integer { min, max, set }, Scalar::Integer(number)) => {
                match number.and_then(|number| u32::try_from(number).ok()) {
                    Some(number) if (*min..=*max).contains(&number) => set(target, number),
                    _ => return Err(because("it is out of range".to_owned())),
                }
            }
            (Self::Percent(set), Scalar::Text(text)) => {
                set(target, value::parse_percent(text).map_err(because)?);
            }
            (Self::Percent(_), Scalar::Integer(Some(number @ 0..=100))) => {
                let corrected = Some(format!("\"{number}%\""));
                return Err(Misfit { reason: Some("the % sign is missing".into()), corrected });
            }
            (Self::Size { min, max, set }, Scalar::Text(text)) => {
                set(target, size_within(text, *min..=*max)?);
            }
            (Self::Statuses(set), Scalar::Text(text)) => {
                set(target, value::parse_statuses(text).map_err(because)?);
            }
            (Self::Threads { set, .. }, Scalar::Text("auto")) => set(target, None),
            (Self::Threads { max, set }, Scalar::Integer(number)) => {
                let count = number.and_then(|number| usize::try_from(number).ok());
                match count.and_then(NonZeroUsize::new) {
                    Some(count) if count.get() <= *max => set(target, Some(count)),
                    _ => return Err(because("it is out of range".to_owned())),
                }
            }
            (Self::Choice(choices), Scalar::Text(text)) => {
                match choices.iter().find(|choice| choice.name == text) {
                    Some(choice) => (choice.set)(target),
                    None => {
                        let names = choices.iter().map(|choice| choice.name);
                        let corrected = nearest(text, names).map(|name| format!("\"{name}\""));
                        return Err(Misfit { reason: Some("it is not known".into()), corrected });
                    }
                }
            }
            _ => return Err(Misfit { reason: None, corrected: None }),
        }
        Ok(())
    }

    /// Says what a value may be, after "expected".
    pub(super) fn expects(&self) -> String {
        match self {
            Self::Name(_) => "a name of 1 to 64 letters, digits, `.`, `_` or `-`".to_owned(),
            Self::Text { bytes_max, begins: "", .. } => {
                format!("a string of 1 to {bytes_max} bytes")
            }
            Self::Text { bytes_max, begins, .. } => {
                format!("a string of at most {bytes_max} bytes that begins with `{begins}`")
            }
            Self::Folder(_) => "the path of a folder".to_owned(),
            Self::Listen(_) => "an IP address with a port (0 takes a free one)".to_owned(),
            Self::Endpoint(_) => "an IP address or a host name, with a port".to_owned(),
            Self::Duration { min, max, .. } => {
                let (min, max) = (value::format_duration(*min), value::format_duration(*max));
                format!("a duration from \"{min}\" to \"{max}\" (units: ms, s, m, h, d)")
            }
            Self::Integer { min, max, .. } => format!("an integer from {min} to {max}"),
            Self::Percent(_) => "a percentage from \"0%\" to \"100%\"".to_owned(),
            Self::Size { min, max, .. } => {
                let (min, max) = (value::format_size(*min), value::format_size(*max));
                format!("a size from \"{min}\" to \"{max}\" (units: B, KiB, MiB, GiB, TiB)")
            }
            Self::Texts { count_max, .. } => format!("an array of 1 to {count_max} strings"),
            Self::Statuses(_) => "an HTTP status or a range of them, as a string".to_owned(),
            Self::Threads { max, .. } => format!("\"auto\" or an integer from 1 to {max}"),
            Self::Choice(choices) => {
                let names: Vec<_> =
                    choices.iter().map(|choice| format!("\"{}\"", choice.name)).collect();
                format!("one of {}", names.join(", "))
            }
            Self::Table(_) => "a table".to_owned(),
            Self::Backends { .. } => {
                "an array of addresses or `{ address, weight }` tables".to_owned()
            }
        }
    }
}

/// Returns the name nearest to `wrong`, if one is near enough to be meant.
///
/// Near enough is a Damerau-Levenshtein distance of at most a third of the longer name, at least
/// 1, or the same beginning over two thirds of the known name or the whole of the wrong one
/// (`timeout`, `timeouts`; `proxies`, `proxy`), at least 4 characters.
pub(crate) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let wrong = plain(wrong);
    let measured = names.into_iter().filter_map(|name| {
        let known = plain(name);
        let distance = strsim::damerau_levenshtein(&wrong, &known);
        let length = wrong.chars().count().max(known.chars().count());
        let shared = wrong.bytes().zip(known.bytes()).take_while(|(a, b)| a == b).count();
        let begins = shared >= 4 && (shared * 3 >= known.len() * 2 || shared == wrong.len());
        (distance <= (length / 3).max(1) || begins).then_some((distance, name))
    });
    measured.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

fn name(text: &str) -> Result<String, Misfit> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match text.chars().find(|c| !is_fit(*c)) {
        Some(' ') => Err(because("it holds a space".to_owned())),
        Some(c) => Err(because(format!("it holds `{}`", c.escape_default()))),
        None => bounded_text(text, 64, ""),
    }
}

fn bounded_text(text: &str, bytes_max: usize, begins: &str) -> Result<String, Misfit> {
    if text.is_empty() {
        Err(because("it is empty".to_owned()))
    } else if text.len() > bytes_max {
        Err(because(format!("it has {} bytes", text.len())))
    } else if !text.starts_with(begins) {
        Err(because(format!("it does not begin with `{begins}`")))
    } else {
        Ok(text.to_owned())
    }
}

fn size_within(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, Misfit> {
    let bytes = value::parse_size(text).map_err(because)?;
    if range.contains(&bytes) { Ok(bytes) } else { Err(because("it is out of range".to_owned())) }
}

fn because(reason: String) -> Misfit {
    Misfit { reason: Some(reason), corrected: None }
}

fn corrected((reason, address): (String, Option<String>)) -> Misfit {
    Misfit { reason: Some(reason), corrected: address.map(|address| format!("\"{address}\"")) }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn names_the_nearest_known_name_only_when_it_is_near() {
        let names = ["listen", "balance", "backends", "timeouts", "slow_start"];
        assert_eq!(nearest("balence", names), Some("balance"));
        assert_eq!(nearest("lisetn", names), Some("listen"));
        assert_eq!(nearest("timeout", names), Some("timeouts"));
        assert_eq!(nearest("slow-start", names), Some("slow_start"));
        assert_eq!(nearest("Listen", names), Some("listen"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("x", names), None);
    }
}
