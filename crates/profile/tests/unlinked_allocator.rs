//! In a process with another allocator, a promise about allocations is refused.

use std::panic::catch_unwind;

use tidemill_profile::allocations::{assert_no_alloc, is_installed};

#[test]
fn nothing_is_proven_where_nothing_is_counted() {
    assert!(!is_installed());
    let panic = catch_unwind(|| assert_no_alloc(|| ())).expect_err("nothing is counted");
    let message = panic.downcast_ref::<&str>().expect("a plain message");
    assert!(message.contains("is not the global allocator"), "{message}");
}
