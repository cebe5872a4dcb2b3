//! What commands print: documents and tables on stdout, failures on stderr.
//!
//! A reader that went away (`tidemill man | head`) ends the output, not the process.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::{Color, Failure};

/// Where a command's answer goes, and how it looks.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) is_json: bool,
    /// Columns of the terminal; `None` where standard output is none.
    pub(crate) width: Option<usize>,
    is_coloured: bool,
    is_coloured_on_stderr: bool,
}

/// What a piece of text says about its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Head,
    Good,
    Bad,
    Warning,
}

impl Output {
    pub(crate) fn new(color: Color, is_json: bool) -> Self {
        Self {
            is_json,
            width: terminal_width(),
            is_coloured: wants_colour(color, &io::stdout()),
            is_coloured_on_stderr: wants_colour(color, &io::stderr()),
        }
    }

    /// Writes text with a line end to stdout.
    pub(crate) fn line(&self, text: &str) {
        write(&mut io::stdout().lock(), text);
    }

    /// Writes a value as indented JSON to stdout.
    pub(crate) fn json(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).expect("our documents have string keys");
        self.line(&text);
    }

    /// Writes a value as JSON on one line to stdout.
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        let text = serde_json::to_string(value).expect("our documents have string keys");
        self.line(&text);
    }

    /// Writes text to stderr, beside what another program writes to stdout.
    pub(crate) fn aside(&self, text: &str) {
        write(&mut io::stderr().lock(), text);
    }

    /// Writes bytes as they are to stdout.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        // The reader may be gone; there is nobody left to tell.
        let _ = io::stdout().lock().write_all(bytes);
    }

    /// Writes why a command failed to stderr.
    pub(crate) fn failure(&self, failure: &Failure) {
        let message = failure.message();
        let text = match (failure.is_located(), self.is_coloured_on_stderr) {
            (true, _) => message.to_owned(),
            (false, true) => format!("{}error{RESET}: {message}", Tone::Bad.code()),
            (false, false) => format!("error: {message}"),
        };
        write(&mut io::stderr().lock(), &text);
    }

    /// Writes a remark to stderr.
    pub(crate) fn note(&self, text: &str) {
        write(&mut io::stderr().lock(), &format!("note: {text}"));
    }

    /// Returns text in the colour of its tone, where colour is wanted.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if self.is_coloured && tone != Tone::Plain {
            format!("{}{text}{RESET}", tone.code())
        } else {
            text.to_owned()
        }
    }

    /// Returns the rows below their heads as aligned columns, each line after `indent`.
    pub(crate) fn table(
        &self,
        indent: &str,
        heads: &[&str],
        rows: &[Vec<(Tone, String)>],
    ) -> String {
        let width_of = |column: usize| {
            let cells = rows.iter().map(|row| row[column].1.chars().count());
            cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width_of).collect();
        let head: Vec<_> = heads.iter().map(|head| (Tone::Head, (*head).to_owned())).collect();
        let mut lines = Vec::new();
        for row in std::iter::once(&head).chain(rows) {
            let mut line = indent.to_owned();
            for (column, (tone, text)) in row.iter().enumerate() {
                line.push_str(&self.paint(*tone, text));
                if column + 1 < row.len() {
                    line.push_str(&" ".repeat(widths[column] - text.chars().count() + 2));
                }
            }
            lines.push(line.trim_end().to_owned());
        }
        lines.join("\n")
    }
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Warning => "\x1b[33m",
        }
    }
}

/// Returns true when colour is asked for, or not refused and `stream` is a terminal.
pub(crate) fn wants_colour(color: Color, stream: &impl IsTerminal) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => stream.is_terminal() && crate::node::environment("NO_COLOR").is_none(),
    }
}

/// Returns a text that has at most `chars` characters; what is cut off shows as `…`.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    kept.trim_end().to_owned() + "…"
}

/// Returns a count with a comma after every third digit.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

fn write(stream: &mut impl Write, text: &str) {
    // The reader may be gone; there is nobody left to tell.
    let _ = writeln!(stream, "{text}");
}

const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(cut("tide", 4), "tide");
        assert_eq!(cut("tidemill", 5), "tide…");
        assert_eq!(cut("ééé", 2), "é…");
        assert_eq!(cut("a b c", 3), "a…");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let output = Output::new(Color::Never, false);
        let row = |a: &str, b: &str| vec![(Tone::Good, a.to_owned()), (Tone::Plain, b.to_owned())];
        let table = output.table("  ", &["A", "LONG"], &[row("wide", "x"), row("é", "y")]);
        assert_eq!(table, "  A     LONG\n  wide  x\n  é     y");
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        assert_eq!(Output::new(Color::Never, false).paint(Tone::Good, "up"), "up");
        assert_eq!(Output::new(Color::Always, false).paint(Tone::Good, "up"), "\x1b[32mup\x1b[0m");
    }
}
