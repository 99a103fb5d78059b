//! Owns: what callers ask of the engine, in two forms: one that blocks, and one ([`Asked`]) for callers that look around
//! meanwhile.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::asked::{unexpected, Asked};
use super::submitting::{Means, Submitting};
use super::waiting::Waiting;
use super::Engine;
use crate::engine::{Reply, Work};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::state::TaskState;
use crate::store::Reader;
use crate::task::{Submitted, TaskRequest};
use crate::template::Template;

impl Engine {
    /// Makes a template known. The one registered last is what its name means from here on.
    pub fn register_template(&self, template: Template) -> Result<()> {
        self.registering(template).answer()
    }

    /// As [`Engine::register_template`], for callers that look around meanwhile.
    pub fn registering(&self, template: Template) -> Asked<()> {
        Asked::request(&self.inbox, Work::KeepTemplate(Arc::new(template)), |_| Ok(()))
    }

    /// Submits tasks and waits until they are durable. Each request has an answer of its own: one
    /// that is refused does not keep the others back.
    pub fn submit(&self, requests: Vec<TaskRequest>) -> Result<Vec<Result<Submitted>>> {
        self.submitting(requests).answer()
    }

    /// As [`Engine::submit`], for callers that look around meanwhile.
    pub fn submitting(&self, requests: Vec<TaskRequest>) -> Asked<Vec<Result<Submitted>>> {
        let means = Means {
            inbox: Arc::clone(&self.inbox),
            catalogue: Arc::clone(&self.catalogue),
            reader: Arc::clone(&self.reader),
            clock: self.clock.clone(),
            remote: self.remote,
        };
        let mut batch = Submitting::new(means, requests);
        Asked::new(move |timeout, interrupt| batch.wait(timeout, interrupt))
    }

    /// What the reader says, for callers that look around meanwhile.
    pub fn reading<T: Send + 'static>(&self, read: impl FnOnce(&dyn Reader) -> Result<T> + Send + 'static) -> Asked<T> {
        reading(self.remote, &self.reader, read)
    }

    /// Waits for the task to end, whichever process carries it out. False: the time is up.
    pub fn wait(&self, task_uuid: Uuid, timeout: Option<Duration>, interrupt: &Interrupt) -> Result<bool> {
        let mut waiting = self.waiting(task_uuid, timeout);
        loop {
            match waiting.wait(Duration::from_secs(3600), interrupt) {
                Some(answer) => return answer.map(|(ended, _)| ended),
                None if interrupt.is_set() => return Err(Error::Interrupted),
                None => {}
            }
        }
    }

    /// As [`Engine::wait`], for callers that look around meanwhile. With it comes the state, as far as it was read.
    pub fn waiting(&self, task_uuid: Uuid, timeout: Option<Duration>) -> Asked<(bool, Option<TaskState>)> {
        let mut waiting = Waiting::new(&self.shared, task_uuid, timeout);
        let (remote, reader, on_end) = (self.remote, Arc::clone(&self.reader), Arc::clone(&self.on_end));
        Asked::new(move |timeout, interrupt| {
            let state = || reading(remote, &reader, move |reader| reader.state(task_uuid));
            waiting.wait(timeout, interrupt, state, || reader.watch_ends(&on_end))
        })
    }

    /// Stops a task. Gives its state.
    pub fn cancel(&self, task_uuid: Uuid) -> Result<TaskState> {
        self.cancelling(task_uuid).answer()
    }

    /// As [`Engine::cancel`], for callers that look around meanwhile.
    pub fn cancelling(&self, task_uuid: Uuid) -> Asked<TaskState> {
        self.operating(Work::Cancel(task_uuid))
    }

    /// Runs a failed step again, with a fresh budget of attempts.
    pub fn rerun_step(&self, task_uuid: Uuid, step_name: &str) -> Result<TaskState> {
        self.rerunning_step(task_uuid, step_name.to_owned()).answer()
    }

    /// As [`Engine::rerun_step`], for callers that look around meanwhile.
    pub fn rerunning_step(&self, task_uuid: Uuid, step_name: String) -> Asked<TaskState> {
        self.operating(Work::RerunStep(task_uuid, step_name))
    }

    /// Declares a step done with `result`, a JSON value.
    pub fn resolve_step(&self, task_uuid: Uuid, step_name: &str, result: &str) -> Result<TaskState> {
        self.resolving_step(task_uuid, step_name.to_owned(), result)?.answer()
    }

    /// As [`Engine::resolve_step`], for callers that look around meanwhile.
    pub fn resolving_step(&self, task_uuid: Uuid, step_name: String, result: &str) -> Result<Asked<TaskState>> {
        let parsed: std::result::Result<&serde_json::value::RawValue, _> = serde_json::from_str(result);
        parsed.map_err(|error| Error::InvalidInput(format!("the result for {step_name} is not JSON: {error}")))?;
        Ok(self.operating(Work::ResolveStep(task_uuid, step_name, Arc::from(result))))
    }

    /// Declares a failed task done.
    pub fn resolve_task(&self, task_uuid: Uuid) -> Result<TaskState> {
        self.resolving_task(task_uuid).answer()
    }

    /// As [`Engine::resolve_task`], for callers that look around meanwhile.
    pub fn resolving_task(&self, task_uuid: Uuid) -> Asked<TaskState> {
        self.operating(Work::ResolveTask(task_uuid))
    }

    fn operating(&self, work: Work) -> Asked<TaskState> {
        Asked::request(&self.inbox, work, |reply| match reply {
            Reply::State(state) => Ok(state),
            _ => Err(unexpected()),
        })
    }
}

fn reading<T: Send + 'static>(
    remote: bool,
    reader: &Arc<dyn Reader>,
    read: impl FnOnce(&dyn Reader) -> Result<T> + Send + 'static,
) -> Asked<T> {
    let shared = Arc::clone(reader);
    let read = move || read(shared.as_ref());
    if remote {
        Asked::by(reader, read)
    } else {
        Asked::here(read)
    }
}
