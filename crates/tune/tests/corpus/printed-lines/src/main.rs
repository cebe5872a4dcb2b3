//! Planted: standard output locked and written for each line. Decoy: three lines at the end.

fn main() {
    print_rows(40_000);
    print_summary(40_000);
}

fn print_rows(count: u64) {
    for row in 0..count {
        println!("{row} {}", row * row);
    }
}

fn print_summary(count: u64) {
    for (name, value) in [("rows", count), ("first", 0), ("last", count - 1)] {
        println!("{name} {value}");
    }
}

#[test]
fn printing_nothing_is_fine() {
    print_rows(0);
    print_summary(1);
}
