//! What stops other tasks on the same thread, or piles up without a bound. Told, never fixed: what
//! to do instead is a question of design.

use super::View;
use crate::find::Finding;

/// A guard of a blocking lock that lives across an await.
pub(super) fn lock_across_await(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut findings = Vec::new();
    for local in &facts.locals {
        let Some(value) = &local.value else { continue };
        let text = view.text(value);
        let is_guard = [".lock().unwrap()", ".lock().expect(", ".write().unwrap()"]
            .iter()
            .any(|taken| text.contains(taken));
        if !is_guard {
            continue;
        }
        let dropped = facts
            .calls
            .iter()
            .filter(|call| call.path == "drop" && call.whole.start > local.statement.end)
            .find(|call| call.args.iter().any(|arg| view.text(arg) == local.name))
            .map_or(block_end(view, local.statement.end), |call| call.whole.start);
        let lives = local.statement.end..dropped;
        if facts.awaits.iter().any(|place| lives.contains(&place.start)) {
            let message = format!("`{}` holds a blocking lock across an await", local.name);
            findings.push(view.finding("lock-across-await", &local.statement, message));
        }
    }
    findings
}

/// A call in an async function that blocks the executor's thread.
pub(super) fn blocking_in_async(view: &View<'_>) -> Vec<Finding> {
    if !view.facts.is_async {
        return Vec::new();
    }
    let blocks = |path: &str| {
        let path = path.strip_prefix("std::").unwrap_or(path);
        path == "thread::sleep"
            || path.starts_with("fs::")
            || path.starts_with("reqwest::blocking::")
            || ["File::open", "File::create", "TcpStream::connect"].contains(&path)
    };
    // The same names in an async library are awaited.
    let is_awaited = |end: usize| {
        let rest = view.text.get(end..).unwrap_or_default();
        rest.trim_start().starts_with(".await")
    };
    view.facts
        .calls
        .iter()
        .filter(|call| blocks(&call.path) && !is_awaited(call.whole.end))
        .map(|call| {
            let message = format!("`{}` blocks the thread that runs this task", call.path);
            view.finding("blocking-in-async", &call.whole, message)
        })
        .collect()
}

/// A channel or a crowd of tasks or threads without a bound.
pub(super) fn unbounded(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut findings = Vec::new();
    for call in &facts.calls {
        let last = call.path.rsplit("::").next().unwrap_or_default();
        let is_channel = ["unbounded_channel", "unbounded"].contains(&last)
            || (call.path.ends_with("mpsc::channel") && call.args.is_empty());
        let is_crowd =
            last == "spawn" && call.in_loop.is_some_and(|index| !facts.loops[index].is_closure);
        let message = match (is_channel, is_crowd) {
            (true, _) => "a channel without a bound: a slow reader costs all memory",
            (_, true) => "spawned for each item, without a bound",
            _ => continue,
        };
        findings.push(view.finding("unbounded", &call.whole, message));
    }
    findings
}

/// Returns the end of the innermost block around a place, by counting braces outside of nothing:
/// text in strings and comments that holds lone braces makes the block look longer or shorter.
fn block_end(view: &View<'_>, place: usize) -> usize {
    let rest = view.text.get(place..view.facts.body.end).unwrap_or_default();
    let mut depth = 0_usize;
    for (offset, byte) in rest.bytes().enumerate() {
        match (byte, depth) {
            (b'{', _) => depth += 1,
            (b'}', 0) => return place + offset,
            (b'}', _) => depth -= 1,
            _ => {}
        }
    }
    view.facts.body.end
}

#[cfg(test)]
mod tests {
    use crate::find::rules::finds;

    #[test]
    fn a_guard_across_an_await_is_told() {
        let held = "async fn f() { let g = m.lock().unwrap(); h().await; }";
        assert!(finds(held, "lock-across-await"));
        let dropped = "async fn f() { let g = m.lock().unwrap(); drop(g); h().await; }";
        assert!(!finds(dropped, "lock-across-await"));
        let scoped = "async fn f() { { let g = m.lock().unwrap(); } h().await; }";
        assert!(!finds(scoped, "lock-across-await"));
    }

    #[test]
    fn blocking_calls_in_async_functions_are_told() {
        assert!(finds("async fn f() { std::thread::sleep(d); }", "blocking-in-async"));
        assert!(!finds("async fn f() { fs::read(p).await; }", "blocking-in-async"));
        assert!(!finds("fn f() { std::thread::sleep(d); }", "blocking-in-async"));
    }

    #[test]
    fn channels_and_crowds_without_a_bound_are_told() {
        assert!(finds("fn f() { let c = mpsc::unbounded_channel(); }", "unbounded"));
        assert!(finds("fn f() { for a in b { tokio::spawn(g(a)); } }", "unbounded"));
        assert!(!finds("fn f() { tokio::spawn(g(a)); }", "unbounded"));
    }
}
