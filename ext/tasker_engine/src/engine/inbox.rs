//! Owns: requests on their way to the engine's thread, and the way an answer comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::bell::Bell;
use crate::config::WorkerConfig;
use crate::error::{Error, Result};
use crate::event::DomainEvent;
use crate::interrupt::{lock, Interrupt, Slot};
use crate::plan::NewTask;
use crate::state::TaskState;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::Mutex;
use crate::template::Template;

/// What the engine is asked to do. Each request is one unit: it happens whole or not at all.
#[derive(Debug, Clone)]
pub enum Work {
    /// Make tasks.
    Submit(Vec<NewTask>),
    /// Make a template known.
    KeepTemplate(Arc<Template>),
    /// Stop a task.
    Cancel(Uuid),
    /// Run a failed step of a task again.
    RerunStep(Uuid, String),
    /// Declare a step of a task done, with a result.
    ResolveStep(Uuid, String, Arc<str>),
    /// Declare a failed task done.
    ResolveTask(Uuid),
    /// Publish events, all of them or none.
    Publish(Vec<Arc<DomainEvent>>),
    /// Claim steps from now on.
    StartWorker(WorkerConfig),
    /// Claim no more; give back what no handler has started.
    Drain,
    /// Give everything back and forget the worker.
    StopWorker,
}

impl Work {
    /// The task that must be there.
    pub(super) fn task(&self) -> Option<Uuid> {
        match self {
            Work::Cancel(task) | Work::RerunStep(task, _) | Work::ResolveStep(task, ..) | Work::ResolveTask(task) => {
                Some(*task)
            }
            _ => None,
        }
    }

    /// The tasks to be made.
    pub(super) fn new_tasks(&self) -> &[NewTask] {
        match self {
            Work::Submit(tasks) => tasks,
            _ => &[],
        }
    }
}

/// The answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A task for each `NewTask`: its UUID, correlation id, trace id, and whether it was created.
    Submitted(Vec<(Uuid, Uuid, u128, bool)>),
    /// The task's state.
    State(TaskState),
    /// How many claims were given back.
    HandedBack(usize),
    /// Nothing to tell.
    Done,
}

pub(crate) struct Request {
    pub(crate) work: Work,
    pub(crate) reply: Answer,
}

/// The engine's side of a request: one answer, at the latest when it is dropped.
pub(crate) struct Answer {
    slot: Arc<Slot<Result<Reply>>>,
    taken: bool,
    sent: bool,
}

impl Answer {
    /// Gives the answer. Whether somebody still waits for it.
    pub(crate) fn send(mut self, reply: Result<Reply>) -> bool {
        self.sent = true;
        self.slot.put(reply);
        Arc::strong_count(&self.slot) > 1
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.sent {
            self.slot.put(Err(if self.taken { ended() } else { stopped() }));
        }
    }
}

/// The caller's side. Dropped before the engine has taken the request, it withdraws it: then nothing was changed.
pub(crate) struct Ticket {
    inbox: Arc<Inbox>,
    slot: Arc<Slot<Result<Reply>>>,
    settled: bool,
}

impl Ticket {
    /// Waits for the answer, at most `timeout`. `None`: it has not come, or the caller was called back; it may be asked
    /// for again.
    pub(crate) fn wait(&mut self, timeout: Duration, interrupt: &Interrupt) -> Option<Result<Reply>> {
        let answer = self.slot.wait(timeout, interrupt)?;
        self.settled = true;
        Some(answer)
    }

    /// Asks no more, and leaves the request where it is.
    pub(crate) fn leave(mut self) {
        self.settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.inbox.withdraw(&self.slot);
        }
    }
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    closed: bool,
}

/// The engine's door. Every caller waits for its answer, so it holds no more than there are callers.
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    pub(crate) bell: Arc<Bell>,
    panics: AtomicBool,
}

impl Inbox {
    pub(crate) fn new(bell: Arc<Bell>) -> Inbox {
        Inbox { queue: Mutex::default(), bell, panics: AtomicBool::new(false) }
    }

    /// Hands work to the engine. It is durable when the ticket has its answer.
    pub(crate) fn send(self: &Arc<Self>, work: Work) -> Result<Ticket> {
        let slot = Slot::new();
        let reply = Answer { slot: Arc::clone(&slot), taken: false, sent: false };
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(stopped());
        }
        queue.requests.push_back(Request { work, reply });
        drop(queue);
        self.bell.ring();
        Ok(Ticket { inbox: Arc::clone(self), slot, settled: false })
    }

    /// Takes a request back that the engine has not taken.
    fn withdraw(&self, slot: &Arc<Slot<Result<Reply>>>) {
        lock(&self.queue).requests.retain(|request| !Arc::ptr_eq(&request.reply.slot, slot));
    }

    /// The next requests, at most `most`.
    pub(super) fn take(&self, most: usize) -> Vec<Request> {
        if self.panics.load(Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("simulated"));
        }
        let mut queue = lock(&self.queue);
        let count = queue.requests.len().min(most);
        let mut requests: Vec<Request> = queue.requests.drain(..count).collect();
        requests.iter_mut().for_each(|request| request.reply.taken = true);
        requests
    }

    /// Refuses all requests from now on; those that wait are answered.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.requests.clear();
        drop(queue);
        self.bell.ring();
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.queue).closed
    }

    /// Makes the engine's thread panic: for tests.
    pub(crate) fn simulate_panic(&self) {
        self.panics.store(true, Ordering::Relaxed);
        self.bell.ring();
    }
}

fn stopped() -> Error {
    Error::Stopped("the engine is stopped; nothing was changed".into())
}

fn ended() -> Error {
    Error::Stopped(
        "the engine ended before it answered; whether it did what was asked is not known: look before you ask again"
            .into(),
    )
}
