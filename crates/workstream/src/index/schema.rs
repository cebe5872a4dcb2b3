//! What a document holds.
//!
//! | field | of a task | of a memory entry |
//! |---|---|---|
//! | `subject` (stored) | `t` and the identity | `m` and `scope/key` |
//! | `kind` | `task` | `memory` |
//! | `title` | title | scope and key |
//! | `body`, `comment` | body, comments | value, nothing |
//! | `text` | title, body, comments, labels | scope, key, value |
//! | `label`, `status`, `priority`, `role`, `assignee` | exact, lower case | nothing |
//!
//! Words are runs of letters and digits, in lower case, accents folded, up to 64 bytes. A word
//! without a field is looked up in `text` alone, so that one list of postings answers it; `title`
//! adds to the score.

use tantivy::schema::{
    Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer,
};

/// The fields of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) subject: Field,
    pub(super) kind: Field,
    pub(super) title: Field,
    pub(super) body: Field,
    pub(super) comment: Field,
    pub(super) text: Field,
    pub(super) label: Field,
    pub(super) status: Field,
    pub(super) priority: Field,
    pub(super) role: Field,
    pub(super) assignee: Field,
}

/// Returns the schema and its fields.
pub(super) fn schema() -> (Schema, Fields) {
    let words = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(WORDS)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions),
    );
    let mut builder = Schema::builder();
    let fields = Fields {
        subject: builder.add_text_field("subject", STRING | STORED),
        kind: builder.add_text_field("kind", STRING),
        title: builder.add_text_field("title", words.clone()),
        body: builder.add_text_field("body", words.clone()),
        comment: builder.add_text_field("comment", words.clone()),
        text: builder.add_text_field("text", words),
        label: builder.add_text_field("label", STRING),
        status: builder.add_text_field("status", STRING),
        priority: builder.add_text_field("priority", STRING),
        role: builder.add_text_field("role", STRING),
        assignee: builder.add_text_field("assignee", STRING),
    };
    (builder.build(), fields)
}

/// Returns what cuts texts into words.
pub(super) fn words() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// The name of [`words`] in the index.
pub(super) const WORDS: &str = "words";
/// Another one makes every index be built anew.
pub(super) const VERSION: u64 = 1;

const WORD_BYTES_MAX: usize = 64;
