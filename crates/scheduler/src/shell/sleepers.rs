//! Tasks of the executor that wait for something to do: workers, the timekeeper, a shutdown.
//!
//! Who sleeps first puts down its waker, then looks for work once more; who brings work first puts
//! it down, then looks for sleepers. Both steps are sequentially consistent, so one of them sees
//! the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

#[derive(Debug, Default)]
pub(super) struct Sleepers {
    count: AtomicUsize,
    list: Mutex<Vec<(usize, Waker)>>,
}

impl Sleepers {
    /// Puts down the waker of the sleeper with this number. Look for work after this.
    pub(super) fn register(&self, number: usize, waker: &Waker) {
        let mut list = self.list();
        match list.iter_mut().find(|(other, _)| *other == number) {
            Some((_, old)) => old.clone_from(waker),
            None => list.push((number, waker.clone())),
        }
        self.count.store(list.len(), Ordering::SeqCst);
    }

    /// Takes the waker back, when it is still there.
    pub(super) fn withdraw(&self, number: usize) {
        let mut list = self.list();
        list.retain(|(other, _)| *other != number);
        self.count.store(list.len(), Ordering::SeqCst);
    }

    /// Wakes who fell asleep last, if anybody sleeps: one load when nobody does.
    pub(super) fn wake_one(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut list = self.list();
            let woken = list.pop();
            self.count.store(list.len(), Ordering::SeqCst);
            woken
        };
        if let Some((_, waker)) = woken {
            waker.wake();
        }
    }

    pub(super) fn wake_all(&self) {
        let woken = {
            let mut list = self.list();
            self.count.store(0, Ordering::SeqCst);
            std::mem::take(&mut *list)
        };
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn list(&self) -> MutexGuard<'_, Vec<(usize, Waker)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
