//! Owns: the bounded, polled pair between the engine and the handler threads: step events out,
//! completions in. Refuses: knowing who polls (Ruby, a test) and what a handler is.

mod messages;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::bell::Bell;
use crate::clock::{Clock, Micros, Tick};
use crate::error::{Error, Result};
use crate::interrupt::{lock, time_left, wait_on, Interrupt};
use crate::step::StepError;
use crate::sync::{Condvar, Mutex};
pub use messages::{StepCompletion, StepEvent};
use tasker_telemetry::record::metrics::{self, EngineHandle};

struct Running {
    deadline: Option<Tick>,
    cancelled: bool,
}

#[derive(Default)]
struct State {
    /// Events, and since when each waits.
    queue: VecDeque<(Tick, StepEvent)>,
    running: HashMap<Uuid, Running>,
    completions: Vec<(StepCompletion, Micros)>,
    /// Threads in [`Channel::wait`] and in [`Channel::wait_briefly`].
    waiting: usize,
    brief: usize,
    closed: bool,
    /// The engine took back events that no thread took up: it wants to hear when one waits again.
    gave_up: bool,
    /// The engine's thread has died: nothing will be carried out any more.
    failed: bool,
    /// Since when the engine carries completions in a transaction.
    at_work: Option<Instant>,
    /// How long it did so the last time.
    last_work: Duration,
    /// Handlers finish faster than transactions do.
    brisk: bool,
    /// The longest anybody was in [`Channel::wait_briefly`].
    longest_brief: Duration,
}

impl State {
    /// Whether events are about to come.
    fn expects_soon(&self) -> bool {
        let at_work = self.at_work.is_some() || !self.completions.is_empty();
        self.queue.is_empty() && self.brisk && !self.closed && at_work && self.last_work < BRIEFLY
    }
}

/// The target of lines about steps.
const STEP: &str = "tasker_worker";

/// Logs that a handler thread has taken the event up, in the attempt's span.
fn log_started(event: &StepEvent) {
    event.in_span(|| {
        tracing::info!(
            target: STEP,
            task_uuid = %event.task_uuid, correlation_id = %event.correlation_id, step_uuid = %event.step_uuid,
            step_name = %event.step_name, namespace = %event.namespace, attempt = event.attempt,
            "Step execution started"
        );
    });
}

/// The longest [`Channel::wait_briefly`] waits. It keeps everybody else from running.
const BRIEFLY: Duration = Duration::from_millis(2);

/// What is in a [`Channel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Events that no handler thread has taken up.
    pub waiting: usize,
    /// Attempts that run.
    pub running: usize,
    /// Attempts among them whose result is no longer wanted.
    pub abandoned: usize,
    /// Completions that the engine has not taken.
    pub completions: usize,
}

/// The pair. Its bound is the engine's: it never holds more events than the engine has claims for,
/// and the engine claims no more than its permits.
pub struct Channel {
    clock: Clock,
    state: Mutex<State>,
    ready: Condvar,
    soon: Condvar,
    bell: Arc<Bell>,
    metrics: EngineHandle,
    begun: Mutex<Option<Arc<dyn BegunRecord>>>,
}

/// Where it is written down which claims handlers begin, by their tokens. It outlasts the process.
pub trait BegunRecord: Send + Sync {
    /// A handler is about to begin.
    fn begins(&self, token: u64);
}

impl Channel {
    /// An open, empty channel whose completions ring `bell`.
    pub fn new(clock: Clock, bell: Arc<Bell>) -> Arc<Channel> {
        Arc::new(Channel {
            clock,
            state: Mutex::default(),
            ready: Condvar::new(),
            soon: Condvar::new(),
            bell,
            metrics: metrics::engine(),
            begun: Mutex::default(),
        })
    }

    /// The next event, when there is one. Never blocks. The attempt counts as started from here.
    pub fn try_poll(&self) -> Option<StepEvent> {
        let (now, tick) = (self.clock.now(), self.clock.tick());
        let mut state = lock(&self.state);
        let (_, event) = state.queue.pop_front()?;
        let deadline = event.timeout_seconds.map(|seconds| tick.after(Duration::from_secs_f64(seconds)));
        if deadline.is_some() {
            self.bell.ring();
        }
        state.running.insert(event.event_id, Running { deadline, cancelled: false });
        drop(state);
        if let Some(token) = event.claimed_ahead {
            if let Some(begun) = lock(&self.begun).as_ref() {
                begun.begins(token);
            }
        }
        self.metrics.handoff.record(now.millis_since(event.dispatched_at));
        if tracing::enabled!(target: STEP, tracing::Level::INFO) {
            log_started(&event);
        }
        Some(event)
    }

    /// Waits until there may be an event, at most `timeout`; takes none, so that no event is held by
    /// a thread that has still to get its turn. False: the time is up, or the channel is closed.
    pub fn wait(self: &Arc<Self>, timeout: Duration, interrupt: &Interrupt) -> Result<bool> {
        let channel = Arc::clone(self);
        interrupt.wakes(move || {
            drop(lock(&channel.state));
            channel.ready.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.state);
        loop {
            if interrupt.is_set() {
                // The notification this thread may have had is another one's.
                if !state.queue.is_empty() {
                    self.ready.notify_one();
                }
                return Err(Error::Interrupted);
            }
            if !state.queue.is_empty() {
                return Ok(true);
            }
            let Some(left) = time_left(Some(deadline), timeout).filter(|_| !state.closed) else {
                return Ok(false);
            };
            state.waiting += 1;
            if std::mem::take(&mut state.gave_up) {
                self.bell.ring();
            }
            state = wait_on(&self.ready, state, left);
            state.waiting -= 1;
        }
    }

    /// Waits a moment for events that are about to come: the handlers are brisk, and the engine is at
    /// work on what they completed, which took it less than that moment the last time. For a handler
    /// thread that would have to give up its turn to run (Ruby's GVL) to wait longer. Gives at once when
    /// nothing is about to come.
    pub fn wait_briefly(&self) -> Option<StepEvent> {
        let mut state = lock(&self.state);
        if state.expects_soon() {
            let began = Instant::now();
            while let (true, Some(left)) = (state.expects_soon(), time_left(Some(began + BRIEFLY), BRIEFLY)) {
                state.brief += 1;
                state = wait_on(&self.soon, state, left);
                state.brief -= 1;
            }
            state.longest_brief = state.longest_brief.max(began.elapsed());
        }
        drop(state);
        self.try_poll()
    }

    /// The longest anybody was in [`Channel::wait_briefly`].
    pub fn longest_brief(&self) -> Duration {
        lock(&self.state).longest_brief
    }

    /// Takes a completion for the engine. Never blocks: there are no more completions than claims.
    pub fn complete(&self, completion: StepCompletion) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.running.remove(&completion.event_id);
        state.completions.push((completion, now));
        drop(state);
        self.bell.ring();
    }

    /// Completes an attempt that nobody has answered, as failed. False: it was answered, or never taken up.
    pub fn fail_event(&self, event_id: Uuid, error: StepError) -> bool {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if state.running.remove(&event_id).is_none() {
            return false;
        }
        state.completions.push((StepCompletion::failed(event_id, error), now));
        drop(state);
        self.bell.ring();
        true
    }

    /// Whether the attempt's result is no longer wanted: the task was cancelled, the attempt timed
    /// out or lost its lease.
    pub fn cancelled(&self, event_id: Uuid) -> bool {
        lock(&self.state).running.get(&event_id).is_none_or(|running| running.cancelled)
    }

    /// Ends every wait, now and later. Events that are in the channel can still be polled.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.notify_all();
    }

    /// Undoes [`Channel::close`], for a worker that is started again.
    pub(crate) fn open(&self) {
        let mut state = lock(&self.state);
        state.closed = state.failed;
    }

    /// Closes for good: the engine's thread has died. What waits here would never be settled.
    pub(crate) fn fail(&self) {
        let mut state = lock(&self.state);
        (state.closed, state.failed, state.brisk) = (true, true, false);
        state.queue.clear();
        state.completions.clear();
        drop(state);
        self.ready.notify_all();
        self.soon.notify_all();
    }

    /// Whether [`Channel::fail`] was called.
    pub fn has_failed(&self) -> bool {
        lock(&self.state).failed
    }

    /// Whether [`Channel::close`] was called.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// How full it is.
    pub fn depth(&self) -> Depth {
        let state = lock(&self.state);
        Depth {
            waiting: state.queue.len(),
            running: state.running.len(),
            abandoned: state.running.values().filter(|running| running.cancelled).count(),
            completions: state.completions.len(),
        }
    }

    /// Says from now on which claims made ahead handlers begin.
    pub(crate) fn record_begun(&self, record: Option<Arc<dyn BegunRecord>>) {
        *lock(&self.begun) = record;
    }

    /// Puts events before the handler threads.
    pub(crate) fn dispatch(&self, events: Vec<StepEvent>, tick: Tick) {
        if events.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        // Those that wait briefly have their turn to run; the others must get it from them first.
        let soon = state.brief.min(events.len());
        let wake = state.waiting.min(events.len() - soon);
        state.queue.extend(events.into_iter().map(|event| (tick, event)));
        drop(state);
        for _ in 0..soon {
            self.soon.notify_one();
        }
        for _ in 0..wake {
            self.ready.notify_one();
        }
    }

    /// Takes the completions that have arrived, with the moment each did, at most `most`. The engine is
    /// at work on them until it says that it rests.
    pub(crate) fn take_completions(&self, most: usize) -> Vec<(StepCompletion, Micros)> {
        let mut state = lock(&self.state);
        state.at_work = (!state.completions.is_empty()).then(Instant::now);
        if state.completions.len() <= most {
            std::mem::take(&mut state.completions)
        } else {
            state.completions.drain(..most).collect()
        }
    }

    /// The engine has done what followed from the completions it took.
    pub(crate) fn rest(&self, brisk: bool) {
        let mut state = lock(&self.state);
        if let Some(since) = state.at_work.take() {
            state.last_work = since.elapsed();
        }
        state.brisk = brisk;
        let in_vain = state.queue.is_empty() && state.brief > 0;
        drop(state);
        if in_vain {
            self.soon.notify_all();
        }
    }

    /// Takes back events that no handler thread took up by `before`.
    pub(crate) fn take_unstarted(&self, before: Tick) -> Vec<Uuid> {
        let mut state = lock(&self.state);
        let fresh = state.queue.iter().position(|(since, _)| *since > before).unwrap_or(state.queue.len());
        state.gave_up |= fresh > 0;
        state.queue.drain(..fresh).map(|(_, event)| event.event_id).collect()
    }

    /// Events that no handler thread has taken up.
    pub(crate) fn waiting_events(&self) -> HashSet<Uuid> {
        lock(&self.state).queue.iter().map(|(_, event)| event.event_id).collect()
    }

    /// So many handler threads wait for an event, as far as the engine can tell: for a simulation, which has none.
    pub(crate) fn pretend_waiting(&self, threads: usize) {
        let mut state = lock(&self.state);
        state.waiting = threads;
        if threads > 0 && std::mem::take(&mut state.gave_up) {
            self.bell.ring();
        }
    }

    /// Whether a handler thread waits for an event.
    pub(crate) fn has_idle_thread(&self) -> bool {
        lock(&self.state).waiting > 0
    }

    /// When the oldest waiting event entered the channel.
    pub(crate) fn oldest_waiting(&self) -> Option<Tick> {
        lock(&self.state).queue.front().map(|(since, _)| *since)
    }

    /// Marks an attempt as no longer wanted. One that has not started is taken out: then it never will.
    pub(crate) fn revoke(&self, event_id: Uuid) -> bool {
        let mut state = lock(&self.state);
        let waiting = state.queue.len();
        state.queue.retain(|(_, event)| event.event_id != event_id);
        let unstarted = state.queue.len() < waiting;
        if let Some(running) = state.running.get_mut(&event_id) {
            running.cancelled = true;
            running.deadline = None;
        }
        unstarted
    }

    /// Running attempts whose time is up.
    pub(crate) fn overdue(&self, now: Tick) -> Vec<Uuid> {
        let state = lock(&self.state);
        let overdue = state.running.iter().filter(|(_, running)| running.deadline.is_some_and(|at| at <= now));
        let mut overdue: Vec<Uuid> = overdue.map(|(event_id, _)| *event_id).collect();
        overdue.sort_unstable();
        overdue
    }

    /// When the next running attempt's time is up.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        lock(&self.state).running.values().filter_map(|running| running.deadline).min()
    }
}
