//! Waiting for a future on a plain thread: a waker that sets a flag under a lock.
//!
//! | field | owner | access |
//! |---|---|---|
//! | `woken` | the lock | a waker sets it; the thread sleeps on `signal` till it can take it |
//!
//! 1. The thread polls the future; on `Pending` it sleeps until `woken` is set, and takes it.
//! 2. A waker sets `woken` under the lock, then signals. Set between 1's poll and its sleep, it
//!    ends the sleep at once; so no wake-up is lost.
//!
//! The waker of a thread is made once per thread and kept, so that waiting allocates nothing. It is
//! not `thread::park`, whose token foreign code on the same thread could take.

use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{Condvar, Mutex};

/// Runs `future` to its end on this thread, which sleeps while the future is pending.
pub(crate) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    with_parker(|parker, waker| {
        let mut context = Context::from_waker(waker);
        loop {
            if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut context) {
                return output;
            }
            parker.wait();
        }
    })
}

struct Parker {
    woken: Mutex<bool>,
    signal: Condvar,
}

impl Parker {
    fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { woken: Mutex::new(false), signal: Condvar::new() })
    }

    fn wait(&self) {
        // Nothing panics under this lock, so a poisoned flag is still right.
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !std::mem::take(&mut *woken) {
            woken = self.signal.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Wake for Parker {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.signal.notify_one();
    }
}

#[cfg(not(any(loom, shuttle)))]
fn with_parker<R>(run: impl FnOnce(&Parker, &Waker) -> R) -> R {
    std::thread_local! {
        static PARKER: (std::sync::Arc<Parker>, Waker) = {
            let parker = Parker::new();
            (std::sync::Arc::clone(&parker), Waker::from(parker))
        };
    }
    let mut run = Some(run);
    let kept = PARKER.try_with(|(parker, waker)| {
        let run = run.take().expect("called once");
        run(parker, waker)
    });
    match (kept, run) {
        (Ok(result), _) => result,
        // The thread is ending and its locals are gone: make a waker for this one wait.
        (Err(_), run) => {
            let parker = Parker::new();
            let waker = Waker::from(std::sync::Arc::clone(&parker));
            run.expect("not called, as the local was gone")(&parker, &waker)
        }
    }
}

// A model's threads share one real thread, so nothing may be kept in its locals.
#[cfg(any(loom, shuttle))]
fn with_parker<R>(run: impl FnOnce(&Parker, &Waker) -> R) -> R {
    let parker = Parker::new();
    let waker = Waker::from(std::sync::Arc::clone(&parker));
    run(&parker, &waker)
}
