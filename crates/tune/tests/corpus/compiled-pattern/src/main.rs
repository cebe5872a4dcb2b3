//! Planted: a pattern compiled for each line. Decoy: another, used once.

use regex::Regex;

fn main() {
    let lines: Vec<String> = (0..1_500).map(|i| format!("user{i}@host{}", i % 7)).collect();
    println!("{} {}", matching(&lines), version("v1.2"));
}

fn matching(lines: &[String]) -> usize {
    let mut count = 0;
    for line in lines {
        let pattern = Regex::new(r"^[a-z]+[0-9]+@host[0-3]$").unwrap();
        if pattern.is_match(line) {
            count += 1;
        }
    }
    count
}

fn version(text: &str) -> bool {
    Regex::new(r"^v[0-9]+").unwrap().is_match(text)
}

#[test]
fn hosts_above_three_do_not_match() {
    assert_eq!(matching(&["a1@host3".to_owned(), "a1@host4".to_owned()]), 1);
    assert!(version("v2"));
}
