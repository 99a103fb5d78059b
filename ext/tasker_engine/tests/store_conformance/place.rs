//! Where a store is, and short words for what the suite does with it.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::clock::{Clock, Micros, Now};
use tasker_engine::config::Config;
use tasker_engine::graph::Graph;
use tasker_engine::ids::{self, Dice};
use tasker_engine::plan::{self, NewTask, Settlement};
use tasker_engine::step::StepError;
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::store::sqlite::SqliteStore;
use tasker_engine::store::{Commit, Hold, Loaded, Store, Transaction};
use tasker_engine::task::TaskTrace;
use tasker_engine::template::Template;

use crate::harness::postgres::{psql, Database};
use crate::harness::{config, Folder};

pub const NOW: Micros = Micros(1_700_000_000_000_000);

type Sql = Box<dyn Fn(&str) -> String>;

/// A place for data.
pub struct Place {
    open: Box<dyn Fn() -> Box<dyn Store>>,
    /// Whether every opening of it sees the same data.
    pub shared: bool,
    /// Whether a store can say for certain what it was asked; otherwise it is told, and asks now and then.
    pub certain: bool,
    /// Lets time pass for leases.
    pass: Box<dyn Fn(Duration)>,
    /// Gives what a process hears that cannot open it.
    refusal: Box<dyn Fn() -> String>,
    /// Runs SQL from outside, where that can be done. Tables are named as PostgreSQL has them: `tasker.tasks`.
    sql: Option<Sql>,
}

impl Place {
    pub fn open(&self) -> Box<dyn Store> {
        (self.open)()
    }

    pub fn pass(&self, duration: Duration) {
        (self.pass)(duration);
    }

    /// Why it cannot be opened.
    pub fn refusal(&self) -> String {
        (self.refusal)()
    }

    /// Says that a newer version has migrated it, and which versions still work with it.
    pub fn newer_schema(&self, works_with: u32) {
        self.sql(&format!(
            "INSERT INTO tasker.schema_migrations (version, name, works_with) \
             SELECT max(version) + 1, 'later', {works_with} FROM tasker.schema_migrations"
        ));
        if self.certain {
            // SQLite's short way to the same number.
            self.sql("PRAGMA user_version = 99");
        }
    }

    /// Whether somebody else can change what is stored.
    pub fn has_sql(&self) -> bool {
        self.sql.is_some()
    }

    /// Runs SQL from outside and gives what it says: rows a line each, columns separated by `|`.
    pub fn sql(&self, sql: &str) -> String {
        self.sql.as_ref().unwrap()(sql)
    }
}

pub fn sqlite_file(folder: &Folder) -> Place {
    let clock = at(0);
    let (database, file, time) = (folder.sqlite(), folder.sqlite(), clock.clone());
    let open = move || Box::new(sqlite(&config(&database), &time)) as _;
    let refused = config(&folder.sqlite());
    Place {
        open: Box::new(open),
        refusal: Box::new(move || SqliteStore::open(&refused, Arc::default()).err().unwrap().to_string()),
        shared: true,
        certain: true,
        pass: Box::new(move |duration| clock.advance(duration)),
        sql: Some(Box::new(move |sql| sqlite_sql(&file, &sql.replace("tasker.", "")))),
    }
}

/// Leases are by the server's clock, which nobody here moves: they grow old instead.
pub fn postgres(database: &Database) -> Place {
    let (url, refused) = (database.url(), database.url());
    let open = move || Box::new(PostgresStore::open(&config(&url), Arc::new(Catalogue::default())).unwrap()) as _;
    let [age, sql] = [(); 2].map(|()| database.url());
    Place {
        open: Box::new(open),
        shared: true,
        certain: false,
        pass: Box::new(move |time| {
            let seconds = time.as_secs_f64();
            let older = |table: &str, column: &str| {
                psql(&age, &format!("UPDATE tasker.{table} SET {column} = {column} - interval '{seconds} seconds'"));
            };
            older("workers", "lease_until");
            older("event_groups", "held_until");
            older("event_deliveries", "due_at");
        }),
        refusal: Box::new(move || PostgresStore::open(&config(&refused), Arc::default()).err().unwrap().to_string()),
        sql: Some(Box::new(move |text| psql(&sql, text))),
    }
}

pub fn sqlite_memory() -> Place {
    let memory = Config { database: ":memory:".into(), ..Config::default() };
    let clock = at(0);
    let time = clock.clone();
    let open = move || Box::new(sqlite(&memory, &time)) as _;
    let pass = Box::new(move |duration| clock.advance(duration));
    Place { open: Box::new(open), shared: false, certain: true, pass, refusal: Box::new(String::new), sql: None }
}

fn sqlite(config: &Config, clock: &Clock) -> SqliteStore {
    SqliteStore::open_with(config, Arc::new(Catalogue::default()), clock.clone()).unwrap()
}

/// What another program does to the file.
pub fn sqlite_sql(file: &str, sql: &str) -> String {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.busy_timeout(crate::harness::PATIENCE).unwrap();
    let mut told = Vec::new();
    let mut batch = rusqlite::Batch::new(&connection, sql);
    while let Some(mut statement) = batch.next().unwrap() {
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let text = |column| match row.get_unwrap::<_, rusqlite::types::Value>(column) {
                rusqlite::types::Value::Null => String::new(),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            };
            told.push((0..columns).map(text).collect::<Vec<_>>().join("|"));
        }
    }
    told.join("\n")
}

pub fn seconds(count: u64) -> Micros {
    NOW.after(Duration::from_secs(count))
}

/// A clock that stands still.
fn at(count: u64) -> Clock {
    Clock::manual(seconds(count))
}

/// One transaction, committed.
pub fn write<T>(store: &mut dyn Store, body: impl FnOnce(&mut dyn Transaction) -> T) -> T {
    let mut transaction = store.begin().unwrap();
    let answer = body(transaction.as_mut());
    transaction.commit(&Commit::default()).unwrap();
    answer
}

/// Loads a task, changes it and stores what changed; gives the graph as it was applied.
pub fn change(store: &mut dyn Store, task_id: i64, body: impl FnOnce(&mut Graph)) -> Graph {
    write(store, |transaction| {
        let mut graphs = [read(transaction, task_id)];
        body(&mut graphs[0]);
        transaction.write(&mut graphs).unwrap();
        let [graph] = graphs;
        graph
    })
}

/// A task as the transaction sees it.
pub fn read(transaction: &mut dyn Transaction, task_id: i64) -> Graph {
    let Loaded { mut graphs, unreadable } = transaction.load(&[task_id], Hold::Locked).unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    graphs.remove(0)
}

pub fn load(store: &mut dyn Store, task_id: i64) -> Graph {
    write(store, |transaction| read(transaction, task_id))
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
pub fn insert(store: &mut dyn Store, new: NewTask, now: Micros) -> Graph {
    let mut graph = plan::submit(&new, now, &mut Dice::new());
    if graph.task.run_at.is_none() {
        plan::initialize(&mut graph, now).unwrap();
    }
    let mut transaction = store.begin().unwrap();
    let mut graphs = [graph];
    transaction.write(&mut graphs).unwrap();
    transaction.commit(&Commit { steps_enqueued: true, ..Commit::default() }).unwrap();
    let [graph] = graphs;
    graph
}

pub fn started(store: &mut dyn Store) -> Graph {
    let new = new_task(store, "default");
    insert(store, new, NOW)
}

pub fn claim(store: &mut dyn Store, task_id: i64, position: usize, worker: &str, now: Micros) -> Graph {
    change(store, task_id, |graph| plan::claim(graph, position, &Arc::from(worker), now, &mut Dice::new()).unwrap())
}

/// Ends the current attempt of a step, and decides what follows.
pub fn settle(graph: &mut Graph, position: usize, outcome: Result<&str, StepError>, now: Micros) {
    let token = graph.steps[position].span_id.unwrap();
    let settlement = Settlement { position, token, outcome: outcome.map(Arc::from), reason: None };
    plan::settle(graph, &settlement, Now::both(now), &mut Dice::new()).unwrap();
    plan::evaluate(graph, now, 1, now).unwrap();
}
