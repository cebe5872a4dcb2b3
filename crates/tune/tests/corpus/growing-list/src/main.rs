//! Planted: a list searched before each push. Decoy: a list of three kept in order.

fn main() {
    let words: Vec<String> = (0..12_000_u64).map(|i| format!("w{}", i * i % 3_001)).collect();
    println!("{} {}", distinct(&words).len(), levels(&words).join(" "));
}

fn distinct(words: &[String]) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for word in words {
        if !seen.contains(word) {
            seen.push(word.clone());
        }
    }
    seen
}

fn levels(words: &[String]) -> Vec<String> {
    let mut levels: Vec<String> = Vec::new();
    for word in words.iter().take(3) {
        if !levels.contains(word) {
            levels.push(word.clone());
        }
    }
    levels
}

#[test]
fn each_word_is_there_once() {
    let words = ["a", "b", "a"].map(str::to_owned);
    assert_eq!(distinct(&words), ["a", "b"]);
    assert_eq!(levels(&words), ["a", "b"]);
}
