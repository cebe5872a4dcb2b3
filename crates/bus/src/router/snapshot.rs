//! A list that is read as a whole and replaced as a whole.
//!
//! Built plainly it is `arc-swap`: reading costs about ten nanoseconds and never waits. That crate
//! uses the standard library's atomics, which loom cannot see; so a model has a lock here instead,
//! and proves the router's protocol above it, not `arc-swap`.

use std::ops::Deref;

use crate::sync::Arc;

#[cfg(not(loom))]
pub(super) struct Snapshot<T>(arc_swap::ArcSwap<T>);

#[cfg(not(loom))]
impl<T> Snapshot<T> {
    pub(super) fn new(value: T) -> Self {
        Self(arc_swap::ArcSwap::from_pointee(value))
    }

    /// Returns the value of now, for a short use.
    #[inline]
    pub(super) fn load(&self) -> impl Deref<Target = Arc<T>> + use<T> {
        self.0.load()
    }

    pub(super) fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

#[cfg(loom)]
pub(super) struct Snapshot<T>(crate::sync::Mutex<Arc<T>>);

#[cfg(loom)]
impl<T> Snapshot<T> {
    pub(super) fn new(value: T) -> Self {
        Self(crate::sync::Mutex::new(Arc::new(value)))
    }

    pub(super) fn load(&self) -> impl Deref<Target = Arc<T>> + use<T> {
        Box::new(Arc::clone(&self.0.lock().expect("a model stops at the first panic")))
    }

    pub(super) fn store(&self, value: T) {
        let old = {
            let mut place = self.0.lock().expect("a model stops at the first panic");
            std::mem::replace(&mut *place, Arc::new(value))
        };
        drop(old);
    }
}
