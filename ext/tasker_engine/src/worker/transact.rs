//! Owns: one transaction, from what arrived to what is durable: load, decide, claim, apply, commit.
//! Refuses: side effects other than the store's: what follows from it (dispatch, replies, spans) is
//! the caller's, after the commit.

mod due;
mod requests;

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::claim::{choose, Claimed};
use super::inbox::{Reply, Work};
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{self, Lease, Settlement, Verdict};
use crate::store::catalogue::Catalogue;
use crate::store::{Backlog, Existing, Held, IdempotencyKey, Store, Transaction, WorkerProcess};
use crate::template::Template;

/// How much of each kind one transaction looks at.
const DUE_LIMIT: usize = 500;
/// Rows a look at what waits goes through at most: some milliseconds.
const LOOK_LIMIT: usize = 20_000;

/// What one transaction carries.
#[derive(Default)]
pub(super) struct Batch {
    /// Requests, in the order they came.
    pub(super) work: Vec<Work>,
    /// Ends of attempts, with the task's number.
    pub(super) settlements: Vec<(i64, Settlement)>,
    /// Claims to give back, and whether their handler started.
    pub(super) hand_back: Vec<(Held, bool)>,
    /// Claims to renew.
    pub(super) renew: Vec<Held>,
    /// A worker to make known.
    pub(super) register: Option<WorkerProcess>,
    /// Workers whose process is gone, or that stop.
    pub(super) forget: Vec<String>,
    /// Whether to look for what is due.
    pub(super) look_due: bool,
    /// When it was gathered. What became due since is left to the next one: a worker that stood still in between renews
    /// its own leases first.
    pub(super) gathered_at: Micros,
    /// Whose claims these are, and the namespaces served.
    pub(super) worker: Option<(Lease, Vec<String>)>,
    /// Whether to look how much waits.
    pub(super) look_waiting: bool,
    /// How many steps to claim; `None`: none, and do not look.
    pub(super) claim: Option<usize>,
    /// Whether there may be steps to claim besides those that become ready here.
    pub(super) look_enqueued: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.work.is_empty()
            && self.settlements.is_empty()
            && self.hand_back.is_empty()
            && self.renew.is_empty()
            && self.register.is_none()
            && self.forget.is_empty()
            && !self.look_due
            && self.claim.is_none()
    }
}

/// What the transaction made durable.
#[derive(Default)]
pub(super) struct Outcome {
    /// Every graph it touched, with its transitions.
    pub(super) graphs: Vec<Graph>,
    /// An answer for each piece of work.
    pub(super) replies: Vec<Result<Reply>>,
    /// Whether each settlement counted.
    pub(super) verdicts: Vec<Verdict>,
    /// Steps claimed.
    pub(super) claimed: Vec<Claimed>,
    /// How many claims were given back: those that were still this worker's.
    pub(super) handed_back: usize,
    /// Claims that turned out to be somebody else's.
    pub(super) lost: Vec<Held>,
    /// Whether there may be more to claim.
    pub(super) backlog: bool,
    /// Whether others are at work on all that may be claimed.
    pub(super) contended: bool,
    /// Whether there may be more that is due.
    pub(super) more_due: bool,
    /// When something is next due, when that was looked up.
    pub(super) next_due: Option<Micros>,
    /// Which of the graphs were created.
    pub(super) created: Vec<usize>,
    /// What waits in the store, when that was looked up.
    pub(super) waiting: Option<Backlog>,
}

/// Carries `batch` in one transaction.
pub(super) fn transact(store: &mut dyn Store, catalogue: &Catalogue, batch: &Batch, clock: &Clock) -> Result<Outcome> {
    let mut transaction = store.begin()?;
    let mut work = Working {
        transaction: transaction.as_mut(),
        loaded: Vec::new(),
        index: HashMap::new(),
        templates: Vec::new(),
        named: HashMap::new(),
        keyed: HashMap::new(),
        clock,
    };
    let mut outcome = Outcome::default();

    work.prepare(batch)?;
    if let Some(worker) = &batch.register {
        work.transaction.register_worker(worker, clock.now())?;
    }
    for worker_id in &batch.forget {
        work.transaction.forget_worker(worker_id)?;
    }
    if let (false, Some((lease, _))) = (batch.renew.is_empty(), &batch.worker) {
        let until = clock.now().after(lease.duration);
        outcome.lost = work.transaction.renew(&lease.worker_id, &batch.renew, until)?;
    }
    for (task_id, settlement) in &batch.settlements {
        outcome.verdicts.push(work.settle(*task_id, settlement.clone())?);
    }
    for (held, started) in &batch.hand_back {
        outcome.handed_back += usize::from(work.hand_back(*held, *started)?);
    }
    for request in &batch.work {
        let reply = work.carry_out(request);
        match reply {
            Err(error @ (Error::Store(_) | Error::Contention(_) | Error::Internal(_))) => return Err(error),
            reply => outcome.replies.push(reply),
        }
    }
    if batch.look_due {
        outcome.more_due = work.due(batch.gathered_at)?;
    }
    work.evaluate()?;
    if let (Some(permits), Some((lease, namespaces))) = (batch.claim, &batch.worker) {
        let choice = choose(&mut work, permits, lease, namespaces, batch.look_enqueued)?;
        outcome.contended = choice.backlog && choice.claimed.is_empty() && permits > 0;
        outcome.claimed = choice.claimed;
        outcome.backlog = choice.backlog;
    }
    let templates = work.templates;
    let mut graphs: Vec<Graph> = work.loaded.into_iter().map(|loaded| loaded.graph).collect();
    let created = graphs.iter().enumerate().filter(|(_, graph)| graph.is_new).map(|(at, _)| at);
    outcome.created = created.collect();
    transaction.apply(&mut graphs)?;
    if batch.look_due {
        outcome.next_due = transaction.next_due()?;
    }
    if batch.look_waiting {
        outcome.waiting = Some(transaction.backlog(LOOK_LIMIT)?);
    }
    transaction.commit()?;
    for (id, template) in templates {
        catalogue.add(id, template);
    }
    outcome.graphs = graphs;
    Ok(outcome)
}

/// A graph in the transaction, and what has settled in it.
struct Loaded {
    graph: Graph,
    began: Micros,
    settled: usize,
}

/// What a transaction works on.
pub(super) struct Working<'t> {
    pub(super) transaction: &'t mut (dyn Transaction + 't),
    loaded: Vec<Loaded>,
    index: HashMap<i64, usize>,
    templates: Vec<(i64, Arc<Template>)>,
    /// Tasks that requests name.
    named: HashMap<Uuid, i64>,
    /// Tasks that are there already under the keys of new ones.
    keyed: HashMap<IdempotencyKey, Existing>,
    pub(super) clock: &'t Clock,
}

impl Working<'_> {
    /// Takes hold of all that the batch names, before anything that may be left to others.
    fn prepare(&mut self, batch: &Batch) -> Result<()> {
        let mut task_ids: Vec<i64> = batch.settlements.iter().map(|(task_id, _)| *task_id).collect();
        task_ids.extend(batch.hand_back.iter().map(|(held, _)| held.task_id));
        for task_uuid in batch.work.iter().filter_map(Work::task) {
            if let Some(task_id) = self.transaction.find(task_uuid)? {
                self.named.insert(task_uuid, task_id);
                task_ids.push(task_id);
            }
        }
        self.load(task_ids)?;
        let mut keys: Vec<IdempotencyKey> =
            batch.work.iter().flat_map(Work::new_tasks).filter_map(requests::key).collect();
        keys.sort();
        keys.dedup();
        if !keys.is_empty() {
            let existing = self.transaction.find_idempotent(&keys)?;
            self.keyed = keys.into_iter().zip(existing).filter_map(|(key, task)| Some((key, task?))).collect();
        }
        Ok(())
    }

    /// Loads those of the tasks that are there and not loaded yet.
    pub(super) fn load(&mut self, mut task_ids: Vec<i64>) -> Result<()> {
        task_ids.retain(|task_id| !self.index.contains_key(task_id));
        task_ids.sort_unstable();
        task_ids.dedup();
        if task_ids.is_empty() {
            return Ok(());
        }
        for graph in self.transaction.load(&task_ids)? {
            self.index.insert(graph.task.id, self.loaded.len());
            self.add(graph);
        }
        Ok(())
    }

    /// Where the task is among the loaded graphs.
    pub(super) fn at(&self, task_id: i64) -> Option<usize> {
        self.index.get(&task_id).copied()
    }

    fn add(&mut self, graph: Graph) -> usize {
        self.loaded.push(Loaded { graph, began: self.clock.now(), settled: 0 });
        self.loaded.len() - 1
    }

    pub(super) fn graph(&mut self, at: usize) -> &mut Graph {
        &mut self.loaded[at].graph
    }

    pub(super) fn graphs(&self) -> impl Iterator<Item = &Graph> {
        self.loaded.iter().map(|loaded| &loaded.graph)
    }

    /// What steps of the loaded graphs work on.
    pub(super) fn inputs(&mut self, steps: &[(usize, usize)]) -> Result<Vec<crate::store::Inputs>> {
        let steps: Vec<(&Graph, usize)> =
            steps.iter().map(|&(at, position)| (&self.loaded[at].graph, position)).collect();
        self.transaction.inputs(&steps)
    }

    fn settle(&mut self, task_id: i64, settlement: Settlement) -> Result<Verdict> {
        let Some(at) = self.at(task_id) else { return Ok(Verdict::Stale) };
        let loaded = &mut self.loaded[at];
        let verdict = plan::settle(&mut loaded.graph, settlement, self.clock)?;
        loaded.settled += usize::from(verdict == Verdict::Applied);
        Ok(verdict)
    }

    fn hand_back(&mut self, held: Held, started: bool) -> Result<bool> {
        let Some(at) = self.at(held.task_id) else { return Ok(false) };
        let graph = &mut self.loaded[at].graph;
        let current = graph
            .steps
            .get(held.position)
            .is_some_and(|step| step.state == crate::state::StepState::InProgress && step.attempts == held.attempt);
        if current {
            plan::hand_back(graph, held.position, started, self.clock)?;
        }
        Ok(current)
    }

    fn evaluate(&mut self) -> Result<()> {
        for loaded in self.loaded.iter_mut().filter(|loaded| loaded.settled > 0) {
            plan::evaluate(&mut loaded.graph, loaded.began, loaded.settled, self.clock)?;
        }
        Ok(())
    }
}
