//! From what a person types to a query. Never fails: what has no meaning is searched for as words.
//!
//! ```text
//! search  = group ("OR" group)*
//! group   = clause+                       all of them
//! clause  = ["-"] [field ":"] (word ["*"] | '"' phrase '"')
//! ```
//!
//! At most 32 clauses count. A word that the tokenizer cuts in pieces (`tide-mill`) is a phrase.

use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, InvertedIndexRangeQuery, Occur, PhrasePrefixQuery,
    PhraseQuery, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::TextAnalyzer;

use std::ops::Bound;

use super::schema::Fields;

/// A search, understood.
pub(super) struct Parsed {
    /// The query; `None` when nothing is looked for.
    pub(super) query: Option<Box<dyn Query>>,
    /// What to mark in a snippet.
    pub(super) marks: Marks,
}

/// Words to mark.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) words: Vec<String>,
    pub(super) beginnings: Vec<String>,
}

/// Reads a search. With `is_last_word_open`, the last word may be the beginning of one.
pub(super) fn parse(
    text: &str,
    is_last_word_open: bool,
    fields: &Fields,
    words: &mut TextAnalyzer,
) -> Parsed {
    let mut clauses = split(text);
    clauses.truncate(CLAUSES_MAX);
    if is_last_word_open
        && let Some(Clause::Match { is_phrase: false, is_open, .. }) = clauses.last_mut()
    {
        *is_open = !text.ends_with(char::is_whitespace);
    }
    let mut marks = Marks::default();
    let mut groups = vec![Vec::new()];
    for clause in clauses {
        match clause {
            Clause::Or => groups.push(Vec::new()),
            Clause::Match { is_negated, field, text, is_open, .. } => {
                let mut builder = Builder { fields, words, marks: &mut marks };
                let Some(query) = builder.query(field, &text, is_open, is_negated) else {
                    continue;
                };
                let occur = if is_negated { Occur::MustNot } else { Occur::Must };
                groups.last_mut().expect("there is one from the start").push((occur, query));
            }
        }
    }
    let mut queries: Vec<Box<dyn Query>> = Vec::new();
    for mut group in groups.into_iter().filter(|group| !group.is_empty()) {
        if group.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            group.push((Occur::Must, Box::new(AllQuery)));
        }
        queries.push(Box::new(BooleanQuery::new(group)));
    }
    let query = match queries.len() {
        0 | 1 => queries.pop(),
        _ => Some(Box::new(BooleanQuery::union(queries)) as Box<dyn Query>),
    };
    Parsed { query, marks }
}

#[derive(Debug, PartialEq, Eq)]
enum Clause {
    Or,
    Match { is_negated: bool, field: Option<String>, text: String, is_phrase: bool, is_open: bool },
}

fn split(text: &str) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let negated = rest.strip_prefix('-').filter(|rest| !rest.starts_with(char::is_whitespace));
        let is_negated = negated.is_some();
        rest = negated.unwrap_or(rest);
        let word_end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
        let mut field = None;
        if let Some(colon) = rest[..word_end].find(':')
            && FIELDS.contains(&&rest[..colon])
            && colon + 1 < rest.len()
        {
            field = Some(rest[..colon].to_owned());
            rest = &rest[colon + 1..];
        }
        let (text, is_phrase, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').unwrap_or(quoted.len());
                (&quoted[..end], true, quoted.get(end + 1..).unwrap_or_default())
            }
            None => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '"');
                let end = end.unwrap_or(rest.len());
                (&rest[..end], false, &rest[end..])
            }
        };
        rest = after.trim_start();
        if text == "OR" && !is_phrase && field.is_none() {
            clauses.push(Clause::Or);
            continue;
        }
        let (text, is_open) = match text.strip_suffix('*') {
            Some(beginning) if !is_phrase => (beginning, true),
            _ => (text, false),
        };
        let text = text.to_owned();
        clauses.push(Clause::Match { is_negated, field, text, is_phrase, is_open });
    }
    clauses
}

struct Builder<'a> {
    fields: &'a Fields,
    words: &'a mut TextAnalyzer,
    marks: &'a mut Marks,
}

impl Builder<'_> {
    fn query(
        &mut self,
        field: Option<String>,
        text: &str,
        is_open: bool,
        is_negated: bool,
    ) -> Option<Box<dyn Query>> {
        let fields = self.fields;
        let exact = match field.as_deref() {
            Some("label") => Some(fields.label),
            Some("status") => Some(fields.status),
            Some("priority") => Some(fields.priority),
            Some("role") => Some(fields.role),
            Some("assignee") => Some(fields.assignee),
            _ => None,
        };
        if let Some(exact) = exact {
            let text = text.to_lowercase();
            return match is_open {
                true => Some(beginning(exact, &text)),
                false if text.is_empty() => None,
                false => Some(term(exact, &text)),
            };
        }
        let words = cut(self.words, text);
        if words.is_empty() {
            return None;
        }
        if !is_negated {
            self.mark(&words, is_open);
        }
        Some(match field.as_deref() {
            Some("title" | "key") => in_field(fields.title, &words, is_open),
            Some("body") => in_field(fields.body, &words, is_open),
            Some("comment") => in_field(fields.comment, &words, is_open),
            _ => {
                let anywhere = in_field(fields.text, &words, is_open);
                let title = in_field(fields.title, &words, is_open);
                let title: Box<dyn Query> = Box::new(BoostQuery::new(title, TITLE_BOOST));
                Box::new(BooleanQuery::new(vec![(Occur::Must, anywhere), (Occur::Should, title)]))
            }
        })
    }

    fn mark(&mut self, words: &[String], is_open: bool) {
        let (last, whole) = words.split_last().expect("a clause without words is no query");
        self.marks.words.extend_from_slice(whole);
        let marks = if is_open { &mut self.marks.beginnings } else { &mut self.marks.words };
        marks.push(last.clone());
    }
}

/// Cuts a text into words.
pub(super) fn cut(words: &mut TextAnalyzer, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut stream = words.token_stream(text);
    while let Some(token) = stream.next() {
        found.push(token.text.clone());
    }
    found
}

fn in_field(field: Field, words: &[String], is_open: bool) -> Box<dyn Query> {
    let terms = || words.iter().map(|word| Term::from_field_text(field, word)).collect();
    match (words, is_open) {
        ([word], false) => term(field, word),
        ([word], true) => beginning(field, word),
        (_, false) => Box::new(PhraseQuery::new(terms())),
        (_, true) => Box::new(PhrasePrefixQuery::new(terms())),
    }
}

fn term(field: Field, word: &str) -> Box<dyn Query> {
    let term = Term::from_field_text(field, word);
    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
}

/// Everything from the beginning itself up to what follows all words that begin so. No word holds
/// the last character of Unicode.
fn beginning(field: Field, text: &str) -> Box<dyn Query> {
    let from = Term::from_field_text(field, text);
    let to = Term::from_field_text(field, &format!("{text}{}", char::MAX));
    Box::new(InvertedIndexRangeQuery::new(Bound::Included(from), Bound::Excluded(to)))
}

const FIELDS: [&str; 9] =
    ["title", "body", "comment", "label", "key", "status", "priority", "role", "assignee"];
const CLAUSES_MAX: usize = 32;
const TITLE_BOOST: f32 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(is_negated: bool, field: Option<&str>, text: &str, how: char) -> Clause {
        Clause::Match {
            is_negated,
            field: field.map(str::to_owned),
            text: text.to_owned(),
            is_phrase: how == '"',
            is_open: how == '*',
        }
    }

    #[test]
    fn what_is_typed_is_cut_into_clauses() {
        assert_eq!(
            split(r#"tide title:mill* -"high water" OR status:done"#),
            [
                clause(false, None, "tide", ' '),
                clause(false, Some("title"), "mill", '*'),
                clause(true, None, "high water", '"'),
                Clause::Or,
                clause(false, Some("status"), "done", ' '),
            ]
        );
    }

    #[test]
    fn what_has_no_meaning_is_words() {
        assert_eq!(split("http://x"), [clause(false, None, "http://x", ' ')]);
        assert_eq!(split("- a"), [clause(false, None, "-", ' '), clause(false, None, "a", ' ')]);
        assert_eq!(split("title:"), [clause(false, None, "title:", ' ')]);
        assert_eq!(split("\"open"), [clause(false, None, "open", '"')]);
        assert_eq!(split("  "), []);
    }
}
