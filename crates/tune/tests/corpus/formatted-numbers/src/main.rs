//! Planted: `format!` for a number that can turn itself into text. Decoy: the same, once.

fn main() {
    println!("{} {}", digits(400_000), label(7));
}

fn digits(count: u64) -> usize {
    let mut length = 0;
    for i in 0..count {
        let text = format!("{}", i * 1_000_003);
        length += text.len();
    }
    length
}

fn label(number: u64) -> String {
    format!("{}", number)
}

#[test]
fn digits_are_counted() {
    assert_eq!(digits(1), 1);
    assert_eq!(label(12), "12");
}
