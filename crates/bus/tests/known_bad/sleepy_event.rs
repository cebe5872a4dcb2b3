//! A wait list without the fences: the waiter looks before its entry is seen, the notifier
//! likewise, and both go to sleep.

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use loom::sync::{Condvar, Mutex};

pub(crate) struct Event {
    ready: AtomicUsize,
    waiting: AtomicBool,
    woken: Mutex<bool>,
    signal: Condvar,
    fences: bool,
}

impl Event {
    pub(crate) fn new(fences: bool) -> Self {
        Self {
            ready: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            woken: Mutex::new(false),
            signal: Condvar::new(),
            fences,
        }
    }

    pub(crate) fn give(&self) {
        self.ready.store(1, Ordering::Release);
        self.fence();
        if self.waiting.load(Ordering::Relaxed) {
            *self.woken.lock().unwrap() = true;
            self.signal.notify_one();
        }
    }

    pub(crate) fn wait(&self) {
        self.waiting.store(true, Ordering::Relaxed);
        self.fence();
        if self.ready.load(Ordering::Acquire) == 1 {
            return;
        }
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.signal.wait(woken).unwrap();
        }
    }

    fn fence(&self) {
        if self.fences {
            fence(Ordering::SeqCst);
        }
    }
}
