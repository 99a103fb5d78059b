//! Owns: finished spans between the thread that recorded them and the collector: a bounded queue and
//! the one thread that sends them.
//! Refuses: to make a recording thread wait, and to try for ever: a request that fails is counted,
//! reported and dropped.

mod outgoing;
mod sender;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;

use crate::config::BatchConfig;
use crate::record::counts::SPANS;
use crate::record::spans::Recorded;
pub(super) use outgoing::Outgoing;

/// What may wait in the queue.
pub(super) enum Item {
    /// The engine's or the application's.
    Recorded(Recorded),
    /// A span opened with `tracing`, through the SDK.
    Sdk(Box<SpanData>),
}

impl Item {
    pub(super) fn len(&self) -> usize {
        match self {
            Item::Recorded(recorded) => recorded.len(),
            Item::Sdk(_) => 1,
        }
    }
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Spans in `items`.
    waiting: usize,
    /// When the first of them came.
    since: Option<Instant>,
    /// Spans that the sender has in hand, so that it is worth waking it at `max_batch` in all.
    held: usize,
    /// Every flush takes the next number; the sender writes back the last one it has finished.
    flush_asked: u64,
    flush_done: u64,
    /// Set once: everything must be sent, or given up, by then.
    stop_by: Option<Instant>,
    stopped: bool,
}

/// The bounded queue. Its thread ends with [`SpanQueue::shutdown`].
pub(super) struct SpanQueue {
    pid: u32,
    config: BatchConfig,
    state: Mutex<State>,
    wake: Condvar,
    done: Condvar,
}

impl SpanQueue {
    /// Starts the thread that sends.
    pub(super) fn start(config: BatchConfig, outgoing: Outgoing) -> std::io::Result<Arc<Self>> {
        let queue = Arc::new(SpanQueue {
            pid: std::process::id(),
            config,
            state: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
        });
        let sender = sender::Sender::new(queue.clone(), outgoing);
        std::thread::Builder::new().name("tasker-spans".into()).spawn(move || sender.run())?;
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A forked child inherits the queue without its thread, and perhaps its lock in a locked state.
    fn inherited(&self) -> bool {
        std::process::id() != self.pid
    }

    /// Takes spans in, up to the bound; the rest is dropped and counted. A queue that has been told to
    /// stop gives the item back.
    pub(super) fn push(&self, mut item: Item) -> Option<Item> {
        if self.inherited() {
            return None;
        }
        let mut state = self.lock();
        if state.stop_by.is_some() {
            return Some(item);
        }
        let room = self.config.max_queue.saturating_sub(state.waiting);
        let excess = item.len().saturating_sub(room);
        if excess > 0 {
            SPANS.drop(excess);
            match &mut item {
                Item::Recorded(Recorded::Records(records)) if room > 0 => records.truncate(room),
                _ => return None,
            }
        }
        let before = state.waiting + state.held;
        state.waiting += item.len();
        let full = before < self.config.max_batch && state.waiting + state.held >= self.config.max_batch;
        if state.items.is_empty() {
            state.since = Some(Instant::now());
        }
        state.items.push_back(item);
        drop(state);
        if full {
            self.wake.notify_one();
        }
        None
    }

    /// Sends all that waits, now. `true` when the collector took everything within `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        if self.inherited() {
            return true;
        }
        let lost = SPANS.dropped();
        let mut state = self.lock();
        state.flush_asked += 1;
        let ticket = state.flush_asked;
        self.wake.notify_one();
        let pending = |state: &mut State| state.flush_done < ticket && !state.stopped;
        let (state, waited) =
            self.done.wait_timeout_while(state, timeout, pending).unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !waited.timed_out() && SPANS.dropped() == lost
    }

    /// Sends what waits, gives up at `timeout`, and ends the thread. `true` when nothing was given up.
    pub(super) fn shutdown(&self, timeout: Duration) -> bool {
        if self.inherited() {
            return true;
        }
        let lost = SPANS.dropped();
        let mut state = self.lock();
        state.stop_by.get_or_insert_with(|| Instant::now() + timeout.saturating_sub(sender::MARGIN));
        self.wake.notify_one();
        let (state, waited) = self
            .done
            .wait_timeout_while(state, timeout, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !waited.timed_out() && SPANS.dropped() == lost
    }
}

impl std::fmt::Debug for SpanQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanQueue").field("config", &self.config).finish_non_exhaustive()
    }
}
