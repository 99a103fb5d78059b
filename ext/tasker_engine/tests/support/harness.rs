//! A worker whose handlers are Rust closures: what Ruby's handler threads do, without Ruby.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::channel::{Channel, StepCompletion, StepError, StepEvent};
use tasker_engine::clock::Clock;
use tasker_engine::config::{Config, WorkerConfig};
use tasker_engine::interrupt::Interrupt;
use tasker_engine::store::TaskView;
use tasker_engine::task::{Submitted, TaskRequest};
use tasker_engine::template::Template;
use uuid::Uuid;

/// Longer than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that goes away with the value.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("tasker-test-{}", Uuid::new_v7_like()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn database(&self) -> String {
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
    Config { database: database.to_owned(), ..Config::default() }
}

pub fn worker(concurrency: usize) -> WorkerConfig {
    WorkerConfig { concurrency, ..WorkerConfig::default() }
}

pub fn request(name: &str, context: &str) -> TaskRequest {
    serde_json::from_str(&format!(r#"{{"name":"{name}","context":{context}}}"#)).unwrap()
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
            std::thread::spawn(move || run(&channel, &*handler))
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

fn run(channel: &Arc<Channel>, handler: &dyn Fn(&StepEvent) -> Outcome) {
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
    }
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
