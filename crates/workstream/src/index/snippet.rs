//! The place of a match: a piece of text with the words that were looked for in `<b>`.
//!
//! The piece is the stretch of 30 words with the most distinct matches, the first of equals. It is
//! HTML: the text is escaped, and `<b>` is the only element.

use std::ops::Range;

use tantivy::tokenizer::TextAnalyzer;

use super::query::Marks;

/// Returns the best piece of a text; empty when nothing of it is looked for.
pub(super) fn snippet(text: &str, marks: &Marks, words: &mut TextAnalyzer) -> String {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    let mut places: Vec<Range<usize>> = Vec::new();
    let mut matches: Vec<(usize, usize)> = Vec::new();
    let mut stream = words.token_stream(text);
    while let Some(token) = stream.next() {
        if let Some(which) = marks.which(&token.text) {
            matches.push((places.len(), which));
        }
        places.push(token.offset_from..token.offset_to);
    }
    let Some(window) = best_window(&matches, places.len()) else { return String::new() };
    let (from, to) = (places[window.start].start, places[window.end - 1].end);
    let mut html = String::new();
    if window.start > 0 {
        html.push('…');
    }
    let mut done = from;
    for (place, _) in matches.iter().filter(|(place, _)| window.contains(place)) {
        let place = &places[*place];
        escape(&text[done..place.start], &mut html);
        html.push_str("<b>");
        escape(&text[place.clone()], &mut html);
        html.push_str("</b>");
        done = place.end;
    }
    escape(&text[done..to], &mut html);
    if window.end < places.len() {
        html.push('…');
    }
    html
}

impl Marks {
    /// Returns which of the marks a word is.
    fn which(&self, word: &str) -> Option<usize> {
        let whole = self.words.iter().position(|mark| mark == word);
        whole.or_else(|| {
            let begins = self.beginnings.iter().position(|mark| word.starts_with(mark.as_str()));
            begins.map(|place| self.words.len() + place)
        })
    }
}

fn best_window(matches: &[(usize, usize)], words: usize) -> Option<Range<usize>> {
    let mut best: Option<(usize, usize)> = None;
    for (index, (place, _)) in matches.iter().enumerate() {
        let mut distinct: Vec<usize> = matches[index..]
            .iter()
            .take_while(|(other, _)| *other < place + WINDOW_WORDS - LEAD_WORDS)
            .map(|(_, which)| *which)
            .collect();
        distinct.sort_unstable();
        distinct.dedup();
        if best.is_none_or(|(count, _)| distinct.len() > count) {
            best = Some((distinct.len(), *place));
        }
    }
    let (_, place) = best?;
    let start = place.saturating_sub(LEAD_WORDS);
    Some(start..words.min(start + WINDOW_WORDS))
}

fn escape(text: &str, html: &mut String) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\n' | '\r' | '\t' => html.push(' '),
            other => html.push(other),
        }
    }
}

const WINDOW_WORDS: usize = 30;
const LEAD_WORDS: usize = 5;
const TEXT_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::schema;

    fn marks() -> Marks {
        Marks { words: vec!["mill".to_owned()], beginnings: vec!["tid".to_owned()] }
    }

    #[test]
    fn matches_are_marked_and_text_is_escaped() {
        let html = snippet("A <b>Tide</b> & its mill.", &marks(), &mut schema::words());
        assert_eq!(html, "A &lt;b&gt;<b>Tide</b>&lt;/b&gt; &amp; its <b>mill</b>");
        assert_eq!(snippet("nothing here", &marks(), &mut schema::words()), "");
    }

    #[test]
    fn the_densest_piece_is_shown() {
        let text = format!("tide {}tide mill {}", "x ".repeat(60), "y ".repeat(60));
        let html = snippet(&text, &marks(), &mut schema::words());
        assert!(html.starts_with("…x x x x x <b>tide</b> <b>mill</b> y"), "{html}");
        assert!(html.ends_with("y…"), "{html}");
    }
}
