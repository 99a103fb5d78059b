//! Owns: putting the engine together, and the handle through which everything else uses it. The only
//! place that names a concrete store.

mod stores;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::channel::{Bell, Channel};
use crate::clock::Clock;
use crate::config::{Config, WebConfig, WorkerConfig};
use crate::error::{Error, Result};
use crate::ids::Dice;
use crate::interrupt::{lock, time_left, Interrupt};
use crate::state::TaskState;
use crate::store::catalogue::Catalogue;
use crate::store::{AroundFork, Ended, OnEnd, Reader, TaskView, TransitionView};
use crate::submission;
use crate::task::{Submitted, TaskRequest};
use crate::telemetry::metrics::{self, EngineHandle};
use crate::template::Template;
use crate::web::Web;
use crate::worker::{EngineThread, Inbox, Monitor, Reply, Shared, Work};
pub use stores::{migrate, migration_sql};

/// Tasks one transaction takes from a batch of submissions.
const SUBMIT_TOGETHER: usize = 200;
/// How often a waiter looks for the end of a task that another process may carry out: the first time, and at most, when
/// the store tells of such ends and when it does not.
const WAIT_LOOK: Duration = Duration::from_millis(20);
const WAIT_NOTIFIED: Duration = Duration::from_secs(2);
const WAIT_UNNOTIFIED: Duration = Duration::from_millis(250);

/// How long a waiter puts up with a database that cannot be read.
const WAIT_FOR_STORE: Duration = Duration::from_secs(30);

/// The engine of one process: a store, one thread that writes to it, and the channel to the handlers.
pub struct Engine {
    inbox: Arc<Inbox>,
    channel: Arc<Channel>,
    shared: Arc<Shared>,
    catalogue: Arc<Catalogue>,
    reader: Arc<dyn Reader>,
    on_end: OnEnd,
    forking: Arc<dyn AroundFork>,
    clock: Clock,
    monitor: Arc<Monitor>,
    metrics: EngineHandle,
    web: Mutex<Option<Web>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a worker stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StopReport {
    /// Whether every handler was done in time.
    pub completed_in_time: bool,
    /// Claims that were given back, for other workers to run.
    pub handed_back: usize,
}

impl Engine {
    /// Opens the store and starts the engine's thread. From here on tasks can be submitted.
    pub fn open(config: &Config) -> Result<Arc<Engine>> {
        Engine::open_with(config, Clock::System)
    }

    /// As [`Engine::open`], with a clock of the caller's.
    pub fn open_with(config: &Config, clock: Clock) -> Result<Arc<Engine>> {
        config.check()?;
        let catalogue = Arc::new(Catalogue::default());
        let store = stores::open(config, &catalogue, &clock)?;
        let (reader, forking) = (store.reader(), store.around_fork());
        let (location, connections) = (store.describe(), store.connections());
        let bell = Arc::new(Bell::default());
        let inbox = Arc::new(Inbox::new(Arc::clone(&bell)));
        let channel = Channel::new(clock.clone(), bell);
        let shared = Arc::new(Shared::default());
        let (sees, hears, time) = (Arc::clone(&shared), Arc::clone(&channel), clock.clone());
        let monitor = Arc::new(Monitor::new(sees, hears, time, location, connections));
        metrics::watch(&monitor);
        let thread = EngineThread::new(
            store,
            Arc::clone(&catalogue),
            clock.clone(),
            Dice::new(),
            config.durability,
            Arc::clone(&inbox),
            Arc::clone(&channel),
            Arc::clone(&shared),
        );
        let thread = std::thread::Builder::new()
            .name("tasker-engine".into())
            .spawn(move || thread.run())
            .map_err(|error| Error::Internal(format!("cannot start the engine's thread: {error}")))?;
        let thread = Mutex::new(Some(thread));
        Ok(Arc::new(Engine {
            inbox,
            channel,
            catalogue,
            on_end: on_end(&shared, &reader),
            shared,
            reader,
            forking,
            clock,
            monitor,
            metrics: metrics::engine(),
            web: Mutex::default(),
            thread,
        }))
    }

    /// Makes a template known. The one registered last is what its name means from here on.
    pub fn register_template(&self, template: Template) -> Result<()> {
        self.inbox.ask(Work::KeepTemplate(Arc::new(template))).map(drop)
    }

    /// Submits tasks and waits until they are durable. Each request has an answer of its own: one
    /// that is refused does not keep the others back.
    pub fn submit(&self, requests: Vec<TaskRequest>) -> Result<Vec<Result<Submitted>>> {
        let mut answers: Vec<Result<Submitted>> = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let mut good = Vec::with_capacity(SUBMIT_TOGETHER);
            let mut slots = Vec::with_capacity(SUBMIT_TOGETHER);
            for request in requests.by_ref().take(SUBMIT_TOGETHER) {
                match submission::check(request, &self.catalogue, self.reader.as_ref(), &self.clock) {
                    Ok(task) => {
                        slots.push(answers.len());
                        good.push(task);
                        answers.push(Err(Error::Internal("not submitted".into())));
                    }
                    Err(error) => answers.push(Err(error)),
                }
            }
            if good.is_empty() {
                continue;
            }
            let Reply::Submitted(tasks) = self.inbox.ask(Work::Submit(good))? else { return Err(unexpected()) };
            for (slot, (task_uuid, correlation_id, trace_id, created)) in slots.into_iter().zip(tasks) {
                let trace_id = format!("{trace_id:032x}");
                answers[slot] = Ok(Submitted { task_uuid, correlation_id, trace_id, created });
            }
        }
        Ok(answers)
    }

    /// A task with its steps.
    pub fn task(&self, task_uuid: Uuid) -> Result<TaskView> {
        self.reader.task(task_uuid)
    }

    /// A task's state.
    pub fn state(&self, task_uuid: Uuid) -> Result<TaskState> {
        self.reader.state(task_uuid)
    }

    /// Everything that moved, in order.
    pub fn transitions(&self, task_uuid: Uuid) -> Result<Vec<TransitionView>> {
        self.reader.transitions(task_uuid)
    }

    /// How many tasks there are, by state.
    pub fn count_tasks(&self) -> Result<Vec<(String, i64)>> {
        self.reader.count_tasks()
    }

    /// Waits for the task to end, whichever process carries it out. False: the time is up.
    pub fn wait(&self, task_uuid: Uuid, timeout: Option<Duration>, interrupt: &Interrupt) -> Result<bool> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        self.shared.expect(task_uuid, interrupt);
        let mut failing: Option<Instant> = None;
        let mut look = WAIT_LOOK;
        let ended = loop {
            if interrupt.is_set() {
                break Err(Error::Interrupted);
            }
            match self.reader.state(task_uuid) {
                Ok(state) if state.is_final() => break Ok(true),
                Ok(_) => failing = None,
                // A database that restarts is no reason to give up.
                Err(Error::Store(_)) if failing.get_or_insert_with(Instant::now).elapsed() < WAIT_FOR_STORE => {}
                Err(error) => break Err(error),
            }
            let most = if self.reader.watch_ends(&self.on_end) { WAIT_NOTIFIED } else { WAIT_UNNOTIFIED };
            let Some(left) = time_left(deadline, look) else { break Ok(false) };
            look = (look * 2).min(most);
            self.shared.wait_ended(task_uuid, left, interrupt);
        };
        self.shared.forget(task_uuid);
        ended
    }

    /// Stops a task. Gives its state.
    pub fn cancel(&self, task_uuid: Uuid) -> Result<TaskState> {
        self.operate(Work::Cancel(task_uuid))
    }

    /// Runs a failed step again, with a fresh budget of attempts.
    pub fn rerun_step(&self, task_uuid: Uuid, step_name: &str) -> Result<TaskState> {
        self.operate(Work::RerunStep(task_uuid, step_name.to_owned()))
    }

    /// Declares a step done with `result`, a JSON value.
    pub fn resolve_step(&self, task_uuid: Uuid, step_name: &str, result: &str) -> Result<TaskState> {
        let parsed: std::result::Result<&serde_json::value::RawValue, _> = serde_json::from_str(result);
        parsed.map_err(|error| Error::InvalidInput(format!("the result for {step_name} is not JSON: {error}")))?;
        self.operate(Work::ResolveStep(task_uuid, step_name.to_owned(), Arc::from(result)))
    }

    /// Declares a failed task done.
    pub fn resolve_task(&self, task_uuid: Uuid) -> Result<TaskState> {
        self.operate(Work::ResolveTask(task_uuid))
    }

    fn operate(&self, work: Work) -> Result<TaskState> {
        match self.inbox.ask(work)? {
            Reply::State(state) => Ok(state),
            _ => Err(unexpected()),
        }
    }

    /// Starts claiming steps for handler threads that poll [`Engine::channel`].
    pub fn start_worker(&self, config: WorkerConfig) -> Result<()> {
        config.check()?;
        if self.shared.status().running {
            return Err(Error::Configuration("a worker already runs in this process; stop it first".into()));
        }
        self.inbox.ask(Work::StartWorker(config)).map(drop)
    }

    /// Stops the worker: claims no more, gives handlers `timeout` to finish, gives back the rest.
    /// Harmless when no worker runs. An interrupt ends the waiting, not the stop.
    pub fn stop_worker(&self, timeout: Duration, interrupt: &Interrupt) -> Result<StopReport> {
        if !self.shared.status().running {
            self.channel.close();
            return Ok(StopReport { completed_in_time: true, handed_back: 0 });
        }
        self.inbox.ask(Work::Drain)?;
        let completed_in_time = self.shared.wait_idle(timeout, interrupt);
        match self.inbox.ask(Work::StopWorker)? {
            Reply::HandedBack(handed_back) => Ok(StopReport { completed_in_time, handed_back }),
            _ => Err(unexpected()),
        }
    }

    /// Where handler threads get events and leave completions.
    pub fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// What the engine records about itself: for the skin's own measurements.
    pub fn metrics(&self) -> &EngineHandle {
        &self.metrics
    }

    /// How the engine is: for health checks and for a person.
    pub fn status(&self) -> serde_json::Value {
        let mut status = self.monitor.status();
        let address = lock(&self.web).as_ref().map(|web| web.address().to_string());
        status["web"] = serde_json::json!({ "address": address });
        status
    }

    /// Starts the web server on `runtime`, unless one runs or `config` wants none. Gives where it listens; `None`
    /// without a server: the reason is a line in the log, never an error.
    pub fn start_web(&self, runtime: &Handle, config: &WebConfig) -> Option<SocketAddr> {
        let mut web = lock(&self.web);
        if web.is_none() {
            *web = Web::start(runtime, config.resolve(), Arc::clone(&self.monitor));
        }
        web.as_ref().map(Web::address)
    }

    /// The file descriptor the web server listens with, for the children of a fork.
    pub fn listening_fd(&self) -> Option<i32> {
        lock(&self.web).as_ref().map(Web::fd)
    }

    /// Runs `fork`, which answers whether it came back in the child, while no thread of this process is
    /// in the store. The parent goes on as if nothing had been; in the child the store is closed and
    /// this engine must be forgotten, not dropped: its thread is not there.
    pub fn around_fork(&self, fork: &mut dyn FnMut() -> bool) {
        self.forking.around_fork(fork);
    }

    /// Ends the engine's thread after the transaction in flight. Whatever asks it later is refused.
    pub fn close(&self) {
        drop(lock(&self.web).take());
        self.inbox.close();
        self.channel.close();
        if let Some(thread) = lock(&self.thread).take() {
            if thread.join().is_err() {
                tracing::error!("The engine's thread had panicked; its claims run again when their leases run out");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Passes on to those who wait here that other processes have ended tasks.
fn on_end(shared: &Arc<Shared>, reader: &Arc<dyn Reader>) -> OnEnd {
    let (shared, reader) = (Arc::clone(shared), Arc::downgrade(reader));
    Arc::new(move |ended| match ended {
        Ended::These(tasks) => shared.announce(tasks.iter().copied()),
        // One look for all who wait.
        Ended::Any => {
            let awaited = shared.awaited();
            let Some(reader) = reader.upgrade().filter(|_| !awaited.is_empty()) else { return };
            match reader.ended(&awaited) {
                Ok(ended) => shared.announce(ended.into_iter()),
                Err(error) => tracing::debug!(%error, "Ends of tasks could not be looked for"),
            }
        }
    })
}

fn unexpected() -> Error {
    Error::Internal("the engine gave an answer to another question".into())
}
