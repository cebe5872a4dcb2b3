//! Planted: SipHash on integer keys. Decoy: a map whose order is printed, so a fix changes it.

use std::collections::HashMap;

fn main() {
    println!("{}", collisions(600_000));
    for (key, value) in &sample(60_000) {
        if value % 20_000 == 1 {
            println!("{key} {value}");
        }
    }
}

fn collisions(count: u64) -> u64 {
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let mut collisions = 0;
    for i in 0..count {
        let entry = seen.entry(i.wrapping_mul(i) % 4_093).or_insert(0);
        *entry += 1;
        collisions += u64::from(*entry > 1);
    }
    collisions
}

fn sample(count: u64) -> std::collections::BTreeMap<u64, u64> {
    let mut last: HashMap<u64, u64> = HashMap::new();
    for i in 0..count {
        last.insert(i % 97, i);
    }
    let order: Vec<u64> = last.keys().copied().collect();
    order.iter().take(3).map(|key| (*key, last[key].min(1))).collect()
}

#[test]
fn collisions_are_counted() {
    assert_eq!(collisions(2), 0);
    assert_eq!(sample(1).len(), 1);
}
