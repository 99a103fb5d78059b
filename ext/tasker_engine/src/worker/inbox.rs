//! Owns: requests on their way to the engine's thread, and the way an answer comes back.

use std::collections::VecDeque;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::channel::Bell;
use crate::config::WorkerConfig;
use crate::error::{Error, Result};
use crate::interrupt::lock;
use crate::plan::NewTask;
use crate::state::TaskState;
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
    pub(crate) reply: SyncSender<Result<Reply>>,
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
}

impl Inbox {
    pub(crate) fn new(bell: Arc<Bell>) -> Inbox {
        Inbox { queue: Mutex::default(), bell }
    }

    /// Hands work to the engine and waits until it is durable.
    pub(crate) fn ask(&self, work: Work) -> Result<Reply> {
        self.leave(work)?.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Hands work to the engine; the answer comes when it is durable.
    pub(crate) fn leave(&self, work: Work) -> Result<Receiver<Result<Reply>>> {
        let (reply, answer) = sync_channel(1);
        {
            let mut queue = lock(&self.queue);
            if queue.closed {
                return Err(stopped());
            }
            queue.requests.push_back(Request { work, reply });
        }
        self.bell.ring();
        Ok(answer)
    }

    /// The next requests, at most `most`.
    pub(super) fn take(&self, most: usize) -> Vec<Request> {
        let mut queue = lock(&self.queue);
        let count = queue.requests.len().min(most);
        queue.requests.drain(..count).collect()
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
}

fn stopped() -> Error {
    Error::Stopped("the engine is stopped; nothing was changed".into())
}
