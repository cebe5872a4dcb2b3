//! Files and standard output that are used piece by piece.

use super::View;
use super::facts::{Bytes, Local};
use crate::find::{Edit, Finding};

/// A file that is written or read in a loop without a buffer.
pub(super) fn unbuffered_io(view: &View<'_>) -> Vec<Finding> {
    view.facts
        .locals
        .iter()
        .filter(|local| local.type_head == "File" && local.value.is_some())
        .filter_map(|local| unbuffered(view, local))
        .collect()
}

fn unbuffered(view: &View<'_>, local: &Local) -> Option<Finding> {
    let facts = view.facts;
    let scope = local.statement.end..facts.body.end;
    let written = facts
        .macros
        .iter()
        .filter(|call| ["write", "writeln"].contains(&call.name.as_str()))
        .filter(|call| call.args.first().is_some_and(|to| is_name(view.text(to), &local.name)))
        .map(|call| (&call.whole, call.in_loop));
    let written = written.chain(
        facts
            .calls_on(&local.name, &scope)
            .filter(|call| ["write", "write_all"].contains(&call.name.as_str()))
            .map(|call| (&call.whole, call.in_loop)),
    );
    let writes: Vec<(&Bytes, usize)> = written
        .filter_map(|(place, in_loop)| Some((place, facts.loop_outside(in_loop, local)?)))
        .collect();
    let value = local.value.as_ref()?;
    let text = view.text(value);
    if let Some(&(place, around)) = writes.first() {
        let message = format!("each write to `{}` is a system call", local.name);
        // What is buffered is written where errors can still be told.
        let flush = format!("std::io::Write::flush(&mut {})", local.name);
        let flush = if text.contains('?') {
            format!("{flush}?;")
        } else {
            format!("{flush}.expect(\"cannot write a file\");")
        };
        let edits = vec![
            view.replace(value, format!("std::io::BufWriter::new({text})")),
            view.behind(&facts.loops[around].statement, &flush),
        ];
        let finding = view.finding("unbuffered-io", place, message);
        return Some(finding.fixed_by("put a buffer before the file", edits));
    }
    let read = facts
        .calls_on(&local.name, &scope)
        .filter(|call| ["read", "read_exact"].contains(&call.name.as_str()))
        .find(|call| facts.loop_outside(call.in_loop, local).is_some())?;
    let edits = vec![view.replace(value, format!("std::io::BufReader::new({text})"))];
    let message = format!("each read of `{}` is a system call", local.name);
    let finding = view.finding("unbuffered-io", &read.whole, message);
    Some(finding.fixed_by("put a buffer behind the file", edits))
}

/// Standard output that is locked and flushed for each line.
pub(super) fn print_in_loop(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let prints: Vec<_> = facts
        .macros
        .iter()
        .filter(|call| ["print", "println"].contains(&call.name.as_str()))
        .filter_map(|call| Some((call, outermost(view, call.in_loop?))))
        .collect();
    let Some(&(first, around)) = prints.first() else { return Vec::new() };
    let message = "standard output is locked, and a line written, for each item";
    let finding = view.finding("print-in-loop", &first.whole, message);
    if !facts.awaits.is_empty() {
        return vec![finding];
    }
    let statement = &facts.loops[around].statement;
    let mut edits: Vec<Edit> = prints
        .iter()
        .filter(|(_, other)| *other == around)
        .map(|(call, _)| {
            let whole = view.text(&call.whole);
            let args = whole.split_once('!').map_or("", |(_, args)| args.trim());
            let args = args.get(1..args.len().saturating_sub(1)).unwrap_or_default();
            let comma = if args.trim().is_empty() { "" } else { ", " };
            let name = if call.name == "print" { "write" } else { "writeln" };
            let text = format!("{name}!(locked_output{comma}{args}).expect(\"{BROKEN}\")");
            view.replace(&call.whole, text)
        })
        .collect();
    edits.push(view.before(
        statement,
        "use std::io::Write as _;\nlet mut locked_output = \
         std::io::BufWriter::new(std::io::stdout().lock());",
    ));
    let flush = format!("locked_output.flush().expect(\"{BROKEN}\");");
    edits.push(view.behind(statement, &flush));
    vec![finding.fixed_by("lock standard output once and buffer it", edits)]
}

fn outermost(view: &View<'_>, in_loop: usize) -> usize {
    std::iter::successors(Some(in_loop), |&index| view.facts.loops[index].outer)
        .last()
        .unwrap_or(in_loop)
}

fn is_name(text: &str, name: &str) -> bool {
    text.trim_start_matches("&mut ").trim() == name
}

/// What `println!` panics with, in other words.
const BROKEN: &str = "cannot write to standard output";

#[cfg(test)]
mod tests {
    use crate::find::rules::{finds, fixed};

    #[test]
    fn a_file_written_in_a_loop_gets_a_buffer_and_a_flush() {
        let text = "fn f() -> R { let mut f = File::create(p)?; for i in 0..9 { \
                    writeln!(f, \"{i}\")?; } Ok(()) }";
        let after = fixed(text, "unbuffered-io").unwrap();
        assert!(after.contains("BufWriter::new(File::create(p)?)"), "{after}");
        assert!(after.contains("std::io::Write::flush(&mut f)?;"), "{after}");
    }

    #[test]
    fn a_file_written_once_is_left_alone() {
        assert!(!finds(
            "fn f() { let mut f = File::create(p)?; f.write_all(b)?; }",
            "unbuffered-io"
        ));
    }

    #[test]
    fn a_file_read_in_a_loop_gets_a_buffer() {
        let text = "fn f() { let mut f = File::open(p)?; loop { f.read_exact(&mut b)?; } }";
        assert!(fixed(text, "unbuffered-io").unwrap().contains("BufReader::new(File::open(p)?)"));
    }

    #[test]
    fn printing_in_a_loop_locks_once() {
        let after =
            fixed("fn f() { for i in 0..9 { println!(\"{}\", i); println!(); } }", "print-in-loop")
                .unwrap();
        assert!(after.contains("writeln!(locked_output, \"{}\", i).expect("), "{after}");
        assert!(after.contains("writeln!(locked_output).expect("), "{after}");
    }
}
