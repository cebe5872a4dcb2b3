//! Lists that are searched, shifted or counted through for each item.

use super::facts::{Call, Local};
use super::{View, name_for};
use crate::find::{Edit, Finding};

/// A list that is searched in a loop: a set beside it.
pub(super) fn contains_in_loop(view: &View<'_>) -> Vec<Finding> {
    let calls = view.facts.calls.iter();
    calls.filter(|call| call.name == "contains").filter_map(|call| contains(view, call)).collect()
}

fn contains(view: &View<'_>, call: &Call) -> Option<Finding> {
    let facts = view.facts;
    let name = call.receiver_name.as_deref()?;
    let local = facts.local(name, call.whole.start)?;
    if !is_list(local) {
        return None;
    }
    let outer = facts.loop_outside(call.in_loop, local)?;
    let around = &facts.loops[outer];
    let finding = view.finding(
        "contains-in-loop",
        &call.whole,
        format!("`{name}` is searched from its start for each item"),
    );
    let [arg] = call.args.as_slice() else { return Some(finding) };
    let changes: Vec<&Call> = facts
        .calls_on(name, &around.whole)
        .filter(|other| !READS.contains(&other.name.as_str()))
        .collect();
    let arg = view.text(arg);
    let set = name_for(name, "set");
    if changes.is_empty() {
        let build = format!("let {set}: std::collections::HashSet<_> = {name}.iter().collect();");
        let edits = vec![
            view.before(&around.statement, &build),
            view.replace(&call.whole, format!("{set}.contains(&({arg}))")),
        ];
        return Some(finding.fixed_by("look it up in a set", edits));
    }
    // A list that only grows here takes its set along.
    let grown: Option<Vec<Edit>> = changes
        .iter()
        .map(|push| match (push.name.as_str(), push.args.as_slice()) {
            ("push", [item]) => {
                let item = view.text(item);
                let text = format!(
                    "{{ let item = {item}; {set}.insert(item.clone()); {name}.push(item) }}"
                );
                Some(view.replace(&push.whole, text))
            }
            _ => None,
        })
        .collect();
    let Some(mut edits) = grown else { return Some(finding) };
    let build =
        format!("let mut {set}: std::collections::HashSet<_> = {name}.iter().cloned().collect();");
    edits.push(view.before(&around.statement, &build));
    edits.push(view.replace(&call.whole, format!("{set}.contains({arg})")));
    Some(finding.fixed_by("keep a set of what the list holds", edits))
}

/// A list whose front is removed or filled in a loop: a double-ended queue.
pub(super) fn front_removal(view: &View<'_>) -> Vec<Finding> {
    let is_front = |call: &&Call| {
        ["remove", "insert"].contains(&call.name.as_str())
            && call.args.first().is_some_and(|index| view.text(index) == "0")
    };
    let mut seen = Vec::new();
    let mut findings = Vec::new();
    for call in view.facts.calls.iter().filter(is_front) {
        let Some(name) = call.receiver_name.as_deref() else { continue };
        let Some(local) = view.facts.local(name, call.whole.start) else { continue };
        if local.type_head != "Vec" || view.facts.loop_outside(call.in_loop, local).is_none() {
            continue;
        }
        if seen.contains(&local.statement) {
            continue;
        }
        seen.push(local.statement.clone());
        let finding = view.finding(
            "front-removal",
            &call.whole,
            format!("everything in `{name}` moves for each item at its front"),
        );
        findings.push(match queue_edits(view, local) {
            Some(edits) => finding.fixed_by("use a double-ended queue", edits),
            None => finding,
        });
    }
    findings
}

/// Returns the edits that make a local list a queue; nothing where it is used in other ways.
fn queue_edits(view: &View<'_>, local: &Local) -> Option<Vec<Edit>> {
    let value = local.value.as_ref()?;
    let start = match view.text(value) {
        "Vec::new()" | "vec![]" => "std::collections::VecDeque::new()".to_owned(),
        text => format!("std::collections::VecDeque::from({text})"),
    };
    let mut edits = vec![view.replace(value, start)];
    if let Some(declared) = &local.declared_type {
        let text = view.text(declared);
        let list = text.strip_prefix("Vec")?;
        edits.push(view.replace(declared, format!("std::collections::VecDeque{list}")));
    }
    let scope = local.statement.end..view.facts.body.end;
    for call in view.facts.calls_on(&local.name, &scope) {
        let arg = |index: usize| call.args.get(index).map(|arg| view.text(arg));
        let name = &local.name;
        let text = match (call.name.as_str(), arg(0), arg(1)) {
            ("remove", Some("0"), None) => {
                format!("{name}.pop_front().expect(\"the queue holds an item\")")
            }
            ("insert", Some("0"), Some(item)) => format!("{name}.push_front({item})"),
            ("push", Some(item), None) => format!("{name}.push_back({item})"),
            ("pop", None, None) => format!("{name}.pop_back()"),
            ("first", None, None) => format!("{name}.front()"),
            ("last", None, None) => format!("{name}.back()"),
            (other, ..) if SHARED.contains(&other) => continue,
            _ => return None,
        };
        edits.push(view.replace(&call.whole, text));
    }
    Some(edits)
}

/// `chars().nth(i)` in a loop counts from the start each time: characters collected once.
pub(super) fn char_index(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut findings = Vec::new();
    for call in facts.calls.iter().filter(|call| call.name == "nth") {
        let (Some(receiver), [index]) = (&call.receiver, call.args.as_slice()) else { continue };
        let Some(name) = view.text(receiver).strip_suffix(".chars()") else { continue };
        let Some(local) = facts.local(name, call.whole.start) else { continue };
        let Some(outer) = facts.loop_outside(call.in_loop, local) else { continue };
        let around = &facts.loops[outer];
        let chars = name_for(name, "chars");
        let index = view.text(index);
        let edits = vec![
            view.before(
                &around.statement,
                &format!("let {chars}: Vec<char> = {name}.chars().collect();"),
            ),
            view.replace(&call.whole, format!("{chars}.get({index}).copied()")),
        ];
        let message = format!("the characters of `{name}` are counted from the start each time");
        let finding = view.finding("char-index", &call.whole, message);
        findings.push(finding.fixed_by("collect the characters once", edits));
    }
    findings
}

fn is_list(local: &Local) -> bool {
    local.type_head == "Vec" || local.type_text.trim_start_matches('&').starts_with('[')
}

/// What leaves a list as it is.
const READS: [&str; 12] = [
    "contains",
    "len",
    "is_empty",
    "iter",
    "get",
    "first",
    "last",
    "clone",
    "windows",
    "chunks",
    "binary_search",
    "join",
];

/// What a queue calls by the same name as a list.
const SHARED: [&str; 13] = [
    "len", "is_empty", "iter", "iter_mut", "clear", "contains", "extend", "retain", "truncate",
    "get", "get_mut", "clone", "reserve",
];

#[cfg(test)]
mod tests {
    use crate::find::rules::{finds, fixed};

    #[test]
    fn a_searched_list_gets_a_set() {
        let text = "fn f(a: &[u64], b: Vec<u64>) -> usize {\n    a.iter().filter(|x| \
                    b.contains(x)).count()\n}\n";
        let after = fixed(text, "contains-in-loop").unwrap();
        assert!(after.contains("HashSet<_> = b.iter().collect();\n    a.iter()"), "{after}");
        assert!(after.contains("b_set.contains(&(x))"), "{after}");
    }

    #[test]
    fn a_list_that_grows_takes_its_set_along() {
        let text = "fn f(a: Vec<String>) {\n    let mut seen = Vec::new();\n    for x in a {\n\
                    \x20       if !seen.contains(&x) { seen.push(x); }\n    }\n}\n";
        let after = fixed(text, "contains-in-loop").unwrap();
        assert!(after.contains("seen_set.insert(item.clone()); seen.push(item) };"), "{after}");
    }

    #[test]
    fn a_list_that_is_searched_once_is_left_alone() {
        assert!(!finds("fn f(a: Vec<u8>) -> bool { a.contains(&1) }", "contains-in-loop"));
        let per_item = "fn f() { for i in 0..9 { let a = vec![i]; a.contains(&1); } }";
        assert!(!finds(per_item, "contains-in-loop"));
    }

    #[test]
    fn a_list_used_as_a_queue_becomes_one() {
        let text = "fn f() { let mut q = vec![1]; while !q.is_empty() { let x = q.remove(0); \
                    q.push(x); } }";
        let after = fixed(text, "front-removal").unwrap();
        assert!(after.contains("VecDeque::from(vec![1])"), "{after}");
        assert!(after.contains("q.pop_front().expect("), "{after}");
        assert!(after.contains("q.push_back(x)"), "{after}");
    }

    #[test]
    fn a_list_with_other_uses_is_only_told() {
        let text = "fn f() { let mut q = vec![1]; loop { q.remove(0); q.sort(); } }";
        assert!(finds(text, "front-removal"));
        assert_eq!(fixed(text, "front-removal"), None);
    }

    #[test]
    fn characters_are_collected_once() {
        let text = "fn f(s: &str) { for i in 0..9 { s.chars().nth(i); } }";
        let after = fixed(text, "char-index").unwrap();
        assert!(after.contains("s_chars.get(i).copied()"), "{after}");
    }
}
