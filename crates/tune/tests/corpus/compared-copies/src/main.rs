//! Planted: a string copied to be compared (clippy::cmp_owned). Decoy: one comparison.

fn main() {
    let words: Vec<String> = (0..20_000).map(|i| format!("w{}", i % 10)).collect();
    let mut total = 0;
    for _ in 0..40 {
        total += equal_to(&words, "w3");
    }
    println!("{total} {}", is_three("w3"));
}

#[inline(never)]
fn equal_to(words: &[String], wanted: &str) -> usize {
    words.iter().filter(|word| word.as_str() == wanted.to_string()).count()
}

fn is_three(word: &str) -> bool {
    word == "w3".to_string()
}

#[test]
fn equals_are_counted() {
    assert_eq!(equal_to(&["w3".to_owned(), "w4".to_owned()], "w3"), 1);
    assert!(is_three("w3"));
}
