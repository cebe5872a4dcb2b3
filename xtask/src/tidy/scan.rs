//! Splits Rust text into code, comments and string literals without parsing it.
//!
//! Each character belongs to exactly one of the three. `code` and `comments` are as long as the
//! text, line by line, with a space wherever a character belongs elsewhere, so that a position
//! found in one is a position in the file. Known: nested block comments, escapes, raw, byte and C
//! strings, character literals next to lifetimes, raw identifiers. Never fails: text that does not
//! compile gives some split, and the compiler reports it anyway.

/// A file's text, taken apart.
#[derive(Debug)]
pub(crate) struct Scan {
    /// What the compiler acts on; strings, characters and comments are blank.
    pub(crate) code: String,
    /// Comments with their slashes; everything else is blank.
    pub(crate) comments: String,
    /// Contents of the string literals as written, each with the line on which it begins.
    pub(crate) strings: Vec<(usize, String)>,
}

impl Scan {
    /// Takes `text` apart in one pass.
    pub(crate) fn new(text: &str) -> Self {
        let mut scanner = Scanner {
            text: text.chars().collect(),
            at: 0,
            line: 1,
            scan: Self {
                code: String::with_capacity(text.len()),
                comments: String::new(),
                strings: Vec::new(),
            },
        };
        scanner.run();
        scanner.scan
    }
}

/// Yields each identifier-like word of `line` with its column in bytes.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest_at = 0;
    std::iter::from_fn(move || {
        let start = rest_at + line[rest_at..].find(is_word)?;
        let end = line[start..].find(|c| !is_word(c)).map_or(line.len(), |offset| start + offset);
        rest_at = end;
        Some((start, &line[start..end]))
    })
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Scanner {
    text: Vec<char>,
    at: usize,
    line: usize,
    scan: Scan,
}

impl Scanner {
    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('\'', _) => self.quote(),
                _ if is_word(c) => self.word(),
                _ => self.take_code(1),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// Moves one character on and gives it to `code`, to `comments`, or to neither.
    fn take(&mut self, code: bool, comment: bool) {
        let Some(c) = self.peek(0) else { return };
        self.at += 1;
        self.line += usize::from(c == '\n');
        let blank = if c == '\n' { '\n' } else { ' ' };
        self.scan.code.push(if code { c } else { blank });
        self.scan.comments.push(if comment { c } else { blank });
    }

    fn take_code(&mut self, count: usize) {
        for _ in 0..count {
            self.take(true, false);
        }
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.take(false, false);
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(false, true);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('*')) => {
                    depth += 1;
                    self.take(false, true);
                }
                ('*', Some('/')) => {
                    depth -= 1;
                    self.take(false, true);
                }
                _ => {}
            }
            self.take(false, true);
            if depth == 0 {
                return;
            }
        }
    }

    /// A string with escapes; the cursor stands on its opening quote.
    fn string(&mut self) {
        let line = self.line;
        self.skip(1);
        let mut content = String::new();
        while let Some(c) = self.peek(0) {
            if c == '"' {
                self.skip(1);
                break;
            }
            content.push(c);
            if c == '\\' {
                content.extend(self.peek(1));
                self.skip(1);
            }
            self.skip(1);
        }
        self.scan.strings.push((line, content));
    }

    /// A raw string; the cursor stands on the first `#` or on the quote.
    fn raw_string(&mut self, hashes: usize) {
        let line = self.line;
        self.skip(hashes + 1);
        let mut content = String::new();
        while let Some(c) = self.peek(0) {
            if c == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.skip(hashes + 1);
                break;
            }
            content.push(c);
            self.skip(1);
        }
        self.scan.strings.push((line, content));
    }

    /// A character literal, or the tick of a lifetime or label.
    fn quote(&mut self) {
        match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.skip(3); // the tick, the backslash and what it escapes
                while self.peek(0).is_some_and(|c| c != '\'' && c != '\n') {
                    self.skip(1);
                }
                self.skip(1);
            }
            (Some(_), Some('\'')) => self.skip(3),
            _ => self.take_code(1),
        }
    }

    /// An identifier, keyword or number, or the prefix of a raw string.
    fn word(&mut self) {
        let length = self.text[self.at..].iter().take_while(|c| is_word(**c)).count();
        let word: String = self.text[self.at..self.at + length].iter().collect();
        self.take_code(length);
        if matches!(word.as_str(), "r" | "br" | "cr") {
            let hashes = self.text[self.at..].iter().take_while(|c| **c == '#').count();
            if self.peek(hashes) == Some('"') {
                self.raw_string(hashes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the code that is left, and the strings that were taken out.
    #[track_caller]
    fn check(text: &str, code: &str, strings: &[&str]) {
        let scan = Scan::new(text);
        assert_eq!(scan.code.split_whitespace().collect::<Vec<_>>().join(" "), code, "{text}");
        let found: Vec<&str> = scan.strings.iter().map(|(_, string)| string.as_str()).collect();
        assert_eq!(found, strings, "{text}");
        assert_eq!(scan.code.chars().count(), text.chars().count(), "{text}");
        assert_eq!(scan.comments.lines().count(), text.lines().count(), "{text}");
    }

    #[test]
    fn comments_are_blank() {
        check("a // unsafe \" b\nc", "a c", &[]);
        check("a /* x /* unsafe */ y */ b", "a b", &[]);
        check("a /* never closed", "a", &[]);
    }

    #[test]
    fn strings_are_blank() {
        check(r#"f("un\"safe // no", b"x")"#, "f( , b )", &[r#"un\"safe // no"#, "x"]);
        check("f(\"two\nlines\") g", "f( ) g", &["two\nlines"]);
        check("\"ends in a backslash \\\\\" unsafe", "unsafe", &["ends in a backslash \\\\"]);
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        check(
            r##"r#"a " unsafe \"# + br"\" + r"" x"##,
            "r + br + r x",
            &[r#"a " unsafe \"#, "\\", ""],
        );
        check("r#unsafe + r", "r#unsafe + r", &[]);
    }

    #[test]
    fn ticks_are_characters_or_lifetimes() {
        check("'\"' 'a' '\\'' '\\u{41}' b'\"' x", "b x", &[]);
        check(
            "fn f<'a>(x: &'a str, y: &'static str) {}",
            "fn f<'a>(x: &'a str, y: &'static str) {}",
            &[],
        );
        check("'outer: loop { break 'outer; }", "'outer: loop { break 'outer; }", &[]);
    }

    #[test]
    fn strings_know_their_line() {
        let scan = Scan::new("//! head\n\nlet a = \"x\";\nlet b = r\"y\";\n");
        assert_eq!(scan.strings, [(3, "x".to_owned()), (4, "y".to_owned())]);
        assert_eq!(scan.comments.lines().next(), Some("//! head"));
    }

    #[test]
    fn words_are_whole() {
        let found: Vec<_> = words("x.unsafe_code(unsafe)").map(|(_, word)| word).collect();
        assert_eq!(found, ["x", "unsafe_code", "unsafe"]);
        assert_eq!(words("  é_1+").next(), Some((2, "é_1")));
    }
}
