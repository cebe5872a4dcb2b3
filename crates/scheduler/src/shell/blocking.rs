//! A closure on a thread that may block, seen as a future.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::executor::Executor;

pub(super) struct Blocking<C, T> {
    executor: Arc<dyn Executor>,
    closure: Option<C>,
    place: Arc<Mutex<Place<T>>>,
}

struct Place<T> {
    result: Option<std::thread::Result<T>>,
    waker: Option<Waker>,
}

impl<C, T> Blocking<C, T> {
    pub(super) fn new(executor: Arc<dyn Executor>, closure: C) -> Self {
        let place = Arc::new(Mutex::new(Place { result: None, waker: None }));
        Self { executor, closure: Some(closure), place }
    }
}

// Nothing in it is pinned: the closure is moved out before it is called.
impl<C, T> Unpin for Blocking<C, T> {}

impl<C, T> Future for Blocking<C, T>
where
    C: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        {
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            match place.result.take() {
                Some(Ok(value)) => return Poll::Ready(value),
                Some(Err(panic)) => {
                    drop(place);
                    resume_unwind(panic)
                }
                None => place.waker = Some(context.waker().clone()),
            }
        }
        if let Some(closure) = self.closure.take() {
            let place = Arc::clone(&self.place);
            self.executor.spawn_blocking(Box::new(move || {
                let result = catch_unwind(AssertUnwindSafe(closure));
                let waker = {
                    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                    place.result = Some(result);
                    place.waker.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            }));
        }
        Poll::Pending
    }
}
