//! Planted: a list used as a queue. Decoy: the front of a list of four, removed once a run.

fn main() {
    println!("{} {}", rounds(12_000), first_of(4));
}

fn rounds(players: u64) -> u64 {
    let mut waiting: Vec<u64> = Vec::new();
    for player in 0..players {
        waiting.push(player);
    }
    let mut last = 0;
    while !waiting.is_empty() {
        last = waiting.remove(0);
        if last % 3 == 1 {
            waiting.push(last + 1);
        }
    }
    last
}

fn first_of(count: u64) -> u64 {
    let mut few: Vec<u64> = (0..count).collect();
    let mut sum = 0;
    while few.len() > 1 {
        sum += few.remove(0);
    }
    sum
}

#[test]
fn the_last_player_is_known() {
    assert_eq!(rounds(1), 0);
    assert_eq!(rounds(2), 2);
    assert_eq!(first_of(4), 3);
}
