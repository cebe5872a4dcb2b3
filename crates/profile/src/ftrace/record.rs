//! Lines of `trace_pipe`, as records.
//!
//! ```text
//!    comm-with-anything-42  [001] d..2.  1249.765330: sched_switch: prev_comm=a ... next_prio=120
//!                 bash-123  [000] ...1.    12.345678: tcp_v4_connect <-__inet_stream_connect
//! CPU:1 [LOST 123 EVENTS]
//! ```

use serde::Serialize;

/// Something that happened in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Name of the thread, `<...>` when the kernel did not keep it.
    pub comm: String,
    /// Id of the thread.
    pub tid: u32,
    /// The processor it was on.
    pub cpu: u32,
    /// Nanoseconds on the kernel's trace clock, counted since the machine started.
    pub time_ns: u64,
    /// What it was.
    #[serde(flatten)]
    pub content: Content,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Content {
    /// A trace event.
    Event {
        /// Its name, without its group.
        event: String,
        /// Its fields as the kernel prints them.
        text: String,
    },
    /// A function of the kernel was called.
    Function {
        /// Its name.
        function: String,
        /// The function that called it.
        caller: String,
    },
    /// The buffer overwrote records before they were read.
    Lost {
        /// How many.
        count: u64,
    },
}

impl Record {
    /// Reads a line; `None` for headings and for what no kernel writes.
    pub fn parse(line: &str) -> Option<Self> {
        if let Some(lost) = parse_lost(line) {
            return Some(lost);
        }
        // The name may hold anything, also what looks like a processor, so each place is tried.
        line.match_indices(" [").find_map(|(at, _)| Self::parse_at(line, at))
    }

    /// Returns the fields of an event that are written as `name=value`; a value may hold spaces.
    pub fn fields(&self) -> Vec<(&str, &str)> {
        let Content::Event { text, .. } = &self.content else { return Vec::new() };
        let starts: Vec<(usize, usize)> = text
            .match_indices('=')
            .filter_map(|(equals, _)| {
                let head = &text[..equals];
                let start = head.rfind(' ').map_or(0, |space| space + 1);
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                (start < equals && head[start..].chars().all(is_name)).then_some((start, equals))
            })
            .collect();
        let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([text.len()]);
        let field = |((start, equals), end): (&(usize, usize), usize)| {
            let value = text[equals + 1..end].trim().trim_end_matches("==>");
            (&text[*start..*equals], value.trim_end())
        };
        starts.iter().zip(ends).map(field).collect()
    }

    fn parse_at(line: &str, at: usize) -> Option<Self> {
        let (comm, tid) = line[..at].trim().rsplit_once('-')?;
        let (cpu, after) = line[at + 2..].split_once("] ")?;
        let mut words = after.trim_start().splitn(2, ' ');
        let flags = words.next()?;
        let (time, text) = words.next()?.trim_start().split_once(": ")?;
        let time_ns = parse_time(time)?;
        if flags.len() < 4 || cpu.len() < 3 {
            return None;
        }
        let content = match text.split_once(" <-") {
            Some((function, caller)) if !function.contains([' ', ':']) => {
                let caller = caller.trim_end().to_owned();
                Content::Function { function: function.to_owned(), caller }
            }
            _ => {
                let (event, text) = text.split_once(':')?;
                Content::Event { event: event.to_owned(), text: text.trim().to_owned() }
            }
        };
        let (tid, cpu) = (tid.trim().parse().ok()?, cpu.parse().ok()?);
        Some(Self { comm: comm.trim().to_owned(), tid, cpu, time_ns, content })
    }
}

fn parse_lost(line: &str) -> Option<Record> {
    let (cpu, count) = line.trim().strip_prefix("CPU:")?.split_once(" [LOST ")?;
    let count = count.strip_suffix(" EVENTS]")?.parse().ok()?;
    let content = Content::Lost { count };
    Some(Record { comm: String::new(), tid: 0, cpu: cpu.parse().ok()?, time_ns: 0, content })
}

/// Seconds and six or more digits of their parts.
fn parse_time(text: &str) -> Option<u64> {
    let (seconds, parts) = text.split_once('.')?;
    let digits = u32::try_from(parts.len()).ok().filter(|digits| *digits <= 9)?;
    let scale = 10_u64.pow(9 - digits);
    seconds
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(parts.parse::<u64>().ok()?.checked_mul(scale)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_with_their_fields() {
        let line = "           <...>-21      [001] d..2.  1249.765330: sched_switch: \
                    prev_comm=a b prev_pid=21 prev_state=S ==> next_comm=swapper/1 next_pid=0";
        let record = Record::parse(line).expect("an event");
        assert_eq!((record.comm.as_str(), record.tid, record.cpu), ("<...>", 21, 1));
        assert_eq!(record.time_ns, 1_249_765_330_000);
        let want = [
            ("prev_comm", "a b"),
            ("prev_pid", "21"),
            ("prev_state", "S"),
            ("next_comm", "swapper/1"),
            ("next_pid", "0"),
        ];
        assert_eq!(record.fields(), want);
    }

    #[test]
    fn functions_are_read_with_their_callers() {
        let line = "    a [007] x-y-123   [000] ...1.    12.345678: tcp_v4_connect <-__inet_x";
        let record = Record::parse(line).expect("a function");
        assert_eq!((record.comm.as_str(), record.tid), ("a [007] x-y", 123));
        let function = "tcp_v4_connect".to_owned();
        assert_eq!(record.content, Content::Function { function, caller: "__inet_x".to_owned() });
    }

    #[test]
    fn losses_are_read_and_headings_are_not() {
        let lost = Record::parse("CPU:1 [LOST 123 EVENTS]").expect("a loss");
        assert_eq!((lost.cpu, lost.content), (1, Content::Lost { count: 123 }));
        for line in ["", "# tracer: nop", "#  TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION", "a-b"]
        {
            assert_eq!(Record::parse(line), None, "{line}");
        }
    }
}
