//! A list of threads and tasks that wait for a queue to change.
//!
//! | field | owner | access |
//! |---|---|---|
//! | `waiting` | the lock of `list` | count of entries in state `Waiting`; read by anyone |
//! | `list` | the lock | entries linked first in, first out; never locked while nobody waits |
//!
//! A waiter:
//! 1. tries its operation; only when that fails does it
//! 2. lock, append an entry with its waker, raise `waiting`, unlock;
//! 3. fence (SeqCst) and try again. Success takes the entry out.
//!
//! A notifier:
//! 4. changes the queue, fences (SeqCst) and reads `waiting`; zero ends it.
//! 5. lock, mark the first `Waiting` entry `Notified`, lower `waiting`, unlock, wake; at most as
//!    often as there were entries in 4. Later ones come behind those, and see the change by 3: a
//!    waiter that is woken and waits again does not keep its notifier busy.
//!
//! No wake-up is lost: of the fences in 3 and 4 one comes first, so either the waiter's second try
//! sees the change or the notifier sees the waiter. An entry that was `Notified` but whose owner
//! needs it no more (it was dropped, or succeeded by itself) passes the notification on.
//!
//! There are at most as many entries as threads and futures waiting at once; entries are reused.
//! Wakers are cloned, woken and dropped outside the lock, as they run foreign code.

use std::fmt;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::park;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::{Mutex, capacity, hint, thread};

/// Something that threads and tasks wait for.
pub(crate) struct Event {
    waiting: AtomicUsize,
    list: Mutex<List>,
}

impl Event {
    pub(crate) fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), list: Mutex::new(List::new()) }
    }

    /// Wakes up to `count` waiters; the change they wait for has been made.
    #[inline]
    pub(crate) fn notify(&self, count: usize) {
        // Rule 4. The change must not be ordered after the load.
        full_fence();
        let listed = self.waiting.load(Ordering::Relaxed);
        if listed != 0 {
            self.notify_listed(count.min(listed));
        }
    }

    /// Resolves with the first `Some` of `attempt`, trying at once and after each notification.
    pub(crate) fn until<R, F: FnMut() -> Option<R>>(&self, attempt: F) -> Until<'_, F> {
        Until { event: self, attempt, entry: None }
    }

    /// Blocks the thread until `attempt` returns `Some`, spinning for some microseconds first.
    pub(crate) fn block_until<R, F: FnMut() -> Option<R>>(&self, mut attempt: F) -> R {
        for round in 0..SPIN_ROUNDS {
            if let Some(result) = attempt() {
                return result;
            }
            if round >= SPIN_ROUNDS_BUSY {
                thread::yield_now();
                continue;
            }
            // Fewer looks disturb the other side less, and let more than one change gather.
            for _ in 0..SPIN_PAUSES {
                hint::spin_loop();
            }
        }
        park::block_on(self.until(attempt))
    }

    #[cold]
    fn notify_listed(&self, count: usize) {
        for _ in 0..count {
            let Some(waker) = self.locked(List::notify_first) else { return };
            waker.wake();
        }
    }

    /// Runs `change` under the lock and publishes the count of waiting entries.
    fn locked<R>(&self, change: impl FnOnce(&mut List) -> R) -> R {
        // Nothing under this lock panics, so a poisoned list is still whole.
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut list);
        self.waiting.store(list.waiting, Ordering::Relaxed);
        result
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting.load(Ordering::Relaxed);
        f.debug_struct("Event").field("waiting", &waiting).finish_non_exhaustive()
    }
}

/// The future of [`Event::until`].
#[derive(Debug)]
pub(crate) struct Until<'a, F> {
    event: &'a Event,
    attempt: F,
    /// Index of this waiter's entry in the list, while it has one.
    entry: Option<usize>,
}

// `attempt` is never pinned, so the future may move whatever it captured.
impl<F> Unpin for Until<'_, F> {}

impl<R, F: FnMut() -> Option<R>> Future for Until<'_, F> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        this.take_notification();
        if let Some(result) = (this.attempt)() {
            this.leave();
            return Poll::Ready(result);
        }
        this.enter(context.waker());
        // Rule 3. SeqCst: the second attempt must not be ordered before the entry.
        fence(Ordering::SeqCst);
        match (this.attempt)() {
            Some(result) => {
                this.leave();
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

impl<F> Until<'_, F> {
    /// Frees the entry when it was notified: this poll is what the notification was for.
    fn take_notification(&mut self) {
        if let Some(index) = self.entry
            && self.event.locked(|list| list.free_if_notified(index))
        {
            self.entry = None;
        }
    }

    /// Makes sure that there is a waiting entry and that it wakes `waker`.
    ///
    /// An entry notified since this poll began is replaced: the attempt that follows is what that
    /// notification asked for.
    fn enter(&mut self, waker: &Waker) {
        let waker = waker.clone();
        let (index, replaced) = self.event.locked(|list| match self.entry {
            Some(index) if !list.free_if_notified(index) => (index, list.replace(index, waker)),
            _ => (list.append(waker), None),
        });
        self.entry = Some(index);
        drop(replaced);
    }

    /// Takes the entry out; a notification that it already had goes to the next waiter.
    fn leave(&mut self) {
        let Some(index) = self.entry.take() else { return };
        match self.event.locked(|list| list.remove(index)) {
            Some(waker) => drop(waker),
            None => self.event.notify(1),
        }
    }
}

impl<F> Drop for Until<'_, F> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Entries in a slab; those in state `Waiting` are linked in the order of their arrival.
struct List {
    entries: Vec<Entry>,
    first: usize,
    last: usize,
    free: usize,
    /// Count of entries in state `Waiting`.
    waiting: usize,
}

enum Entry {
    Free { next: usize },
    Waiting { waker: Waker, before: usize, after: usize },
    Notified,
}

impl List {
    const fn new() -> Self {
        Self { entries: Vec::new(), first: NONE, last: NONE, free: NONE, waiting: 0 }
    }

    fn append(&mut self, waker: Waker) -> usize {
        let entry = Entry::Waiting { waker, before: self.last, after: NONE };
        let index = match self.entries.get(self.free) {
            Some(Entry::Free { next }) => {
                let index = std::mem::replace(&mut self.free, *next);
                self.entries[index] = entry;
                index
            }
            _ => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        match self.entries.get_mut(self.last) {
            Some(Entry::Waiting { after, .. }) => *after = index,
            _ => self.first = index,
        }
        self.last = index;
        self.waiting += 1;
        index
    }

    /// Gives a waiting entry another waker and returns the one not needed any more.
    fn replace(&mut self, index: usize, waker: Waker) -> Option<Waker> {
        match &mut self.entries[index] {
            Entry::Waiting { waker: old, .. } => Some(std::mem::replace(old, waker)),
            Entry::Free { .. } | Entry::Notified => Some(waker),
        }
    }

    /// Marks the entry that waits longest as notified and returns its waker.
    fn notify_first(&mut self) -> Option<Waker> {
        self.unlink(self.first)
    }

    fn free_if_notified(&mut self, index: usize) -> bool {
        let notified = matches!(self.entries[index], Entry::Notified);
        if notified {
            self.release(index);
        }
        notified
    }

    /// Frees the entry and returns its waker; `None` when it had been notified.
    fn remove(&mut self, index: usize) -> Option<Waker> {
        let waker = self.unlink(index);
        self.release(index);
        waker
    }

    fn release(&mut self, index: usize) {
        self.entries[index] = Entry::Free { next: self.free };
        self.free = index;
    }

    /// Takes a waiting entry out of the order and leaves it `Notified`; `None` when it did not
    /// wait.
    fn unlink(&mut self, index: usize) -> Option<Waker> {
        let entry = self.entries.get_mut(index)?;
        let Entry::Waiting { before, after, .. } = *entry else { return None };
        let Entry::Waiting { waker, .. } = std::mem::replace(entry, Entry::Notified) else {
            unreachable!("matched just above")
        };
        match self.entries.get_mut(before) {
            Some(Entry::Waiting { after: link, .. }) => *link = after,
            _ => self.first = after,
        }
        match self.entries.get_mut(after) {
            Some(Entry::Waiting { before: link, .. }) => *link = before,
            _ => self.last = before,
        }
        self.waiting -= 1;
        Some(waker)
    }
}

/// A SeqCst fence.
///
/// On x86-64 any locked instruction is one, in half the time that `mfence` takes. It is written in
/// assembly, which the compiler moves no access across; an atomic of our own it might leave out.
#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
#[inline(always)]
fn full_fence() {
    // SAFETY: it writes back, unchanged, a word of this thread's own stack.
    unsafe { std::arch::asm!("lock or dword ptr [rsp], 0") };
}

#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
#[inline(always)]
fn full_fence() {
    fence(Ordering::SeqCst);
}

/// The index that no entry has.
const NONE: usize = usize::MAX;

/// Attempts before a thread sleeps, and how many of them only pause the processor.
const SPIN_ROUNDS: u32 = capacity(16, 0) as u32;
const SPIN_ROUNDS_BUSY: u32 = 12;

/// Pauses between two attempts: of 40-140 cycles each, so 0.3-1 us in all.
///
/// Looking takes cache lines away from the other side: a consumer that looked after each pause
/// halved the rate of a publisher. The busy part as a whole lasts 3-11 us, about what a sleep
/// costs.
const SPIN_PAUSES: u32 = 16;

#[cfg(all(test, not(any(loom, shuttle))))]
mod reentry {
    use std::sync::{Arc, Weak};
    use std::task::Wake;

    use super::*;

    /// Waits again as soon as it is woken, while there are rounds left.
    struct Restless {
        /// Weak, because the event's list holds this waker.
        event: Weak<Event>,
        rounds: AtomicUsize,
    }

    impl Wake for Restless {
        fn wake(self: Arc<Self>) {
            let take = |rounds: usize| rounds.checked_sub(1);
            let left = self.rounds.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            if left.is_ok() {
                let event = self.event.upgrade().expect("the test holds the event");
                event.locked(|list| list.append(Arc::clone(&self).into()));
            }
        }
    }

    #[test]
    fn a_notification_of_all_is_for_those_who_waited_when_it_began() {
        let event = Arc::new(Event::new());
        let restless =
            Arc::new(Restless { event: Arc::downgrade(&event), rounds: AtomicUsize::new(100) });
        for _ in 0..3 {
            event.locked(|list| list.append(Arc::clone(&restless).into()));
        }
        event.notify(usize::MAX);
        assert_eq!(restless.rounds.load(Ordering::Relaxed), 97);
        assert_eq!(event.waiting.load(Ordering::Relaxed), 3);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::thread;

    use super::*;
    use crate::sync::Arc;

    /// The least that can be waited for: a count of permits, taken one at a time.
    struct Permits {
        count: AtomicUsize,
        event: Event,
    }

    impl Permits {
        fn give(&self, count: usize) {
            self.count.fetch_add(count, Ordering::Release);
            self.event.notify(count);
        }

        fn take(&self) -> Option<()> {
            let take = |count: usize| count.checked_sub(1);
            self.count.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).ok().map(|_| ())
        }

        fn wait(&self) {
            self.event.block_until(|| self.take());
        }

        fn cancelled_wait(&self) -> bool {
            let mut waiting = self.event.until(|| self.take());
            Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }
    }

    /// Runs `scenario` with permits that two other threads wait for, one each.
    fn check(scenario: impl Fn(&Permits) + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound.get_or_insert(3);
        model.check(move || {
            let permits = Arc::new(Permits { count: AtomicUsize::new(0), event: Event::new() });
            let waiting: Vec<_> = (0..2)
                .map(|_| {
                    let permits = Arc::clone(&permits);
                    thread::spawn(move || permits.wait())
                })
                .collect();
            scenario(&permits);
            for thread in waiting {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn two_notifications_wake_two_waiters() {
        check(|permits| {
            permits.give(1);
            permits.give(1);
        });
    }

    #[test]
    fn one_notification_of_two_wakes_two_waiters() {
        check(|permits| permits.give(2));
    }

    #[test]
    fn a_waiter_that_goes_away_passes_its_notification_on() {
        check(|permits| {
            permits.give(1);
            let taken = permits.cancelled_wait();
            permits.give(1 + usize::from(taken));
        });
    }
}
