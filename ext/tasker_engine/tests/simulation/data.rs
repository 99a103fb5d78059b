//! What is committed, and who has locked what: one database, as PostgreSQL would hold it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tasker_engine::graph::Graph;
use tasker_engine::store::{Holdings, IdempotencyKey, WorkerProcess};
use tasker_engine::template::Template;
use uuid::Uuid;

/// A worker's row.
#[derive(Clone)]
pub struct Row {
    /// The simulated process that registered it.
    pub process: usize,
    pub worker: WorkerProcess,
    pub lease_until: i64,
    pub holdings: Holdings,
}

/// What a lock is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    Task(i64),
    Worker(Arc<str>),
    Key(IdempotencyKey),
}

#[derive(Default)]
pub struct Data {
    pub tasks: BTreeMap<i64, Graph>,
    pub by_uuid: HashMap<Uuid, i64>,
    pub by_key: BTreeMap<IdempotencyKey, i64>,
    pub workers: BTreeMap<Arc<str>, Row>,
    pub templates: Vec<Arc<Template>>,
    pub locks: BTreeMap<Lock, u64>,
    /// Transactions that are open.
    pub open: BTreeSet<u64>,
    /// Until when the server is away.
    pub away_until: i64,
    /// Until when it takes nothing new.
    pub full_until: i64,
    /// Tasks that cannot be read until a moment, or written.
    pub unreadable: BTreeMap<i64, i64>,
    pub unwritable_until: i64,
    pub next_task: i64,
    pub next_transaction: u64,
}

impl Data {
    pub fn begin(&mut self) -> u64 {
        self.next_transaction += 1;
        self.open.insert(self.next_transaction);
        self.next_transaction
    }

    /// Ends a transaction, however: its locks are gone.
    pub fn end(&mut self, transaction: u64) {
        self.open.remove(&transaction);
        self.locks.retain(|_, holder| *holder != transaction);
    }

    /// Locks it; false: somebody else has.
    pub fn lock(&mut self, lock: Lock, transaction: u64) -> bool {
        *self.locks.entry(lock).or_insert(transaction) == transaction
    }

    pub fn task_number(&mut self) -> i64 {
        self.next_task += 1;
        self.next_task
    }

    /// The task as a transaction loads it.
    pub fn load(&self, task_id: i64) -> Option<Graph> {
        let stored = self.tasks.get(&task_id)?;
        let mut graph = Graph::loaded(stored.task.clone(), stored.steps.clone());
        graph.task.context = None;
        for step in &mut graph.steps {
            (step.result, step.error, step.settled, step.changed) = (None, None, false, false);
        }
        Some(graph)
    }

    /// What the task is once `graph` is written over it: what did not change stays, results among it.
    pub fn written(&self, graph: &Graph) -> Graph {
        let mut written = Graph::loaded(graph.task.clone(), graph.steps.clone());
        if let Some(stored) = self.tasks.get(&graph.task.id) {
            written.task.context.clone_from(&stored.task.context);
            for (step, stored) in written.steps.iter_mut().zip(&stored.steps) {
                if !step.settled {
                    step.result.clone_from(&stored.result);
                    step.error.clone_from(&stored.error);
                }
                if !step.changed {
                    *step = stored.clone();
                }
            }
        }
        for step in &mut written.steps {
            (step.settled, step.changed) = (false, false);
        }
        written
    }
}
