//! A task in the making.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::blocking;
use super::cell::Cell;
use super::handle::Handle;
use super::inbox::Entry;
use super::job::{BoxJob, Callback, Control, Once, Repeated, drop_job};
use super::shared::Shared;
use super::token::CancelToken;
use crate::core::{Class, Priority, Record, Rejection, Retry, Spec, TaskId};

/// A task in the making: what is asked for, then one of the `submit` methods.
#[must_use = "nothing happens before it is submitted"]
pub struct Task<'a> {
    shared: &'a Arc<Shared>,
    spec: Spec,
    /// Nothing but priority and class is asked for: the quick way is open.
    is_plain: bool,
    token: Option<CancelToken>,
    callback: Option<Callback>,
}

impl<'a> Task<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>) -> Self {
        Self { shared, spec: Spec::default(), is_plain: true, token: None, callback: None }
    }

    /// Sets how urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.spec.priority = priority;
        self
    }

    /// Sets what kind of work it is.
    pub fn class(mut self, class: Class) -> Self {
        self.spec.class = class;
        self
    }

    /// Puts it before tasks of its priority that have no deadline or a later one: this long from
    /// now. Passing the deadline has no other effect.
    pub fn deadline(mut self, within: Duration) -> Self {
        self.spec.deadline = Some(self.shared.clock.now() + within);
        self.with()
    }

    /// Has it wait this long first.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.spec.not_before = Some(self.shared.clock.now() + delay);
        self.with()
    }

    /// Limits how long an attempt may run; it is broken off then.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.spec.timeout = Some(timeout);
        self.with()
    }

    /// Has it wait until this task has completed.
    pub fn after(mut self, on: TaskId) -> Self {
        self.spec.after.push(on);
        self.with()
    }

    /// Refuses it while another with the same key is known.
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.spec.key = Some(key.into());
        self.with()
    }

    /// Gives it time to stop by itself: it looks at this token, which is cancelled first.
    pub fn token(mut self, token: CancelToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Calls this with what became of it. A panic in it is counted and goes no further.
    pub fn on_end(mut self, callback: impl FnOnce(&Record) + Send + 'static) -> Self {
        self.callback = Some(Box::new(callback));
        self
    }

    /// Submits a future; what it returns, it completes with.
    ///
    /// # Errors
    ///
    /// When it is not taken; the future is dropped then.
    pub fn submit<F>(self, future: F) -> Result<Handle<F::Output>, Rejection>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.send(false, |cell, control| Box::pin(Once { future: Some(future), cell, control }))
    }

    /// Submits a closure that may block. It is given a token to look at: a closure cannot be
    /// broken off, so one that does not look runs to its end, and holds its slot until then.
    ///
    /// # Errors
    ///
    /// When it is not taken.
    pub fn submit_blocking<T, C>(mut self, closure: C) -> Result<Handle<T>, Rejection>
    where
        T: Send + 'static,
        C: FnOnce(CancelToken) -> T + Send + 'static,
    {
        let token = self.token.get_or_insert_default().clone();
        let executor = Arc::clone(&self.shared.executor);
        let future = blocking::Blocking::new(executor, move || closure(token));
        self.send(true, |cell, control| Box::pin(Once { future: Some(future), cell, control }))
    }

    /// Submits what makes a future for each attempt, and fails when the last one returned an
    /// error, panicked or timed out.
    ///
    /// # Errors
    ///
    /// When it is not taken.
    pub fn submit_retrying<M, F, T, E>(
        mut self,
        retry: Retry,
        make: M,
    ) -> Result<Handle<T>, Rejection>
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: fmt::Display + 'static,
    {
        self.spec.retry = retry;
        self.with()
            .send(false, |cell, control| Box::pin(Repeated { make, future: None, cell, control }))
    }

    /// Submits what makes a future for each beat, `every` so long from begin to begin, until it is
    /// cancelled. Beats that an attempt is late for are left out; an error is the record's reason
    /// until the next beat.
    ///
    /// # Errors
    ///
    /// When it is not taken.
    pub fn submit_periodic<M, F, E>(
        mut self,
        every: Duration,
        make: M,
    ) -> Result<Handle<()>, Rejection>
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + 'static,
    {
        self.spec.every = Some(every);
        self.submit_retrying(Retry::never(), make)
    }

    fn with(mut self) -> Self {
        self.is_plain = false;
        self
    }

    fn send<T>(
        self,
        is_closure: bool,
        job: impl FnOnce(Arc<Cell<T>>, Option<Arc<Control>>) -> BoxJob,
    ) -> Result<Handle<T>, Rejection> {
        let Self { shared, spec, is_plain, token, callback } = self;
        if callback.is_some() {
            shared.expect_callbacks();
        }
        let control = (token.is_some() || callback.is_some())
            .then(|| Arc::new(Control::new(token, is_closure, callback)));
        let cell = Arc::new(Cell::new());
        let job = job(Arc::clone(&cell), control);
        let refused = if is_plain {
            let (priority, class) = (spec.priority, spec.class);
            let submitted = shared.clock.now();
            shared.submit_plain(Entry { job, submitted, priority, class }).err()
        } else {
            shared.submit(&spec, job).err()
        };
        match refused {
            None => Ok(Handle { cell, shared: Arc::clone(shared) }),
            Some((rejection, job)) => {
                drop_job(job);
                Err(rejection)
            }
        }
    }
}

impl fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("spec", &self.spec).finish_non_exhaustive()
    }
}
