//! Owns: putting the engine together, and the handle through which everything else uses it. The only
//! place that names a concrete store.

mod asked;
mod operations;
mod publishing;
mod stores;
mod submitting;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::bell::Bell;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::config::{Config, WebConfig, WorkerConfig};
use crate::engine::{EngineThread, Inbox, Monitor, Reply, Shared, ThisMachine, Work};
use crate::error::{Error, Result};
use crate::events::{InProcessEventBus, InProcessEventBusConfig};
use crate::ids::Dice;
use crate::interrupt::{lock, Interrupt};
use crate::state::TaskState;
use crate::store::catalogue::Catalogue;
use crate::store::{AroundFork, OnEnd, Reader, TaskView, TransitionView};
use crate::web::Web;
use asked::unexpected;
pub use asked::Asked;
pub use stores::{migrate, migrating, migration_sql};
use tasker_telemetry::record::metrics::{self, EngineHandle};

/// How long a stop waits for its last transaction, and a close for the engine's thread: a database that hangs must not
/// hold a process that is told to end.
const STOP_GRACE: Duration = Duration::from_millis(2500);
const CLOSE_GRACE: Duration = Duration::from_millis(1500);

/// The engine of one process: a store, one thread that writes to it, and the channel to the handlers.
pub struct Engine {
    inbox: Arc<Inbox>,
    channel: Arc<Channel>,
    shared: Arc<Shared>,
    bus: Arc<InProcessEventBus>,
    catalogue: Arc<Catalogue>,
    reader: Arc<dyn Reader>,
    on_end: OnEnd,
    forking: Arc<dyn AroundFork>,
    clock: Clock,
    monitor: Arc<Monitor>,
    metrics: EngineHandle,
    web: Mutex<Option<Web>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The database's file, where it is one.
    file: Option<PathBuf>,
    /// Whether a read may hang.
    remote: bool,
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

    /// As [`Engine::open`], for callers that look around meanwhile.
    pub fn opening(config: Config) -> Asked<Arc<Engine>> {
        Asked::aside(move || Engine::open(&config))
    }

    /// As [`Engine::open`], with a clock of the caller's.
    pub fn open_with(config: &Config, clock: Clock) -> Result<Arc<Engine>> {
        config.check()?;
        tasker_telemetry::keep_numbers();
        let catalogue = Arc::new(Catalogue::new(Arc::new(stores::Watching(metrics::engine()))));
        let store = stores::open(config, &catalogue, &clock)?;
        let (reader, forking) = (store.reader(), store.around_fork());
        let location = store.describe();
        let bell = Arc::new(Bell::default());
        let inbox = Arc::new(Inbox::new(Arc::clone(&bell)));
        let channel = Channel::new(clock.clone(), bell);
        let shared = Arc::new(Shared::default());
        let bus = Arc::new(InProcessEventBus::new(InProcessEventBusConfig::default()));
        let (sees, hears, time) = (Arc::clone(&shared), Arc::clone(&channel), clock.clone());
        let monitor = Arc::new(Monitor::new(sees, hears, time, location, Arc::clone(&reader)));
        metrics::watch(&monitor);
        let thread = EngineThread::new(
            store,
            Arc::clone(&catalogue),
            clock.clone(),
            Dice::new(),
            config.durability,
            Arc::new(ThisMachine),
            Arc::clone(&inbox),
            Arc::clone(&channel),
            Arc::clone(&shared),
            Arc::clone(&bus),
        );
        let thread = std::thread::Builder::new()
            .name("tasker-engine".into())
            .spawn(move || thread.run())
            .map_err(|error| Error::cannot_start("the engine's thread", &error))?;
        let thread = Mutex::new(Some(thread));
        Ok(Arc::new(Engine {
            inbox,
            channel,
            bus,
            catalogue,
            on_end: waiting::on_end(&shared.ends, &reader),
            shared,
            reader,
            forking,
            clock,
            monitor,
            metrics: metrics::engine(),
            web: Mutex::default(),
            thread,
            file: stores::file(config),
            remote: config.is_remote(),
        }))
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

    /// Starts claiming steps for handler threads that poll [`Engine::channel`].
    pub fn start_worker(&self, config: WorkerConfig) -> Result<()> {
        self.starting_worker(config)?.answer()
    }

    /// As [`Engine::start_worker`], for callers that look around meanwhile.
    pub fn starting_worker(&self, config: WorkerConfig) -> Result<Asked<()>> {
        config.check()?;
        if self.shared.status().running {
            return Err(Error::Configuration("a worker already runs in this process; stop it first".into()));
        }
        self.say_events();
        Ok(Asked::request(&self.inbox, Work::StartWorker(config), |_| Ok(())))
    }

    /// Stops the worker: claims no more, gives handlers `timeout` to finish, gives back the rest.
    /// Harmless when no worker runs. An interrupt ends the waiting, not the stop. A database that hangs delays
    /// it by [`STOP_GRACE`] at most.
    pub fn stop_worker(&self, timeout: Duration, interrupt: &Interrupt) -> Result<StopReport> {
        if !self.shared.status().running {
            self.channel.close();
            return Ok(StopReport { completed_in_time: !self.channel.has_failed(), handed_back: 0 });
        }
        let began = Instant::now();
        let mut drain = self.inbox.send(Work::Drain)?;
        // Done or not, the stop that follows does the same.
        let _ = drain.wait(timeout, interrupt);
        drain.leave();
        let completed_in_time = self.shared.wait_idle(timeout.saturating_sub(began.elapsed()), interrupt);
        let mut stop = self.inbox.send(Work::StopWorker)?;
        let stopped = stop.wait(STOP_GRACE, &Interrupt::new());
        stop.leave();
        match stopped.transpose()? {
            Some(Reply::HandedBack(handed_back)) => Ok(StopReport { completed_in_time, handed_back }),
            Some(_) => Err(unexpected()),
            None => {
                self.channel.close();
                tracing::warn!(
                    "Worker stopped without waiting for its database; its claims run again when their leases run out"
                );
                Ok(StopReport { completed_in_time: false, handed_back: 0 })
            }
        }
    }

    /// Where handler threads get events and leave completions.
    pub fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// What the engine records about itself: for the FFI layer's own measurements.
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

    /// In the child of a fork that did not pass [`Engine::around_fork`]: closes the database's file as far as it was
    /// inherited, or sees that this process does not open it again: SQLite would no longer lock it. After this the engine
    /// must be forgotten, not dropped.
    pub fn abandon_after_fork(&self) {
        if !self.forking.close_inherited() {
            stores::refuse(self.file.clone());
        }
    }

    /// Makes the engine's thread panic: for specs.
    pub fn simulate_panic(&self) {
        self.inbox.simulate_panic();
    }

    /// Ends the engine's thread after the transaction in flight, or leaves it alone with a database that hangs. Whatever
    /// asks it later is refused.
    pub fn close(&self) {
        drop(lock(&self.web).take());
        self.inbox.close();
        self.channel.close();
        let Some(thread) = lock(&self.thread).take() else { return };
        let panicked = || Error::Internal("the engine's thread had panicked".into());
        let ended = Asked::aside(move || thread.join().map_err(|_| panicked()));
        match { ended }.wait(CLOSE_GRACE, &Interrupt::new()) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(%error, "The engine's thread had died; its claims run again when their leases run out");
            }
            None => tracing::warn!("The engine was closed without waiting for its database, which hangs"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
