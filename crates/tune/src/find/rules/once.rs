//! What is done for each item and could be done once, or not at all.

use super::facts::Call;
use super::{View, name_for};
use crate::find::Finding;

/// A mutex that is locked for each item of a loop.
pub(super) fn lock_per_item(view: &View<'_>) -> Vec<Finding> {
    let is_lock = |call: &&Call| call.name == "lock" && call.args.is_empty();
    view.facts.calls.iter().filter(is_lock).filter_map(|call| lock(view, call)).collect()
}

fn lock(view: &View<'_>, call: &Call) -> Option<Finding> {
    let facts = view.facts;
    let name = call.receiver_name.as_deref()?;
    // A field of `self` is declared outside of every loop.
    let outer = match facts.local(name, call.whole.start) {
        Some(local) => facts.loop_outside(call.in_loop, local)?,
        None if name.starts_with("self.") => {
            std::iter::successors(call.in_loop, |&index| facts.loops[index].outer).last()?
        }
        None => return None,
    };
    let around = &facts.loops[outer];
    let message = format!("`{name}` is locked and unlocked for each item");
    let finding = view.finding("lock-per-item", &call.whole, message);
    // The guard as the code takes it: with the unwrap or expect around the lock.
    let taken = facts.calls.iter().find(|outer| {
        ["unwrap", "expect"].contains(&outer.name.as_str())
            && outer.receiver.as_ref() == Some(&call.whole)
    });
    let Some(taken) = taken else { return Some(finding) };
    let waits = facts.calls.iter().any(|other| {
        around.whole.contains(&other.whole.start) && WAITS.contains(&other.name.as_str())
    });
    let locks = facts.calls_on(name, &around.whole).filter(|other| other.name == "lock").count();
    if waits || locks > 1 || around.is_closure || !facts.awaits.is_empty() {
        return Some(finding);
    }
    let guard = name_for(name, "guard");
    let statement = view.text(&call.statement);
    let is_bound = statement.starts_with("let ")
        && statement.trim_end_matches(';').ends_with(view.text(&taken.whole));
    let used = if is_bound { format!("&mut *{guard}") } else { guard.clone() };
    let edits = vec![
        view.before(&around.statement, &format!("let mut {guard} = {};", view.text(&taken.whole))),
        view.replace(&taken.whole, used),
        view.behind(&around.statement, &format!("drop({guard});")),
    ];
    Some(finding.fixed_by("lock it once around the loop", edits))
}

/// A pattern that is compiled each time a function or a loop's body runs.
pub(super) fn regex_compiled(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut findings = Vec::new();
    for call in facts.calls.iter().filter(|call| call.path.ends_with("Regex::new")) {
        let [pattern] = call.args.as_slice() else { continue };
        let pattern = view.text(pattern);
        let is_literal = pattern.starts_with('"') || pattern.starts_with('r');
        let is_main = view.text(&facts.whole).starts_with("fn main(");
        if !is_literal || (call.in_loop.is_none() && is_main) {
            continue;
        }
        let message = "the same pattern is compiled each time";
        let finding = view.finding("regex-compiled", &call.whole, message);
        let taken = facts.calls.iter().find(|outer| {
            ["unwrap", "expect"].contains(&outer.name.as_str())
                && outer.receiver.as_ref() == Some(&call.whole)
        });
        findings.push(match taken {
            None => finding,
            Some(taken) => {
                let (ty, new) = (call.path.trim_end_matches("::new"), view.text(&taken.whole));
                let text = format!(
                    "({{ static PATTERN: std::sync::LazyLock<{ty}> = \
                     std::sync::LazyLock::new(|| {new}); &*PATTERN }})"
                );
                let edits = vec![view.replace(&taken.whole, text)];
                finding.fixed_by("compile it once", edits)
            }
        });
    }
    findings
}

/// A clone of a local that nobody uses again.
pub(super) fn last_clone(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut findings = Vec::new();
    for call in &facts.calls {
        let is_copy = ["clone", "to_vec", "to_owned", "to_string"].contains(&call.name.as_str());
        let (true, Some(name)) = (is_copy, call.receiver_name.as_deref()) else { continue };
        let Some(local) = facts.local(name, call.whole.start) else { continue };
        let is_owned = !local.type_text.starts_with('&') && local.in_loop == call.in_loop;
        let rest = call.whole.end..facts.body.end;
        if !is_owned || facts.mentions_in(name, &rest).next().is_some() {
            continue;
        }
        let message = format!("`{name}` is not used again; its clone is not needed");
        let edits = vec![view.replace(&call.whole, name)];
        let finding = view.finding("last-clone", &call.whole, message);
        findings.push(finding.fixed_by("hand over the value itself", edits));
    }
    findings
}

/// What must not be done while a lock is held that was not held before.
const WAITS: [&str; 7] = ["join", "recv", "wait", "send", "park", "sleep", "spawn"];

#[cfg(test)]
mod tests {
    use crate::find::rules::{finds, fixed};

    #[test]
    fn a_lock_is_taken_once_around_the_loop() {
        let text = "fn f(m: &Mutex<u64>) { for i in 0..9 { *m.lock().unwrap() += i; } }";
        let after = fixed(text, "lock-per-item").unwrap();
        assert!(after.contains("let mut m_guard = m.lock().unwrap();"), "{after}");
        assert!(after.contains("*m_guard += i;"), "{after}");
        assert!(after.contains("drop(m_guard);"), "{after}");
    }

    #[test]
    fn a_bound_guard_becomes_a_reference() {
        let text = "fn f(m: &Mutex<V>) { for i in 0..9 { let mut g = m.lock().unwrap(); \
                    g.push(i); } }";
        let after = fixed(text, "lock-per-item").unwrap();
        assert!(after.contains("let mut g = &mut *m_guard;"), "{after}");
    }

    #[test]
    fn a_loop_that_waits_keeps_its_locks() {
        let text = "fn f(m: &Mutex<u64>) { for h in hs { h.join(); *m.lock().unwrap() += 1; } }";
        assert!(finds(text, "lock-per-item"));
        assert_eq!(fixed(text, "lock-per-item"), None);
    }

    #[test]
    fn a_pattern_is_compiled_once() {
        let text = "fn f(s: &str) -> bool { Regex::new(\"a+\").unwrap().is_match(s) }";
        let after = fixed(text, "regex-compiled").unwrap();
        assert!(after.contains("LazyLock<Regex>"), "{after}");
        let main = "fn main() { let r = Regex::new(\"a\").unwrap(); }";
        assert!(!finds(main, "regex-compiled"));
    }

    #[test]
    fn the_last_clone_goes() {
        let after = fixed("fn f() { let a = v(); g(a.clone()); }", "last-clone").unwrap();
        assert!(after.contains("g(a)"), "{after}");
        assert!(!finds("fn f() { let a = v(); g(a.clone()); h(a); }", "last-clone"));
        assert!(!finds("fn f(a: &V) { g(a.clone()); }", "last-clone"));
        let repeated = "fn f() { let a = v(); for i in 0..9 { g(a.clone()); } }";
        assert!(!finds(repeated, "last-clone"));
    }
}
