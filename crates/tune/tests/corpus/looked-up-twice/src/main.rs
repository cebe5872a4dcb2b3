//! Planted: a map asked twice for each item (clippy::map_entry). Decoy: the same for three items.

use std::collections::HashMap;

fn main() {
    let words: Vec<String> = (0..60_000_u64).map(|i| format!("w{}", i)).collect();
    println!("{} {}", first_places(&words).len(), first_letters(&words[..3]).len());
}

fn first_places(words: &[String]) -> HashMap<&str, usize> {
    let mut places = HashMap::new();
    for (place, word) in words.iter().enumerate() {
        if !places.contains_key(word.as_str()) {
            places.insert(word.as_str(), place);
        }
    }
    places
}

fn first_letters(words: &[String]) -> HashMap<char, usize> {
    let mut letters = HashMap::new();
    for (place, word) in words.iter().enumerate() {
        let letter = word.chars().next().unwrap_or(' ');
        if !letters.contains_key(&letter) {
            letters.insert(letter, place);
        }
    }
    letters
}

#[test]
fn the_first_place_stays() {
    let words = ["a", "b", "a"].map(str::to_owned);
    assert_eq!(first_places(&words)["a"], 0);
    assert_eq!(first_letters(&words)[&'a'], 0);
}
