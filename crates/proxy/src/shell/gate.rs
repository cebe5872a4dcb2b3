//! The connection limit of one proxy, over all workers, with a bounded queue.
//!
//! `active` counts the permits out; `waiting` mirrors the queue's length so that leaving costs one
//! atomic operation while nobody waits. No permit is lost between them: who joins the queue
//! publishes `waiting` and then tries once more; who leaves lowers `active` and then looks at
//! `waiting`. All four are sequentially consistent, so at least one of the two sees the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::signals::{Signal, Signals};

/// Lets a bounded number of connections in, first come, first served.
#[derive(Debug)]
pub(crate) struct Gate {
    active: AtomicU64,
    limit: AtomicU64,
    waiting: AtomicU64,
    queue_limit: AtomicU64,
    queue: Mutex<Queue>,
}

/// Who waits, by the order of arrival.
#[derive(Debug, Default)]
struct Queue {
    places: BTreeMap<u64, Arc<Signals>>,
    next_serial: u64,
}

/// The right to serve one connection; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
}

/// The answer of the gate.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Go on.
    Permit(Permit),
    /// In the queue: wait for [`Signal::Granted`], or leave by dropping the place.
    Waiting(Place),
    /// The queue is full.
    Full,
}

/// A place in the queue; given up on drop.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    serial: u64,
    granted: bool,
}

impl Gate {
    pub(crate) fn new(limit: u32, queue_limit: u32) -> Arc<Self> {
        Arc::new(Self {
            active: AtomicU64::new(0),
            limit: AtomicU64::new(u64::from(limit)),
            waiting: AtomicU64::new(0),
            queue_limit: AtomicU64::new(u64::from(queue_limit)),
            queue: Mutex::default(),
        })
    }

    /// Changes both limits; who is in stays in.
    pub(crate) fn resize(&self, limit: u32, queue_limit: u32) {
        self.limit.store(u64::from(limit), Ordering::SeqCst);
        self.queue_limit.store(u64::from(queue_limit), Ordering::SeqCst);
        self.admit(&mut self.queue());
    }

    /// Asks for a permit on behalf of the task behind `signals`.
    pub(crate) fn enter(self: &Arc<Self>, signals: &Arc<Signals>) -> Entry {
        if self.waiting.load(Ordering::SeqCst) == 0 && self.take() {
            return Entry::Permit(Permit { gate: Arc::clone(self) });
        }
        let mut queue = self.queue();
        if queue.places.is_empty() && self.take() {
            return Entry::Permit(Permit { gate: Arc::clone(self) });
        }
        if queue.places.len() as u64 >= self.queue_limit.load(Ordering::SeqCst) {
            return Entry::Full;
        }
        let serial = queue.next_serial;
        queue.next_serial += 1;
        queue.places.insert(serial, Arc::clone(signals));
        self.waiting.store(queue.places.len() as u64, Ordering::SeqCst);
        self.admit(&mut queue);
        Entry::Waiting(Place { gate: Arc::clone(self), serial, granted: false })
    }

    /// Returns how many connections are inside.
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::SeqCst)
    }

    /// Returns how many connections wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::SeqCst)
    }

    fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        let below = |active| (active < limit).then_some(active + 1);
        self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, below).is_ok()
    }

    fn admit(&self, queue: &mut Queue) {
        while !queue.places.is_empty() && self.take() {
            if let Some((_, signals)) = queue.places.pop_first() {
                signals.raise(Signal::Granted);
            }
        }
        self.waiting.store(queue.places.len() as u64, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.admit(&mut self.queue());
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Turns the place into the permit that was granted for it.
    pub(crate) fn granted(mut self) -> Permit {
        self.granted = true;
        Permit { gate: Arc::clone(&self.gate) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.granted {
            return;
        }
        let mut queue = self.gate.queue();
        if queue.places.remove(&self.serial).is_some() {
            self.gate.waiting.store(queue.places.len() as u64, Ordering::SeqCst);
        } else {
            // Granted between our last look and now: the permit goes to the next.
            drop(queue);
            self.gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(entry: Entry) -> Permit {
        match entry {
            Entry::Permit(permit) => permit,
            other => panic!("wanted a permit, got {other:?}"),
        }
    }

    fn place(entry: Entry) -> Place {
        match entry {
            Entry::Waiting(place) => place,
            other => panic!("wanted a place in the queue, got {other:?}"),
        }
    }

    #[test]
    fn admits_in_order_of_arrival_and_refuses_past_the_queue() {
        let gate = Gate::new(1, 2);
        let [a, b, c, d] = [(); 4].map(|()| Arc::new(Signals::default()));
        let first = permit(gate.enter(&a));
        let second = place(gate.enter(&b));
        let third = place(gate.enter(&c));
        assert!(matches!(gate.enter(&d), Entry::Full));
        assert_eq!((gate.active(), gate.waiting()), (1, 2));

        drop(first);
        assert_eq!((b.take(), c.take()), (Some(Signal::Granted), None));
        let second = second.granted();
        assert_eq!((gate.active(), gate.waiting()), (1, 1));
        drop(second);
        assert_eq!(c.take(), Some(Signal::Granted));
        drop(third.granted());
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
    }

    #[test]
    fn a_place_given_up_after_the_grant_passes_the_permit_on() {
        let gate = Gate::new(1, 2);
        let [a, b, c] = [(); 3].map(|()| Arc::new(Signals::default()));
        let first = permit(gate.enter(&a));
        let second = place(gate.enter(&b));
        let third = place(gate.enter(&c));
        drop(first);
        drop(second);
        assert_eq!(c.take(), Some(Signal::Granted));
        drop(third.granted());
        assert_eq!(gate.active(), 0);
    }

    #[test]
    fn a_raised_limit_admits_who_waits() {
        let gate = Gate::new(1, 2);
        let [a, b] = [(); 2].map(|()| Arc::new(Signals::default()));
        let _first = permit(gate.enter(&a));
        let _second = place(gate.enter(&b));
        gate.resize(2, 2);
        assert_eq!(b.take(), Some(Signal::Granted));
    }

    #[test]
    fn no_permit_is_lost_between_threads() {
        let gate = Gate::new(3, 1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let signals = Arc::new(Signals::default());
                        match gate.enter(&signals) {
                            Entry::Permit(permit) => drop(permit),
                            // Given up at once or after the grant: both must keep the count.
                            Entry::Waiting(place) => drop(place),
                            Entry::Full => panic!("four threads cannot fill the queue"),
                        }
                        assert!(gate.active() <= 3);
                    }
                });
            }
        });
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
    }
}
