//! Owns: the durable side, as traits. A store loads graphs under lock, writes what `plan` changed in
//! them with one transaction, and commits. Refuses: deciding anything.

mod backlog;
pub mod catalogue;
mod claim_order;
mod journal;
mod observer;
pub mod postgres;
pub mod sqlite;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::bell::Bell;
use crate::clock::{Micros, Now};
use crate::error::{Error, Result};
use crate::event::DomainEvent;
use crate::graph::Graph;
use crate::state::TaskState;
pub use backlog::{Backlog, Queue};
pub use claim_order::claim_order;
pub use observer::Observer;
pub use view::{StepView, TaskView, TransitionView};

use catalogue::Catalogue;

/// A place where tasks live. One thread writes through it.
pub trait Store: Send {
    /// Opens a transaction that holds the right to write. Dropped without commit, it never was.
    ///
    /// # Errors
    /// An error from here means that the store is away; one from a later call may be the fault of what was written.
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>>;

    /// Which session at the store's server this is, made anew if need be. In another one the server may have forgotten what
    /// was committed last: it has crashed without waiting for its disk, or another one has taken its place.
    ///
    /// # Errors
    /// The server is away.
    fn session(&mut self) -> Result<u64> {
        Ok(0)
    }

    /// The present moment by a clock that all processes of the store share, so that a process whose wall clock is wrong, or
    /// set, makes no retry late: the server's, or the machine's since boot, said as a time of day.
    fn time(&self) -> Micros;

    /// What another process may have committed since this was last asked. Cheap enough to ask often.
    fn changed_elsewhere(&mut self) -> Result<Option<Change>>;

    /// Rings `bell` from now on when another process may have committed; `None`: none any more. A store that can only be asked
    /// does nothing.
    fn subscribe(&mut self, bell: Option<Arc<Bell>>);

    /// How often an idle worker asks whether another process committed, when it is set to `configured`.
    fn poll_interval(&self, configured: Duration) -> Duration;

    /// Sends what commits left to be sent a moment later. Gives how long until it should be called again; `None`: nothing
    /// is left.
    fn flush_notices(&mut self) -> Option<Duration>;

    /// The side that reads without the right to write.
    fn reader(&self) -> Arc<dyn Reader>;

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
pub struct Claimable {
    /// The steps, perhaps more than were asked for: others may be at work on some of them. Nothing is locked.
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

/// Tasks with their steps, as they are.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those that could be read, in the order of their numbers.
    pub graphs: Vec<Graph>,
    /// Those that are there and make no sense to this version, and why. They are left alone.
    pub unreadable: Vec<(i64, Error)>,
}

/// Whether a task that is loaded must be this transaction's alone from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is: whoever else wants it waits.
    Locked,
    /// It is, if nobody else is at work on it; otherwise it is left out. Never waits.
    IfFree,
    /// A store may give what it remembers of a task of which all that can move is claimed by this process. Should another
    /// transaction have changed it all the same, the commit fails with [`Error::Contention`].
    Remembered,
}

/// What the passing of time has brought up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Pending tasks whose `run_at` has come.
    pub tasks: Vec<i64>,
    /// Steps whose wait for a retry is over.
    pub retries: Vec<(i64, usize)>,
}

/// Connections of this process to the store, the one that writes among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that are there.
    pub open: usize,
    /// Those among them on which somebody reads.
    pub reading: usize,
    /// How many there may be.
    pub max: usize,
}

/// A claim, by the token that no other claim has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The task's number.
    pub task_id: i64,
    /// The step's position.
    pub position: usize,
    /// The claim's token.
    pub token: u64,
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

/// What a worker's row says of its claims, so that whoever finds it dead finds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Numbers of all tasks in which it has a claim, perhaps of others too.
    pub tasks: Vec<i64>,
    /// Tokens of claims that no handler has begun: they cost no attempt.
    pub unbegun: Vec<u64>,
}

/// A worker whose lease has run out, or that was named. Its row is this transaction's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LapsedWorker {
    /// The worker.
    pub worker_id: Arc<str>,
    /// What its row says.
    pub holdings: Holdings,
}

/// What a step works on.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The task's context.
    pub context: Arc<str>,
    /// Results of the steps it depends on, by name; in the order of the template.
    pub dependency_results: Vec<(Arc<str>, Arc<str>)>,
}

/// What a commit brings with it.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The worker whose claims these are, with its lease and what it holds after this transaction, when its row must say
    /// so: it then holds the row too, or the commit fails with [`Error::LeaseLost`].
    pub holdings: Option<(Arc<str>, Duration, Holdings)>,
    /// Steps were left to whoever wants them.
    pub steps_enqueued: bool,
    /// When something becomes due that was not before.
    pub due: bool,
    /// Tasks that have ended: whoever waits for one is told.
    pub ended: Vec<Uuid>,
    /// It wrote events: whoever follows them is told.
    pub events: bool,
    /// Whether it must survive a crash of the database's server before anybody hears of it.
    pub flushed: bool,
}

/// One transaction.
///
/// Several of them may run beside each other, in other processes. So that no two wait for each other, a
/// transaction waits only in the order of these methods: first [`Transaction::load`] with every task that it
/// must have; then [`Transaction::find_idempotent`], once; at the end [`Transaction::commit`]. In between, `load` is
/// called again only for what it holds already or nobody else does ([`Hold::IfFree`]); everything else leaves out what
/// others have locked.
///
/// `except` names tasks to leave alone.
pub trait Transaction {
    /// The numbers of the tasks with those UUIDs, as far as there are any.
    fn find(&mut self, task_uuids: &[Uuid]) -> Result<HashMap<Uuid, i64>>;
    /// Those of the tasks that exist, with their steps.
    fn load(&mut self, task_ids: &[i64], hold: Hold) -> Result<Loaded>;
    /// Those of the tasks that nobody else is at work on and that have an enqueued step, with their steps: the first `most`
    /// of them. Never waits.
    fn load_claimable(&mut self, task_ids: &[i64], most: usize) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        for task_id in task_ids {
            if loaded.graphs.len() + loaded.unreadable.len() == most {
                break;
            }
            let mut next = self.load(&[*task_id], Hold::IfFree)?;
            loaded.graphs.append(&mut next.graphs);
            loaded.unreadable.append(&mut next.unreadable);
        }
        Ok(loaded)
    }
    /// The tasks that idempotency keys name, in the order of the keys. Another transaction that asks for one of
    /// them waits until this one has ended.
    fn find_idempotent(&mut self, keys: &[IdempotencyKey]) -> Result<Vec<Option<Existing>>>;
    /// Keeps a template's document and gives its number: the one it had, when it is known already.
    fn keep_template(&mut self, template: &crate::template::Template, now: Micros) -> Result<i64>;
    /// What is due at `now` and nobody else is at work on, at most `limit` of each kind: retries by the store's clock, tasks
    /// by the one that people set their watches by, which on one machine is the wall clock.
    fn due(&mut self, now: Now, limit: usize, except: &[i64]) -> Result<Due>;
    /// How long after `now` something is next due, as this transaction leaves it.
    fn next_due(&mut self, now: Now, except: &[i64]) -> Result<Option<Duration>>;
    /// What waits, going through at most `limit` rows of each kind, of each queue an equal share.
    fn backlog(&mut self, limit: usize) -> Result<Backlog>;
    /// Enqueued steps, `limit` of them or somewhat more; empty `namespaces` means all.
    fn claimable(&mut self, namespaces: &[String], limit: usize, except: &[i64]) -> Result<Claimable>;
    /// What steps of the graphs work on.
    fn inputs(&mut self, steps: &[(&Graph, usize)]) -> Result<Vec<Inputs>>;
    /// Makes a worker known, with a lease from now on.
    fn register_worker(&mut self, worker: &WorkerProcess, lease: Duration, now: Micros) -> Result<()>;
    /// Renews a worker's lease. False: there is no such worker any more, its claims are lost.
    fn renew(&mut self, worker_id: &str, lease: Duration) -> Result<bool>;
    /// Workers whose lease has run out, and those `named`; not those that another transaction deals with.
    fn lapsed_workers(&mut self, named: &[String]) -> Result<Vec<LapsedWorker>>;
    /// Forgets workers, after their claims were dealt with.
    fn deregister(&mut self, workers: &[Arc<str>]) -> Result<()>;
    /// Those of the claims that are nobody's any more, or somebody else's. Locks nothing.
    fn lost(&mut self, claims: &[Claim]) -> Result<Vec<Claim>>;
    /// What a worker's row says of its claims; `None`: there is no such worker.
    fn holdings(&mut self, worker_id: &str) -> Result<Option<Holdings>>;
    /// The workers of that host.
    fn workers(&mut self, host: &str) -> Result<Vec<WorkerProcess>>;
    /// Deletes finished tasks that ended before `before`, at most `limit` of them, with all that belongs to them. Gives
    /// how many tasks.
    fn prune(&mut self, before: Micros, limit: usize) -> Result<usize>;
    /// Deletes events that were fired before `before`, at most `limit` of them, whoever has not read them yet; but none that
    /// a group has still to try again, or that waits for a person. Gives how many.
    fn prune_events(&mut self, before: Micros, limit: usize) -> Result<usize>;
    /// Writes what changed in the graphs; new tasks get their numbers.
    fn write(&mut self, graphs: &mut [Graph]) -> Result<()>;
    /// Writes events, in this order. It is called once, after [`Transaction::write`].
    fn publish(&mut self, events: &[Arc<DomainEvent>]) -> Result<()>;
    /// Makes it all durable.
    ///
    /// # Errors
    /// [`Error::Contention`]: another transaction was faster with one of the tasks; nothing happened, and it may be
    /// tried again. [`Error::LeaseLost`]: the worker's row is gone; nothing happened. [`Error::Unknown`]: the answer was
    /// lost, and how it ended could not be found out.
    fn commit(self: Box<Self>, commit: &Commit) -> Result<()>;
}

/// Told of tasks that ended.
pub type OnEnd = Arc<dyn Fn(Ended<'_>) + Send + Sync>;

/// Which tasks ended.
#[derive(Debug, Clone, Copy)]
pub enum Ended<'a> {
    /// These.
    These(&'a [Uuid]),
    /// Perhaps any: whoever waits should look.
    Any,
}

/// Reads committed data, from any thread.
pub trait Reader: Send + Sync {
    /// A task with its steps.
    fn task(&self, task_uuid: Uuid) -> Result<TaskView>;
    /// A task's state.
    fn state(&self, task_uuid: Uuid) -> Result<TaskState>;
    /// Those of the tasks that are over, in one look.
    fn ended(&self, tasks: &[Uuid]) -> Result<Vec<Uuid>>;
    /// A task's and its steps' transitions, in the order they happened.
    fn transitions(&self, task_uuid: Uuid) -> Result<Vec<TransitionView>>;
    /// How many tasks there are, by state.
    fn count_tasks(&self) -> Result<Vec<(String, i64)>>;
    /// Adds the stored templates of that name to the catalogue. One that cannot be read is left out.
    fn read_templates(&self, namespace: &str, name: &str, catalogue: &Catalogue) -> Result<()>;
    /// Runs `work`, which reads and may hang, in a thread of its own.
    fn aside(&self, work: Box<dyn FnOnce() + Send>) -> Result<()> {
        let thread = std::thread::Builder::new().name("tasker-aside".into()).spawn(work);
        thread.map(drop).map_err(|error| Error::cannot_start("a thread", &error))
    }
    /// The store's connections, as they are now. Never waits.
    fn connections(&self) -> Connections;
    /// Somebody in this process waits for the ends of tasks that other processes may carry out: from now on, for as
    /// long as this is called every [`WAITING`] at least, `on_end` hears of them. Says whether it will; otherwise who
    /// waits has to look.
    fn watch_ends(&self, on_end: &OnEnd) -> bool;
}

/// How often a process that waits says so.
pub const WAITING: Duration = Duration::from_secs(10);
