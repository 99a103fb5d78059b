//! Where a store is, and short words for what the suite does with it.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::channel::StepError;
use tasker_engine::clock::{Clock, Micros};
use tasker_engine::config::Config;
use tasker_engine::graph::Graph;
use tasker_engine::ids;
use tasker_engine::plan::{self, Lease, NewTask, Settlement};
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::store::sqlite::SqliteStore;
use tasker_engine::store::{Store, Transaction};
use tasker_engine::task::TaskTrace;
use tasker_engine::template::Template;

use crate::harness::postgres::Database;
use crate::harness::{config, Folder};

pub const NOW: Micros = Micros(1_700_000_000_000_000);

/// A place for data.
pub struct Place {
    open: Box<dyn Fn() -> Box<dyn Store>>,
    /// Whether every opening of it sees the same data.
    pub shared: bool,
    /// Whether a store can say for certain what it was asked; otherwise it is told, and asks now and then.
    pub certain: bool,
}

impl Place {
    pub fn open(&self) -> Box<dyn Store> {
        (self.open)()
    }
}

pub fn sqlite_file(folder: &Folder) -> Place {
    let database = folder.sqlite();
    let open = move || Box::new(SqliteStore::open(&config(&database), Arc::new(Catalogue::default())).unwrap()) as _;
    Place { open: Box::new(open), shared: true, certain: true }
}

pub fn postgres(database: &Database) -> Place {
    let database = database.url();
    let open = move || Box::new(PostgresStore::open(&config(&database), Arc::new(Catalogue::default())).unwrap()) as _;
    Place { open: Box::new(open), shared: true, certain: false }
}

pub fn sqlite_memory() -> Place {
    let memory = Config { database: ":memory:".into(), ..Config::default() };
    let open = move || Box::new(SqliteStore::open(&memory, Arc::new(Catalogue::default())).unwrap()) as _;
    Place { open: Box::new(open), shared: false, certain: true }
}

pub fn seconds(count: u64) -> Micros {
    NOW.after(Duration::from_secs(count))
}

pub fn at(count: u64) -> Clock {
    Clock::manual(seconds(count))
}

/// One transaction, committed.
pub fn write<T>(store: &mut dyn Store, body: impl FnOnce(&mut dyn Transaction) -> T) -> T {
    let mut transaction = store.begin().unwrap();
    let answer = body(transaction.as_mut());
    transaction.commit().unwrap();
    answer
}

/// Loads a task, changes it and stores what changed; gives the graph as it was applied.
pub fn change(store: &mut dyn Store, task_id: i64, body: impl FnOnce(&mut Graph)) -> Graph {
    write(store, |transaction| {
        let mut graphs = [transaction.load(&[task_id]).unwrap().remove(0)];
        body(&mut graphs[0]);
        transaction.apply(&mut graphs).unwrap();
        let [graph] = graphs;
        graph
    })
}

pub fn load(store: &mut dyn Store, task_id: i64) -> Graph {
    write(store, |transaction| transaction.load(&[task_id]).unwrap().remove(0))
}

pub fn keep(store: &mut dyn Store, template: &Template) -> i64 {
    write(store, |transaction| transaction.keep_template(template, NOW).unwrap())
}

/// A template whose first two steps are free and whose third needs both.
pub fn template(namespace: &str) -> Template {
    let yaml = format!(
        "{{name: join, namespace: {namespace}, steps: [{{name: left, handler: L}}, {{name: right, handler: R}}, \
         {{name: both, handler: B, dependencies: [right, left]}}]}}"
    );
    Template::from_yaml("test", &yaml).unwrap()
}

/// A request for a `join` task, to be changed before it is stored.
pub fn new_task(store: &mut dyn Store, namespace: &str) -> NewTask {
    let template = Arc::new(template(namespace));
    NewTask {
        task_uuid: ids::uuid_v7(NOW),
        template_id: keep(store, &template),
        template,
        context: Arc::from(r#"{"order":1}"#),
        priority: 0,
        correlation_id: ids::uuid_v7(NOW),
        parent_correlation_id: None,
        idempotency_key: None,
        trace: TaskTrace {
            trace_id: ids::trace_id(),
            root_span_id: ids::span_id(),
            parent_span_id: None,
            sampled: true,
            root_recorded: false,
        },
        run_at: None,
    }
}

/// Stores a task that starts at once, or waits when it has a `run_at`.
pub fn insert(store: &mut dyn Store, new: NewTask, clock: &Clock) -> Graph {
    let mut graph = plan::submit(new, clock);
    if graph.task.run_at.is_none() {
        plan::initialize(&mut graph, clock).unwrap();
    }
    write(store, |transaction| {
        let mut graphs = [graph];
        transaction.apply(&mut graphs).unwrap();
        let [graph] = graphs;
        graph
    })
}

pub fn started(store: &mut dyn Store) -> Graph {
    let new = new_task(store, "default");
    insert(store, new, &at(0))
}

/// A lease of ten seconds.
pub fn lease(worker: &str) -> Lease {
    Lease { worker_id: Arc::from(worker), duration: Duration::from_secs(10) }
}

pub fn claim(store: &mut dyn Store, task_id: i64, position: usize, worker: &str, clock: &Clock) -> Graph {
    change(store, task_id, |graph| plan::claim(graph, position, &lease(worker), clock).unwrap())
}

/// Ends the current attempt of a step, and decides what follows.
pub fn settle(graph: &mut Graph, position: usize, outcome: Result<&str, StepError>, clock: &Clock) {
    let step = &graph.steps[position];
    let settlement = Settlement {
        position,
        attempt: step.attempts,
        worker_id: step.worker_id.clone().unwrap(),
        outcome: outcome.map(Arc::from),
        completion: None,
        reason: None,
    };
    plan::settle(graph, settlement, clock).unwrap();
    plan::evaluate(graph, clock.now(), 1, clock).unwrap();
}
