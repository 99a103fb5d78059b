//! Owns: the durable side, as traits. A store loads graphs under lock, applies what `plan` changed in
//! them with one transaction, and commits. Refuses: deciding anything.

pub mod catalogue;
mod metadata;
pub mod postgres;
pub mod sqlite;
mod turns;
mod view;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::channel::Bell;
use crate::clock::Micros;
use crate::error::Result;
use crate::graph::Graph;
use crate::state::TaskState;
pub use turns::in_turn;
pub use view::{StepView, TaskView, TransitionView};

use catalogue::Catalogue;

/// A place where tasks live. One thread writes through it.
pub trait Store: Send {
    /// Opens a transaction that holds the right to write. Dropped without commit, it never was.
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>>;

    /// What another process may have committed since this was last asked. Cheap enough to ask often.
    fn changed_elsewhere(&mut self) -> Result<Option<Change>>;

    /// Rings `bell` from now on when another process may have committed. A store that can only be asked does nothing.
    fn ring(&mut self, bell: Arc<Bell>);

    /// How often an idle worker asks whether another process committed, when it is set to `configured`.
    fn ask_every(&self, configured: Duration) -> Duration;

    /// The side that reads without the right to write.
    fn reader(&self) -> Arc<dyn Reader>;

    /// How many connections it may hold at once.
    fn connections(&self) -> usize;

    /// The way to keep the process out of the store while it forks.
    fn around_fork(&self) -> Arc<dyn AroundFork>;

    /// Where the data is, for logs and status.
    fn describe(&self) -> String;
}

/// What another process may have committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Steps that may be claimed.
    Steps,
    /// Anything: perhaps also something that is due at a time.
    Any,
}

/// Brings a process through a fork. A child inherits the memory of its parent's connections, with
/// whatever lock another thread held in it at that moment, and would wait for that lock for ever.
pub trait AroundFork: Send + Sync {
    /// Waits until no thread of this process is in the store, keeps them out while `fork` runs, and
    /// closes the inherited connections when `fork` says that it came back in the child.
    fn around_fork(&self, fork: &mut dyn FnMut() -> bool);

    /// In the child of a fork that did not pass there: closes the inherited connections, if they must be. False: they
    /// must, and cannot, because the parent was at work with one.
    fn close_inherited(&self) -> bool {
        true
    }
}

/// A step that may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its task's namespace.
    pub namespace: Arc<str>,
    /// Its task's priority.
    pub priority: i32,
    /// Its task's number.
    pub task_id: i64,
    /// Its position in the task.
    pub position: usize,
}

/// Steps that may be claimed, in the order they are to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Enqueued {
    /// The steps. Nobody else claims them before this transaction ends.
    pub steps: Vec<Candidate>,
    /// Whether there may be others.
    pub more: bool,
}

/// What names a task besides its UUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey {
    /// The template's namespace.
    pub namespace: Arc<str>,
    /// The template's name.
    pub name: Arc<str>,
    /// The caller's key.
    pub key: String,
}

/// A task that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Existing {
    /// The task.
    pub task_uuid: Uuid,
    /// Its correlation id.
    pub correlation_id: Uuid,
    /// Its trace.
    pub trace_id: u128,
}

/// What the passing of time has brought up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Pending tasks whose `run_at` has come.
    pub tasks: Vec<i64>,
    /// Steps whose wait for a retry is over.
    pub retries: Vec<(i64, usize)>,
    /// Steps whose lease has run out.
    pub leases: Vec<(i64, usize)>,
}

/// What waits in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Tasks with a step that is enqueued, runs or waits for a retry.
    pub tasks_active: usize,
    /// Enqueued steps.
    pub steps_enqueued: usize,
    /// Since when the longest waiting of them waits.
    pub oldest: Option<Micros>,
}

/// A claim as the worker that holds it names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The task's number.
    pub task_id: i64,
    /// The step's position.
    pub position: usize,
    /// The attempt.
    pub attempt: u32,
}

/// The process a worker lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerProcess {
    /// The worker.
    pub worker_id: Arc<str>,
    /// The machine and process space `pid` means something in.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When the process started, as its machine tells it: a pid that was given anew differs here.
    pub process_started: String,
}

/// What a claimed step works on.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The task's context.
    pub context: Arc<str>,
    /// Results of the steps it depends on, by name; in the order of the template.
    pub dependency_results: Vec<(Arc<str>, Arc<str>)>,
}

/// One transaction.
///
/// Several of them may run beside each other, in other processes. So that no two wait for each other, a
/// transaction waits only in the order of these methods: first [`Transaction::load`], once, with every task that it
/// must have; then [`Transaction::find_idempotent`], once. What comes later is left to whoever holds it already.
pub trait Transaction {
    /// The number of the task with that UUID.
    fn find(&mut self, task_uuid: Uuid) -> Result<Option<i64>>;
    /// Those of the tasks that exist, with their steps, locked until the end; in the order of their numbers.
    fn load(&mut self, task_ids: &[i64]) -> Result<Vec<Graph>>;
    /// The tasks that idempotency keys name, in the order of the keys. Another transaction that asks for one of
    /// them waits until this one has ended.
    fn find_idempotent(&mut self, keys: &[IdempotencyKey]) -> Result<Vec<Option<Existing>>>;
    /// Keeps a template's document and gives its number: the one it had, when it is known already.
    fn keep_template(&mut self, template: &crate::template::Template, now: Micros) -> Result<i64>;
    /// What is due at `now` and nobody else is at work on, at most `limit` of each kind.
    fn due(&mut self, now: Micros, limit: usize) -> Result<Due>;
    /// When something is next due.
    fn next_due(&mut self) -> Result<Option<Micros>>;
    /// What waits, going through at most `limit` rows of each kind.
    fn backlog(&mut self, limit: usize) -> Result<Backlog>;
    /// At most `limit` enqueued steps whose tasks nobody else is at work on; empty `namespaces` means all.
    fn enqueued(&mut self, namespaces: &[String], limit: usize) -> Result<Enqueued>;
    /// What steps of the graphs work on.
    fn inputs(&mut self, steps: &[(&Graph, usize)]) -> Result<Vec<Inputs>>;
    /// Renews leases; gives the claims that are no longer this worker's.
    fn renew(&mut self, worker_id: &str, held: &[Held], until: Micros) -> Result<Vec<Held>>;
    /// Makes a worker known.
    fn register_worker(&mut self, worker: &WorkerProcess, now: Micros) -> Result<()>;
    /// Forgets a worker; leases it still holds are due at once.
    fn forget_worker(&mut self, worker_id: &str) -> Result<()>;
    /// The workers of that host.
    fn workers(&mut self, host: &str) -> Result<Vec<WorkerProcess>>;
    /// Deletes finished tasks that ended before `before`, at most `limit` of them, with all that belongs to them,
    /// and what other things of that age are of no use any more. Gives how many tasks.
    fn prune(&mut self, before: Micros, limit: usize) -> Result<usize>;
    /// Writes what changed in the graphs; new tasks and steps get their numbers.
    fn apply(&mut self, graphs: &mut [Graph]) -> Result<()>;
    /// Makes it all durable.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// Reads committed data, from any thread.
pub trait Reader: Send + Sync {
    /// A task with its steps.
    fn task(&self, task_uuid: Uuid) -> Result<TaskView>;
    /// A task's state.
    fn state(&self, task_uuid: Uuid) -> Result<TaskState>;
    /// A task's and its steps' transitions, in the order they happened.
    fn transitions(&self, task_uuid: Uuid) -> Result<Vec<TransitionView>>;
    /// How many tasks there are, by state.
    fn count_tasks(&self) -> Result<Vec<(String, i64)>>;
    /// Adds the stored templates of that name to the catalogue.
    fn read_templates(&self, namespace: &str, name: &str, catalogue: &Catalogue) -> Result<()>;
}
