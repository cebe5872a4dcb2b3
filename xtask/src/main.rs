//! Tidemill checks and comparisons.
fn main() {}
