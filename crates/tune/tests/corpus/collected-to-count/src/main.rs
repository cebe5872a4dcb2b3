//! Planted: a list collected to be counted (clippy::needless_collect). Decoy: five items.

fn main() {
    let mut total = 0;
    for round in 0..300 {
        total += matching(20_000, round);
    }
    println!("{total} {}", few(5));
}

#[inline(never)]
fn matching(count: u64, round: u64) -> usize {
    let found = (0..count).filter(|i| (i ^ round) % 3 == 0).collect::<Vec<_>>();
    found.len()
}

fn few(count: u64) -> usize {
    (0..count).filter(|i| i % 2 == 0).collect::<Vec<_>>().len()
}

#[test]
fn matches_are_counted() {
    assert_eq!(matching(3, 0), 1);
    assert_eq!(few(5), 3);
}
