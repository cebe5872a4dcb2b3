//! Textbook mistakes that the models must reject: what shows that the models can fail.
//!
//! Each fixture has the right form beside the wrong one where a flag makes the difference, so that
//! it is the mistake that is rejected. Run with `RUSTFLAGS="--cfg loom" cargo test --package
//! tidemill-bus --release --test loom_known_bad`.
#![cfg(loom)]
#![expect(unsafe_code, reason = "the mistakes are in unsafe code")]

#[path = "known_bad/michael_scott.rs"]
mod michael_scott;
#[path = "known_bad/relaxed_ring.rs"]
mod relaxed_ring;
#[path = "known_bad/sleepy_event.rs"]
mod sleepy_event;

use std::panic::catch_unwind;

use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;

/// Returns what the model says against the scenario, if anything.
fn verdict(scenario: impl Fn() + Sync + Send + 'static + std::panic::UnwindSafe) -> Option<String> {
    let panic = catch_unwind(|| loom::model(scenario)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
}

fn ring_scenario(publish: Ordering) -> Option<String> {
    verdict(move || {
        let ring = Arc::new(relaxed_ring::Ring::new(publish));
        let other = Arc::clone(&ring);
        let popping = thread::spawn(move || other.pop());
        assert!(ring.push(7));
        assert!(matches!(popping.join().unwrap(), None | Some(7)));
    })
}

#[test]
fn a_relaxed_publication_is_rejected() {
    let verdict = ring_scenario(Ordering::Relaxed).expect("the model lets a race pass");
    assert!(verdict.contains("Causality violation"), "{verdict}");
    assert_eq!(ring_scenario(Ordering::Release), None);
}

#[test]
fn freeing_the_head_at_once_is_rejected() {
    let verdict = verdict(|| {
        let queue = Arc::new(michael_scott::Queue::new());
        queue.push(1);
        queue.push(2);
        let other = Arc::clone(&queue);
        let popping = thread::spawn(move || other.pop());
        queue.pop();
        popping.join().unwrap();
    });
    let verdict = verdict.expect("the model lets a use after free pass");
    assert!(
        verdict.contains("Causality violation") || verdict.contains("use after free"),
        "{verdict}"
    );
}

fn event_scenario(fences: bool) -> Option<String> {
    verdict(move || {
        let event = Arc::new(sleepy_event::Event::new(fences));
        let other = Arc::clone(&event);
        let giving = thread::spawn(move || other.give());
        event.wait();
        giving.join().unwrap();
    })
}

#[test]
fn a_wait_list_without_fences_is_rejected() {
    let verdict = event_scenario(false).expect("the model lets a lost wake-up pass");
    assert!(verdict.contains("deadlock"), "{verdict}");
    assert_eq!(event_scenario(true), None);
}
