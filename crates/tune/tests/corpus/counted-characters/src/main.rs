//! Planted: characters counted from the start for each index. Decoy: the first character alone.

fn main() {
    let text: String =
        (0..9_000_u32).map(|i| char::from_u32(0x3b1 + i % 24).unwrap_or('x')).collect();
    println!("{} {}", changes(&text), first(&text));
}

fn changes(text: &str) -> usize {
    let length = text.chars().count();
    let mut count = 0;
    for i in 1..length {
        if text.chars().nth(i) != text.chars().nth(i / 2) {
            count += 1;
        }
    }
    count
}

fn first(text: &str) -> char {
    let mut found = ' ';
    for i in 0..1 {
        found = text.chars().nth(i).unwrap_or(found);
    }
    found
}

#[test]
fn changes_are_counted() {
    assert_eq!(changes("aab"), 1);
    assert_eq!(first("b"), 'b');
}
