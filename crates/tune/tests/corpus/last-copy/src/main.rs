//! Planted: a clone of what is not used again. Decoy: a clone that a test counts on.

use std::rc::Rc;

fn main() {
    let mut total = 0;
    for round in 0..300 {
        total += sum_of_row(round);
    }
    println!("{total} {}", shared_count());
}

#[inline(never)]
fn sum_of_row(round: u64) -> u64 {
    let row: Vec<String> = (0..200).map(|i| (i * round).to_string()).collect();
    consume(row.clone())
}

#[inline(never)]
fn consume(row: Vec<String>) -> u64 {
    row.iter().map(|text| text.len() as u64).sum()
}

fn shared_count() -> usize {
    let shared = Rc::new(1);
    let other = shared.clone();
    Rc::strong_count(&other)
}

#[test]
fn both_owners_are_counted() {
    assert_eq!(shared_count(), 2);
    assert_eq!(sum_of_row(0), 200);
}
