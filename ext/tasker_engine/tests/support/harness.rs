//! A worker whose handlers are Rust closures: what Ruby's handler threads do, without Ruby.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tasker_engine::bootstrap::Engine;
use tasker_engine::channel::{Channel, StepCompletion, StepEvent};
use tasker_engine::clock::Clock;
use tasker_engine::config::{Config, WorkerConfig};
use tasker_engine::interrupt::Interrupt;
use tasker_engine::step::StepError;
use tasker_engine::store::TaskView;
use tasker_engine::task::{Submitted, TaskRequest};
use tasker_engine::template::Template;
use uuid::Uuid;

/// Longer than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[path = "postgres.rs"]
pub mod postgres;

/// A folder that goes away with the value, and with it the database in it: a file, or on a server when TEST_STORE
/// is `postgres`.
pub struct Folder(pub PathBuf, Option<postgres::Database>);

pub fn on_server() -> bool {
    std::env::var("TEST_STORE").is_ok_and(|store| store == "postgres")
}

impl Folder {
    pub fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("tasker-test-{}", Uuid::new_v7_like()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path, on_server().then(|| postgres::Database::new().expect("TEST_DATABASE_URL is needed")))
    }

    pub fn database(&self) -> String {
        match &self.1 {
            Some(database) => database.url(),
            None => self.sqlite(),
        }
    }

    /// Lets time pass for a worker, and for all leases: on a server they go by its clock, which nobody can move, and are
    /// moved themselves.
    pub fn pass(&self, clock: &Clock, duration: Duration) {
        if let Some(database) = &self.1 {
            let micros = duration.as_micros();
            let lapse =
                format!("UPDATE tasker.workers SET lease_until = lease_until - interval '{micros} microseconds'");
            database.sql(&lapse);
        }
        clock.advance(duration);
    }

    pub fn sqlite(&self) -> String {
        self.0.join("tasker.sqlite3").display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

trait Fresh {
    fn new_v7_like() -> Uuid;
}

impl Fresh for Uuid {
    fn new_v7_like() -> Uuid {
        tasker_engine::ids::uuid_v7(Clock::System.now())
    }
}

pub fn config(database: &str) -> Config {
    let database = if database == ":memory:" && on_server() { lasting() } else { database.to_owned() };
    Config { database, ..Config::default() }
}

/// A database that nobody but this test knows. It is left to the server, which is a throw-away one.
fn lasting() -> String {
    let database = std::mem::ManuallyDrop::new(postgres::Database::new().expect("TEST_DATABASE_URL is needed"));
    database.url()
}

pub fn worker(concurrency: usize) -> WorkerConfig {
    WorkerConfig { concurrency, ..WorkerConfig::default() }
}

pub fn request(name: &str, context: &str) -> TaskRequest {
    serde_json::from_str(&format!(r#"{{"name":"{name}","context":{context}}}"#)).unwrap()
}

/// The same in a namespace.
pub fn request_in(namespace: &str, name: &str, context: &str) -> TaskRequest {
    TaskRequest { namespace: namespace.to_owned(), ..request(name, context) }
}

pub fn submit(engine: &Engine, name: &str) -> Submitted {
    engine.submit(vec![request(name, "{}")]).unwrap().remove(0).unwrap()
}

pub fn register(engine: &Engine, yaml: &str) {
    engine.register_template(Template::from_yaml("test", yaml).unwrap()).unwrap();
}

/// Waits for the task and gives it.
pub fn finished(engine: &Engine, task_uuid: Uuid) -> TaskView {
    assert!(engine.wait(task_uuid, Some(PATIENCE), &Interrupt::new()).unwrap(), "{:?}", engine.task(task_uuid));
    engine.task(task_uuid).unwrap()
}

pub fn states(task: &TaskView) -> Vec<(String, String)> {
    task.steps.iter().map(|step| (step.name.clone(), step.state.clone())).collect()
}

pub type Outcome = Result<String, StepError>;

/// Handler threads.
pub struct Handlers {
    channel: Arc<Channel>,
    threads: Vec<JoinHandle<()>>,
}

impl Handlers {
    pub fn start(
        engine: &Engine,
        threads: usize,
        handler: impl Fn(&StepEvent) -> Outcome + Send + Sync + 'static,
    ) -> Handlers {
        let channel = Arc::clone(engine.channel());
        let handler = Arc::new(handler);
        let run = || {
            let (channel, handler) = (Arc::clone(&channel), Arc::clone(&handler));
            std::thread::spawn(move || handle(&channel, &*handler))
        };
        Handlers { threads: (0..threads).map(|_| run()).collect(), channel: channel.clone() }
    }

    pub fn stop(self) {
        self.channel.close();
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn handle(channel: &Arc<Channel>, handler: &dyn Fn(&StepEvent) -> Outcome) {
    loop {
        while let Some(event) = channel.try_poll() {
            let started_at = Clock::System.now();
            let outcome = handler(&event);
            let execution_time_ms = Clock::System.now().millis_since(started_at);
            channel.complete(completion(&event, outcome, Some((started_at, execution_time_ms))));
        }
        if !channel.wait(PATIENCE, &Interrupt::new()).unwrap() && channel.is_closed() {
            return;
        }
    }
}

pub fn completion(
    event: &StepEvent,
    outcome: Outcome,
    run: Option<(tasker_engine::clock::Micros, f64)>,
) -> StepCompletion {
    StepCompletion {
        event_id: event.event_id,
        task_uuid: event.task_uuid,
        step_uuid: event.step_uuid,
        outcome,
        started_at: run.map(|run| run.0),
        execution_time_ms: run.map(|run| run.1),
        trace_id: event.trace_id.clone(),
        span_id: event.span_id.clone(),
        said: None,
    }
}

/// A clock that stands still, at the present.
pub fn manual() -> Clock {
    Clock::manual(Clock::System.now())
}

/// An engine with a worker, and no handler threads: the test takes the events itself.
pub fn working(database: &str, clock: Clock, concurrency: usize, yaml: &str) -> Arc<Engine> {
    let engine = Engine::open_with(&config(database), clock).unwrap();
    register(&engine, yaml);
    engine.start_worker(worker(concurrency)).unwrap();
    engine
}

/// Returns when the engine has dealt with everything that came before: completions, cancellations,
/// time that has passed. What could be claimed then is claimed, and in the channel.
pub fn settled(engine: &Engine) {
    register(engine, "{name: barrier, namespace: harness, steps: [{name: only, handler: noop}]}");
}

/// Returns when there is certainly no event for a handler thread.
pub fn no_event(engine: &Engine) {
    settled(engine);
    let event = engine.channel().try_poll();
    assert!(event.is_none(), "unexpected: {event:?}");
}

/// Hands a result in, as a handler thread would.
pub fn succeed(engine: &Engine, event: &StepEvent, result: &str) {
    engine.channel().complete(completion(event, Ok(result.into()), a_second(event)));
}

/// Hands an error in, as a handler thread would.
pub fn fail(engine: &Engine, event: &StepEvent, error: StepError) {
    engine.channel().complete(completion(event, Err(error), a_second(event)));
}

/// Lets the worker see one slow handler: from then on it claims no more than its concurrency.
pub fn unhurried(engine: &Engine) {
    register(engine, SINGLE);
    submit(engine, "single");
    run(engine, "only", "1");
    settled(engine);
    settled(engine);
}

/// The run of a handler so slow that its worker claims nothing ahead.
fn a_second(event: &StepEvent) -> Option<(tasker_engine::clock::Micros, f64)> {
    Some((event.dispatched_at, 1000.0))
}

/// Takes the next event, which must be of that step, and hands in a result.
pub fn run(engine: &Engine, step: &str, result: &str) {
    let event = next_event(engine);
    assert_eq!(&*event.step_name, step);
    succeed(engine, &event, result);
}

pub fn total(engine: &Engine, name: &str) -> u64 {
    engine.status()["totals"][name].as_u64().unwrap()
}

/// Looks until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// The task's moves, or a step's: `pending>enqueued …`.
pub fn moves(engine: &Engine, task_uuid: Uuid, step: Option<&str>) -> String {
    let all = engine.transitions(task_uuid).unwrap();
    let of = all.iter().filter(|t| t.step.as_deref() == step);
    of.fold("pending".to_owned(), |told, t| {
        assert!(told.ends_with(&t.from_state), "{told} is followed by {} > {}", t.from_state, t.to_state);
        format!("{told} {}", t.to_state)
    })
}

pub fn result_of(task: &TaskView, step: &str) -> String {
    let step = task.steps.iter().find(|found| found.name == step).unwrap();
    step.result.as_ref().unwrap_or_else(|| panic!("no result: {step:?}")).get().to_owned()
}

/// Waits for the next event, as a handler thread would.
pub fn next_event(engine: &Engine) -> StepEvent {
    loop {
        if let Some(event) = engine.channel().try_poll() {
            return event;
        }
        assert!(engine.channel().wait(PATIENCE, &Interrupt::new()).unwrap(), "no event within {PATIENCE:?}");
    }
}

pub fn failure(message: &str, retryable: bool) -> StepError {
    StepError { class_name: "RuntimeError".into(), message: message.into(), retryable, ..StepError::default() }
}

pub const LINEAR: &str = "
name: linear
steps:
  - {name: one, handler: noop}
  - {name: two, handler: noop, dependencies: [one]}
  - {name: three, handler: noop, dependencies: [two]}
  - {name: four, handler: noop, dependencies: [three]}
";

/// Two free steps, and one that needs both.
pub const DIAMOND: &str = "
name: diamond
steps:
  - {name: top, handler: noop}
  - {name: left, handler: noop, dependencies: [top]}
  - {name: right, handler: noop, dependencies: [top]}
  - {name: bottom, handler: noop, dependencies: [right, left]}
";

/// One step that is tried once.
pub const SINGLE: &str = "
name: single
steps:
  - {name: only, handler: noop, retry: {max_attempts: 1}}
";
