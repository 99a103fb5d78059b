//! Owns: the bounded, polled pair between the engine and the handler threads: step events out,
//! completions in. Refuses: knowing who polls (Ruby, a test) and what a handler is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Clock, Micros, Tick};
use crate::error::{Error, Result};
use crate::interrupt::{lock, time_left, wait_on, Interrupt};
use crate::telemetry::metrics::{self, EngineHandle};

/// One attempt of one step, handed to a handler thread.
#[derive(Debug, Clone)]
pub struct StepEvent {
    /// Names this attempt; a completion must bring it back.
    pub event_id: Uuid,
    /// The task.
    pub task_uuid: Uuid,
    /// The step.
    pub step_uuid: Uuid,
    /// The task's correlation id.
    pub correlation_id: Uuid,
    /// The correlation id of the workflow that started this one.
    pub parent_correlation_id: Option<Uuid>,
    /// The task's namespace.
    pub namespace: Arc<str>,
    /// The template's name.
    pub task_name: Arc<str>,
    /// The step's name in its template.
    pub step_name: Arc<str>,
    /// The handler's name in its template.
    pub handler: Arc<str>,
    /// This attempt's number; the first is 1.
    pub attempt: u32,
    /// The attempt after which the step fails for good.
    pub max_attempts: u32,
    /// Seconds the handler may take; `None` is no limit.
    pub timeout_seconds: Option<f64>,
    /// The task's context: a JSON object.
    pub context: Arc<str>,
    /// The results of the steps this one depends on, as JSON, by step name.
    pub dependency_results: Vec<(Arc<str>, Arc<str>)>,
    /// The step's `config` from its template: a JSON object.
    pub config: Arc<str>,
    /// Trace id of the attempt's `worker.step_execution` span: 32 hex digits.
    pub trace_id: Option<String>,
    /// Span id of the attempt's `worker.step_execution` span: 16 hex digits.
    pub span_id: Option<String>,
    /// W3C `traceparent` whose parent is the attempt's `handler.execution` span: what a call to
    /// another service carries.
    pub traceparent: Option<String>,
    /// When the event entered the channel.
    pub dispatched_at: Micros,
}

/// What a handler thread hands back for a [`StepEvent`].
#[derive(Debug, Clone)]
pub struct StepCompletion {
    /// The event's id.
    pub event_id: Uuid,
    /// The task, as it came with the event.
    pub task_uuid: Uuid,
    /// The step, as it came with the event.
    pub step_uuid: Uuid,
    /// The result as JSON, or why there is none.
    pub outcome: std::result::Result<String, StepError>,
    /// When the handler began, by the handler thread's wall clock.
    pub started_at: Option<Micros>,
    /// How long the handler ran, in milliseconds.
    pub execution_time_ms: Option<f64>,
    /// The event's `trace_id`, brought back.
    pub trace_id: Option<String>,
    /// The event's `span_id`, brought back.
    pub span_id: Option<String>,
}

/// Why an attempt failed: what is kept in the store for the operator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepError {
    /// The exception's class.
    #[serde(rename = "class")]
    pub class_name: String,
    /// The exception's message.
    pub message: String,
    /// The application's own code for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The field a `ValidationError` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Where it was raised, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// The attempt it ended; the engine sets it.
    pub attempt: u32,
    /// Whether another attempt may help.
    pub retryable: bool,
    /// Seconds to wait before the next attempt; wins over the template's backoff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
}

/// A bell the engine sleeps beside: completions and requests ring it.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Wakes the engine, now or when it next comes to sleep.
    pub fn ring(&self) {
        let mut rung = lock(&self.rung);
        if !*rung {
            *rung = true;
            self.heard.notify_one();
        }
    }

    /// Sleeps until the bell rings, at most `timeout`. Gives whether it rang.
    pub fn sleep(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut rung = lock(&self.rung);
        while !*rung {
            let Some(left) = time_left(Some(deadline), timeout) else { break };
            rung = wait_on(&self.heard, rung, left);
        }
        std::mem::take(&mut rung)
    }
}

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
    /// The engine carries completions in a transaction.
    at_work: bool,
    /// Handlers finish faster than transactions do.
    brisk: bool,
}

/// How long [`Channel::wait_briefly`] waits: a commit that also copies the WAL into the file.
const BRIEFLY: Duration = Duration::from_millis(25);

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
        self.metrics.handoff.record(now.millis_since(event.dispatched_at));
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
                return Err(Error::Interrupted);
            }
            if !state.queue.is_empty() {
                return Ok(true);
            }
            let Some(left) = time_left(Some(deadline), timeout).filter(|_| !state.closed) else {
                return Ok(false);
            };
            state.waiting += 1;
            state = wait_on(&self.ready, state, left);
            state.waiting -= 1;
        }
    }

    /// Waits a moment for events that are about to come: the handlers are brisk, and the engine is at
    /// work on what they completed. For a handler thread that would have to give up its turn to run
    /// (Ruby's GVL) to wait longer. Gives at once when nothing is about to come.
    pub fn wait_briefly(&self) -> Option<StepEvent> {
        let deadline = Instant::now() + BRIEFLY;
        let mut state = lock(&self.state);
        while state.queue.is_empty() && state.brisk && (state.at_work || !state.completions.is_empty()) {
            let left = time_left(Some(deadline), BRIEFLY)?;
            state.brief += 1;
            state = wait_on(&self.soon, state, left);
            state.brief -= 1;
        }
        drop(state);
        self.try_poll()
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
        lock(&self.state).closed = false;
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
        state.at_work = !state.completions.is_empty();
        if state.completions.len() <= most {
            std::mem::take(&mut state.completions)
        } else {
            state.completions.drain(..most).collect()
        }
    }

    /// The engine has done what followed from the completions it took.
    pub(crate) fn rest(&self, brisk: bool) {
        let mut state = lock(&self.state);
        (state.at_work, state.brisk) = (false, brisk);
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
        state.queue.drain(..fresh).map(|(_, event)| event.event_id).collect()
    }

    /// Events that no handler thread has taken up.
    pub(crate) fn waiting_events(&self) -> HashSet<Uuid> {
        lock(&self.state).queue.iter().map(|(_, event)| event.event_id).collect()
    }

    /// So many handler threads wait for an event, as far as the engine can tell: for a simulation, which has none.
    pub(crate) fn pretend_waiting(&self, threads: usize) {
        lock(&self.state).waiting = threads;
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
