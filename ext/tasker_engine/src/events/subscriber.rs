//! Owns: one subscriber in Rust: a bounded queue of its own and a thread that calls it, so that one that is slow, hangs or
//! panics holds up nobody else.

use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex};

use crate::error::{Error, Result};
use crate::event::{DomainEvent, Pattern};
use crate::interrupt::lock;

/// What a subscriber does with an event.
pub(super) type Callback = dyn Fn(&DomainEvent) + Send + Sync;

#[derive(Default)]
struct Queue {
    events: VecDeque<Arc<DomainEvent>>,
    closed: bool,
}

pub(super) struct Subscriber {
    pattern: Pattern,
    capacity: usize,
    queue: Mutex<Queue>,
    ready: Condvar,
}

impl Subscriber {
    /// Starts the thread that calls `callback`. It ends when the subscriber is closed.
    pub(super) fn start(pattern: Pattern, capacity: usize, callback: Box<Callback>) -> Result<Arc<Subscriber>> {
        let subscriber = Arc::new(Subscriber { pattern, capacity, queue: Mutex::default(), ready: Condvar::new() });
        let served = Arc::clone(&subscriber);
        let thread = std::thread::Builder::new().name("tasker-events".into());
        let thread = thread.spawn(move || served.serve(callback.as_ref()));
        thread.map_err(|error| Error::cannot_start("a subscriber's thread", &error))?;
        Ok(subscriber)
    }

    pub(super) fn wants(&self, event: &DomainEvent) -> bool {
        self.pattern.matches(&event.event_name)
    }

    /// Puts an event before it. False: it is full, or closed.
    pub(super) fn offer(&self, event: &Arc<DomainEvent>) -> bool {
        let mut queue = lock(&self.queue);
        if queue.closed || queue.events.len() >= self.capacity {
            return false;
        }
        queue.events.push_back(Arc::clone(event));
        let waits = queue.events.len() == 1;
        drop(queue);
        if waits {
            self.ready.notify_one();
        }
        true
    }

    /// Ends its thread, after the event that it is at.
    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.events.clear();
        drop(queue);
        self.ready.notify_one();
    }

    fn serve(&self, callback: &Callback) {
        while let Some(events) = self.take() {
            for event in events {
                if lock(&self.queue).closed {
                    return;
                }
                if catch_unwind(AssertUnwindSafe(|| callback(&event))).is_err() {
                    tracing::error!(
                        event_id = %event.event_id, event_name = %event.event_name, pattern = self.pattern.as_str(),
                        "A subscriber panicked; it gets the next event all the same"
                    );
                }
            }
        }
    }

    /// All that is there; `None`: it is closed.
    fn take(&self) -> Option<VecDeque<Arc<DomainEvent>>> {
        let mut queue = lock(&self.queue);
        while queue.events.is_empty() && !queue.closed {
            queue = self.ready.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        (!queue.closed).then(|| std::mem::take(&mut queue.events))
    }
}
