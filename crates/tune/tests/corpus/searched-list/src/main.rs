//! Planted: a list searched for each item. Decoy: the same search in cold code.

fn main() {
    let known: Vec<u64> = (0..5_000).map(|i| i * 7 % 9_001).collect();
    println!("{} {}", count_known(&known), count_few(&known));
}

fn count_known(known: &[u64]) -> usize {
    let mut count = 0;
    for i in 0..12_000_u64 {
        if known.contains(&i) {
            count += 1;
        }
    }
    count
}

fn count_few(known: &[u64]) -> usize {
    (0..3_u64).filter(|i| known.contains(i)).count()
}

#[test]
fn nothing_is_known_of_nothing() {
    assert_eq!((count_known(&[]), count_few(&[])), (0, 0));
}
