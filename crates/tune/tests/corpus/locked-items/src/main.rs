//! Planted: a mutex locked for each item. Decoy: a lock around work that takes far longer.

use std::sync::Mutex;

fn main() {
    let sum = Mutex::new(0_u64);
    let sums = Mutex::new(Vec::new());
    add_all(&sum, 1_500_000);
    work_all(&sums, 3);
    println!("{} {}", sum.into_inner().unwrap_or(0), sums.into_inner().unwrap_or_default().len());
}

#[inline(never)]
fn add_all(sum: &Mutex<u64>, count: u64) {
    for i in 0..count {
        *sum.lock().unwrap() += i ^ (i >> 3);
    }
}

#[inline(never)]
fn work_all(sums: &Mutex<Vec<u64>>, count: u64) {
    for i in 0..count {
        let value = (0..75_000_u64).fold(i, |a, b| a.wrapping_mul(31) ^ b);
        sums.lock().unwrap().push(value);
    }
}

#[test]
fn sums_add_up() {
    let sum = Mutex::new(0);
    add_all(&sum, 4);
    assert_eq!(sum.into_inner().unwrap(), 6);
}
