//! Strings that are made only to be copied into others.

use super::View;
use super::facts::MacroUse;
use crate::find::Finding;

/// `format!` in a loop, where the text can be written in place or needs no formatting.
pub(super) fn format_in_loop(view: &View<'_>) -> Vec<Finding> {
    let is_hot = |call: &&MacroUse| call.name == "format";
    view.facts.macros.iter().filter(is_hot).filter_map(|call| formatted(view, call)).collect()
}

fn formatted(view: &View<'_>, call: &MacroUse) -> Option<Finding> {
    let whole = view.text(&call.whole);
    let args = whole.split_once('!').map(|(_, args)| args.trim())?;
    let args = args.get(1..args.len().checked_sub(1)?)?;
    if let Some(value) = one_value(view, call) {
        let message = "formatting machinery for a value that can turn itself into text";
        let edits = vec![view.replace(&call.whole, format!("{value}.to_string()"))];
        let finding = view.finding("format-in-loop", &call.whole, message);
        return Some(finding.fixed_by("use to_string", edits));
    }
    let statement = view.text(&call.statement);
    let (target, is_whole) = appended(statement, whole)?;
    if !is_whole {
        return None;
    }
    let root = target.split('.').next().unwrap_or(target);
    let is_reference = view
        .facts
        .local(root, call.whole.start)
        .is_some_and(|local| local.type_text.starts_with("&mut") && root == target);
    let place = if is_reference { format!("&mut *{target}") } else { format!("&mut {target}") };
    let text = format!(
        "std::fmt::Write::write_fmt({place}, format_args!({args}))\
         .expect(\"a string takes everything\");"
    );
    let message = format!("a string is made to be copied into `{target}` and thrown away");
    let finding = view.finding("format-in-loop", &call.whole, message);
    let edits = vec![view.replace(&call.statement, text)];
    Some(finding.fixed_by("write into the string itself", edits))
}

/// Returns the value of `format!("{}", value)` and `format!("{value}")`.
fn one_value(view: &View<'_>, call: &MacroUse) -> Option<String> {
    let mut args = call.args.iter().map(|arg| view.text(arg));
    let pattern = args.next()?;
    match (pattern, args.next(), args.next()) {
        ("\"{}\"", Some(value), None) => {
            let is_plain = value.chars().all(|c| c.is_alphanumeric() || "_.()".contains(c));
            Some(if is_plain { value.to_owned() } else { format!("({value})") })
        }
        (pattern, None, None) => {
            let name = pattern.strip_prefix("\"{")?.strip_suffix("}\"")?;
            let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_')
                && name.starts_with(|c: char| c.is_alphabetic() || c == '_');
            is_name.then(|| name.to_owned())
        }
        _ => None,
    }
}

/// Returns what a statement appends `whole` to, and whether it does nothing else:
/// `s.push_str(&format!(..));`, `s += &format!(..);`.
fn appended<'a>(statement: &'a str, whole: &str) -> Option<(&'a str, bool)> {
    let bare = statement.trim_end_matches(';').trim();
    let (target, value) = match bare.split_once(".push_str(") {
        Some((target, rest)) => (target, rest.strip_suffix(')')?),
        None => bare.split_once("+=")?,
    };
    let target = target.trim();
    let is_place = target.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let value = value.trim().strip_prefix('&')?.trim().trim_end_matches(".as_str()");
    is_place.then_some((target, value == whole))
}

#[cfg(test)]
mod tests {
    use crate::find::rules::{finds, fixed};

    #[test]
    fn a_single_value_turns_itself_into_text() {
        let after = fixed("fn f(a: u8) { g(format!(\"{}\", a)); }", "format-in-loop").unwrap();
        assert!(after.contains("g(a.to_string())"), "{after}");
        let after = fixed("fn f(a: u8) { g(format!(\"{a}\")); }", "format-in-loop").unwrap();
        assert!(after.contains("g(a.to_string())"), "{after}");
    }

    #[test]
    fn appended_text_is_written_in_place() {
        let text =
            "fn f(a: u8) { let mut s = String::new(); s.push_str(&format!(\"{a}-{}\", 1)); }";
        let after = fixed(text, "format-in-loop").unwrap();
        assert!(after.contains("write_fmt(&mut s, format_args!(\"{a}-{}\", 1))"), "{after}");
        let text = "fn f(s: &mut String) { *s = x; s.push_str(&format!(\"{} {}\", 1, 2)); }";
        let after = fixed(text, "format-in-loop").unwrap();
        assert!(after.contains("write_fmt(&mut *s, "), "{after}");
        let text = "fn f() { let mut s = String::new(); s += &format!(\"{} {}\", 1, 2); }";
        assert!(fixed(text, "format-in-loop").unwrap().contains("write_fmt(&mut s, "));
    }

    #[test]
    fn text_that_is_kept_is_left_alone() {
        assert!(!finds("fn f() -> String { format!(\"{} {}\", 1, 2) }", "format-in-loop"));
    }
}
