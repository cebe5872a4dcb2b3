//! Collections that grow step by step to a size that is known before.

use super::View;
use super::facts::{Bytes, Facts, Local};
use crate::find::Finding;

/// An empty collection that a `for` over something of known length fills.
pub(super) fn capacity(view: &View<'_>) -> Vec<Finding> {
    view.facts.locals.iter().filter_map(|local| grown(view, local)).collect()
}

fn grown(view: &View<'_>, local: &Local) -> Option<Finding> {
    let facts = view.facts;
    let value = local.value.as_ref()?;
    let ty = view.text(value).strip_suffix("::new()")?;
    let method = match local.type_head.as_str() {
        "Vec" => "push",
        "VecDeque" => "push_back",
        "HashMap" | "HashSet" => "insert",
        _ => return None,
    };
    let scope = local.statement.end..facts.body.end;
    let fill = facts
        .calls_on(&local.name, &scope)
        .find(|call| call.name == method && call.in_loop.is_some())?;
    let around = fill.in_loop?;
    // A loop in a loop fills more than its own length.
    if facts.loops[around].outer != local.in_loop {
        return None;
    }
    let over = facts.loops[around].over.as_ref()?;
    let size = size_of(view, facts, over)?;
    let message = format!("`{}` grows step by step to a size that is known", local.name);
    let edits = vec![view.replace(value, format!("{ty}::with_capacity({size})"))];
    let finding = view.finding("capacity", value, message);
    Some(finding.fixed_by("start with the capacity it will need", edits))
}

/// Returns the length of what a `for` goes over, as an expression; nothing where it is not plain.
fn size_of(view: &View<'_>, facts: &Facts, over: &Bytes) -> Option<String> {
    let text = view.text(over).trim();
    let bare = text.trim_start_matches('(').trim_end_matches(')');
    if let Some((from, to)) = bare.split_once("..") {
        let (to, extra) = match to.strip_prefix('=') {
            Some(to) => (to, " + 1"),
            None => (to, ""),
        };
        let is_plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.()".contains(c))
        };
        let from = from.trim();
        return match (from.starts_with('0'), is_plain(to)) {
            (true, true) => Some(format!("({to}) as usize{extra}")),
            (false, true) if is_plain(from) => {
                Some(format!("({to}).saturating_sub({from}) as usize{extra}"))
            }
            _ => None,
        };
    }
    let name = ["", ".iter().enumerate()", ".iter()", ".into_iter()", ".chars()", ".bytes()"]
        .iter()
        .rev()
        .find_map(|suffix| text.strip_suffix(suffix))?
        .trim_start_matches('&')
        .trim_start_matches("mut ");
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let root = name.split('.').next().unwrap_or(name);
    let is_known = root == "self" || facts.local(root, over.start).is_some();
    (is_name && is_known).then(|| format!("{name}.len()"))
}

#[cfg(test)]
mod tests {
    use crate::find::rules::{finds, fixed};

    #[track_caller]
    fn check(over: &str, want: &str) {
        let text = format!(
            "fn f(a: &[u8], n: usize) {{ let mut v = Vec::new(); for x in {over} {{ v.push(x); }} }}"
        );
        let after = fixed(&text, "capacity").unwrap();
        assert!(after.contains(&format!("Vec::with_capacity({want})")), "{after}");
    }

    #[test]
    fn the_size_is_read_from_what_the_loop_goes_over() {
        check("0..n", "(n) as usize");
        check("0..=n", "(n) as usize + 1");
        check("5..n", "(n).saturating_sub(5) as usize");
        check("a", "a.len()");
        check("a.iter()", "a.len()");
        check("a.iter().enumerate()", "a.len()");
    }

    #[test]
    fn an_unknown_size_is_left_alone() {
        let text = "fn f(a: I) { let mut v = Vec::new(); for x in a.filter(g) { v.push(x); } }";
        assert!(!finds(text, "capacity"));
    }
}
