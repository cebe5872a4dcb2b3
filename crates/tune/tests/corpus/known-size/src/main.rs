//! Planted: lists that grow to a size that is known. Decoy: an empty list, made often.

fn main() {
    let mut total = 0;
    for round in 0..4_000_u64 {
        total += squares(500, round).len() + rare(round).len();
    }
    println!("{total}");
}

#[inline(never)]
fn squares(count: u64, seed: u64) -> Vec<[u64; 4]> {
    let mut all = Vec::new();
    for i in 0..count {
        all.push([i, seed, i ^ seed, 1]);
    }
    all
}

#[inline(never)]
fn rare(round: u64) -> Vec<u64> {
    let mut few = Vec::new();
    for i in 0..(round % 2) {
        few.push(i);
    }
    few
}

#[test]
fn squares_are_as_many_as_asked() {
    assert_eq!(squares(3, 1).len(), 3);
    assert_eq!(rare(2).len(), 0);
}
