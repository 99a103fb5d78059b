//! Owns: the thread that empties the queue. A request leaves when it is full, when its oldest span
//! has waited long enough, and when somebody flushes. A few requests may be under way at once, so that a
//! distant collector costs latency, not throughput. After a failure it pauses, and the queue fills.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Item, Outgoing, SpanQueue};
use crate::export::client::{Failure, Pending};
use crate::export::complaints;
use crate::record::counts::SPANS;
use crate::record::spans::Recorded;

/// The thread gives up so long before the bound of a shutdown, to be seen to have ended within it.
pub(super) const MARGIN: Duration = Duration::from_millis(200);
/// Requests under way at once.
const MAX_IN_FLIGHT: usize = 4;

pub(super) struct Sender {
    queue: Arc<SpanQueue>,
    outgoing: Outgoing,
    in_flight: VecDeque<(Pending, usize)>,
    /// When what is outgoing must leave.
    leave_by: Option<Instant>,
    /// Until when nothing is sent, after a failure.
    paused_until: Option<Instant>,
    stop_by: Option<Instant>,
    dropped_before: u64,
}

/// What the queue wants done now.
struct Work {
    items: VecDeque<Item>,
    /// Send even a request that is not full, and wait for the answers: this flush is answered then.
    flush: Option<u64>,
    stop: bool,
}

impl Sender {
    pub(super) fn new(queue: Arc<SpanQueue>, outgoing: Outgoing) -> Sender {
        Sender {
            queue,
            outgoing,
            in_flight: VecDeque::new(),
            leave_by: None,
            paused_until: None,
            stop_by: None,
            dropped_before: SPANS.dropped(),
        }
    }

    pub(super) fn run(mut self) {
        // What this thread and its libraries log about exporting must not become telemetry.
        let _quiet = opentelemetry::Context::enter_telemetry_suppressed_scope();
        loop {
            let work = self.next();
            for item in work.items {
                self.take(item);
            }
            let due = self.leave_by.is_some_and(|by| by <= Instant::now());
            if due || work.flush.is_some() || work.stop {
                self.send();
            }
            let settle_all = work.flush.is_some() || work.stop;
            while !self.in_flight.is_empty() && (settle_all || self.front_is_ready()) {
                self.settle_front();
            }
            if SPANS.dropped() > self.dropped_before {
                self.dropped_before = SPANS.dropped();
                complaints::spans_dropped(self.outgoing.endpoint());
            }
            self.report(work.flush, work.stop);
            if work.stop {
                return;
            }
        }
    }

    /// Waits for a full request, for the time to send one that is not, for a flush or for the end.
    fn next(&mut self) -> Work {
        let queue = self.queue.clone();
        let mut state = queue.lock();
        state.held = self.outgoing.count();
        loop {
            self.stop_by = state.stop_by;
            let stop = state.stop_by.is_some();
            let flush = (state.flush_asked > state.flush_done).then_some(state.flush_asked);
            let now = Instant::now();
            let paused = self.paused_until.is_some_and(|until| until > now);
            let full = state.waiting + state.held >= queue.config.max_batch;
            if self.leave_by.is_none() {
                self.leave_by = state.since.map(|since| since + queue.config.delay);
            }
            let due = self.leave_by.is_some_and(|by| by <= now);
            if stop || flush.is_some() || (!paused && (full || due)) {
                state.waiting = 0;
                state.since = None;
                return Work { items: std::mem::take(&mut state.items), flush, stop };
            }
            let until = if paused { self.paused_until } else { self.leave_by };
            let wait = until.map_or(queue.config.delay, |until| until.saturating_duration_since(now));
            let waited = queue.wake.wait_timeout(state, wait.max(Duration::from_millis(1)));
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Recorded(Recorded::Records(records)) => {
                for record in records {
                    self.outgoing.record(record);
                    self.send_if_full();
                }
            }
            Item::Recorded(Recorded::Own(record)) => {
                self.outgoing.own(*record);
                self.send_if_full();
            }
            Item::Sdk(span) => {
                self.outgoing.sdk(*span);
                self.send_if_full();
            }
        }
    }

    fn send_if_full(&mut self) {
        if self.outgoing.count() >= self.queue.config.max_batch || self.outgoing.is_large() {
            self.send();
        } else if self.leave_by.is_none() {
            self.leave_by = Some(Instant::now() + self.queue.config.delay);
        }
    }

    fn send(&mut self) {
        self.leave_by = None;
        if self.outgoing.count() == 0 {
            return;
        }
        while self.in_flight.len() >= MAX_IN_FLIGHT {
            self.settle_front();
        }
        if self.time_left() == Some(Duration::ZERO) {
            SPANS.drop(self.outgoing.clear());
            return;
        }
        self.in_flight.extend(self.outgoing.send());
    }

    /// Until the bound of a shutdown; `None` while nobody stops.
    fn time_left(&mut self) -> Option<Duration> {
        if self.stop_by.is_none() {
            self.stop_by = self.queue.lock().stop_by;
        }
        self.stop_by.map(|by| by.saturating_duration_since(Instant::now()))
    }

    fn front_is_ready(&mut self) -> bool {
        self.in_flight.front_mut().is_some_and(|(pending, _)| pending.is_ready())
    }

    fn settle_front(&mut self) {
        let Some((mut pending, count)) = self.in_flight.pop_front() else { return };
        // In slices, so that a shutdown that begins meanwhile still keeps its bound.
        let outcome = loop {
            let slice = self.time_left().map_or(MARGIN, |left| left.min(MARGIN));
            match pending.wait(slice) {
                Some(outcome) => break outcome,
                None if self.time_left() == Some(Duration::ZERO) => {
                    break Err(Failure::Failed("no answer before shutdown".into()))
                }
                None => {}
            }
        };
        match outcome {
            Ok(refused) => {
                let refused = usize::try_from(refused).unwrap_or(count).min(count);
                SPANS.drop(refused);
                SPANS.export(count - refused);
            }
            Err(_) => {
                SPANS.drop(count);
                self.paused_until = Some(Instant::now() + self.queue.config.delay);
            }
        }
    }

    fn report(&mut self, flush: Option<u64>, stop: bool) {
        let mut state = self.queue.lock();
        if let Some(ticket) = flush {
            state.flush_done = ticket;
        }
        if stop {
            SPANS.drop(state.waiting);
            state.items.clear();
            state.waiting = 0;
            state.flush_done = state.flush_asked;
            state.stopped = true;
        }
        if flush.is_some() || stop {
            self.queue.done.notify_all();
        }
    }
}
