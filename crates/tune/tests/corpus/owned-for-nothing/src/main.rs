//! Planted: a list copied to be read (clippy::unnecessary_to_owned). Decoy: a copy of three.

fn main() {
    let row: Vec<u64> = (0..4_000).collect();
    let mut total = 0;
    for _ in 0..4_000 {
        total += largest(&row);
    }
    println!("{total} {}", largest_of_few(&row[..3]));
}

#[inline(never)]
fn largest(row: &[u64]) -> u64 {
    longest(&row.to_vec())
}

fn largest_of_few(row: &[u64]) -> u64 {
    longest(&row.to_vec())
}

#[inline(never)]
fn longest(row: &[u64]) -> u64 {
    row.iter().rev().take(9).copied().max().unwrap_or(0)
}

#[test]
fn the_largest_is_found() {
    assert_eq!((largest(&[1, 2]), largest_of_few(&[2, 1])), (2, 2));
}
