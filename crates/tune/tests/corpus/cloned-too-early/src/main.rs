//! Planted: strings cloned and then dropped (clippy::iter_overeager_cloned). Decoy: ten of them.

fn main() {
    let words: Vec<String> =
        (0..3_000).map(|i| format!("a word that is long enough {i}")).collect();
    let mut total = 0;
    for _ in 0..60 {
        total += last_long(&words);
    }
    println!("{total} {}", some_long(&words[..10]));
}

#[inline(never)]
fn last_long(words: &[String]) -> usize {
    words.iter().cloned().filter(|word| word.len() > 29).count()
}

fn some_long(words: &[String]) -> usize {
    words.iter().cloned().filter(|word| word.len() > 29).count()
}

#[test]
fn long_words_are_counted() {
    let words = ["a".to_owned(), "b".repeat(40)];
    assert_eq!((last_long(&words), some_long(&words)), (1, 1));
}
