//! Dropping the values of a queue one by one, whatever their drops do.

/// Calls `pop` until it answers `None`, and goes on doing so when the drop of a value panics.
///
/// The first panic reaches the caller after every value is gone; a second one during that unwinding
/// aborts, as it does for a `Vec`.
pub(crate) fn drain<T, F: FnMut() -> Option<T>>(pop: F) {
    let mut rest = Rest(pop);
    while let Some(value) = (rest.0)() {
        drop(value);
    }
}

struct Rest<T, F: FnMut() -> Option<T>>(F);

impl<T, F: FnMut() -> Option<T>> Drop for Rest<T, F> {
    fn drop(&mut self) {
        while let Some(value) = (self.0)() {
            drop(value);
        }
    }
}
