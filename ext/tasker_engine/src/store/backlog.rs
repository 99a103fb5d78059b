//! Owns: what waits in a store, by queue.

use std::sync::Arc;

use crate::clock::Micros;

/// What waits in the store, and who is there to do it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Tasks with a step that is enqueued or waits for a retry.
    pub tasks_active: usize,
    /// Workers whose lease has not run out.
    pub workers: usize,
    /// The queues: one for each namespace, by name.
    pub queues: Vec<Queue>,
}

/// A namespace's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The namespace.
    pub namespace: Arc<str>,
    /// Enqueued steps.
    pub steps: usize,
    /// Since when the longest waiting of them waits.
    pub oldest: Option<Micros>,
}

impl Backlog {
    /// Enqueued steps of all queues.
    pub fn steps_enqueued(&self) -> usize {
        self.queues.iter().map(|queue| queue.steps).sum()
    }

    /// Since when the longest waiting of them waits.
    pub fn oldest(&self) -> Option<Micros> {
        self.queues.iter().filter_map(|queue| queue.oldest).min()
    }
}
