//! A program to be sampled: burns processor time in named functions, on as many threads as asked.
//!
//! `busy MILLISECONDS [THREADS]`. Built by the tests as a release without frame pointers.

use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let time = Duration::from_millis(numbers.next().expect("milliseconds"));
    let threads = numbers.next().unwrap_or(1);
    let others: Vec<_> = (1..threads)
        .map(|index| {
            let thread = std::thread::Builder::new().name(format!("helper-{index}"));
            thread.spawn(move || burn(time)).expect("a thread")
        })
        .collect();
    burn(time);
    for other in others {
        other.join().expect("no panic");
    }
}

#[inline(never)]
fn burn(time: Duration) {
    let end = Instant::now() + time;
    let mut sum = 0;
    while Instant::now() < end {
        sum = black_box(sum ^ descend(30, sum));
        sum = black_box(sum ^ sorted(sum));
    }
}

/// Deep enough that a wrong rule anywhere loses the root.
#[inline(never)]
fn descend(depth: u32, seed: u64) -> u64 {
    let scratch = black_box([seed; 16]);
    if depth == 0 {
        return scratch.iter().fold(seed, |sum, value| mixed(sum ^ value));
    }
    descend(depth - 1, mixed(seed)) ^ scratch[(seed % 16) as usize]
}

/// Time in the standard library and the allocator, whose callers must not be lost.
#[inline(never)]
fn sorted(seed: u64) -> u64 {
    let mut list: Vec<u64> = (0..2000).map(|index| mixed(seed ^ index)).collect();
    list.sort_unstable_by_key(|value| value.to_string());
    list[1000]
}

#[inline(always)]
fn mixed(value: u64) -> u64 {
    let mut value = value;
    for _ in 0..20 {
        value = (value ^ (value >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    value
}
