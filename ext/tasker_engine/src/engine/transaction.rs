//! Owns: one transaction, from what arrived to what is durable: load, decide, claim, write, commit.
//! Refuses: side effects other than the store's: what follows from it (dispatch, replies, spans) is
//! the caller's, after the commit.

mod batch;
mod due;
mod events;
mod leases;
mod requests;

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

pub(super) use batch::{Batch, Failure, Outcome, WorkerPart};

use super::claims::{choose, Claimed};
use super::in_flight::Pending;
use super::machine::Machine;
use crate::clock::{Clock, Micros, Now};
use crate::error::{Error, Result};
use crate::event::DomainEvent;
use crate::graph::{Graph, StepTransition};
use crate::ids::Dice;
use crate::plan::{self, Dropped, Settlement, Verdict};
use crate::state::{StepState, TaskState};
use crate::store::catalogue::Catalogue;
use crate::store::{
    Claim, Claimable, Commit, Existing, Hold, IdempotencyKey, Inputs, LapsedWorker, Loaded, Store, Transaction,
};
use crate::template::Template;
use tasker_telemetry::record::metrics::Operations;

/// Rows a look at what waits goes through at most: some milliseconds.
const LOOK_LIMIT: usize = 20_000;

/// What decisions need besides graphs.
pub(super) struct Means<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) clock: &'a Clock,
    pub(super) dice: &'a mut Dice,
    /// Tasks that are left alone.
    pub(super) except: &'a [i64],
    pub(super) machine: &'a dyn Machine,
    pub(super) operations: &'a Operations,
}

/// Carries `batch` in one transaction.
pub(super) fn run(store: &mut dyn Store, batch: &Batch, means: Means<'_>) -> std::result::Result<Outcome, Failure> {
    let began = store.begin();
    let transaction = began.map_err(|error| Failure { error, reached: false, tasks: Vec::new() })?;
    let mut work = Working {
        transaction,
        graphs: Vec::new(),
        notes: Vec::new(),
        index: HashMap::new(),
        templates: Vec::new(),
        named: HashMap::new(),
        keyed: HashMap::new(),
        unreadable: Vec::new(),
        events: Vec::new(),
        dropped_events: Vec::new(),
        means,
    };
    match work.carry_out(batch) {
        Ok(outcome) => work.end(batch, outcome),
        Err(error) => Err(work.failure(error)),
    }
}

/// What is remembered of a graph in the transaction.
#[derive(Clone, Copy)]
struct Note {
    /// When work on it began.
    began: Micros,
    /// How many of its steps have settled.
    settled: usize,
}

/// What a transaction works on.
pub(super) struct Working<'t> {
    transaction: Box<dyn Transaction + 't>,
    graphs: Vec<Graph>,
    /// One for each of them.
    notes: Vec<Note>,
    index: HashMap<i64, usize>,
    templates: Vec<(i64, Arc<Template>)>,
    /// Tasks that requests name.
    named: HashMap<Uuid, i64>,
    /// Tasks that are there already under the keys of new ones.
    keyed: HashMap<IdempotencyKey, Existing>,
    /// Tasks that were wanted and make no sense.
    unreadable: Vec<(i64, String)>,
    /// What it publishes.
    events: Vec<Arc<DomainEvent>>,
    /// Events that it does not publish, because they do not fit.
    dropped_events: Vec<Dropped>,
    means: Means<'t>,
}

impl<'t> Working<'t> {
    fn carry_out(&mut self, batch: &Batch) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let lapsed = self.prepare(batch)?;
        if let Some((worker, lease)) = &batch.register {
            self.transaction.register_worker(worker, *lease, self.means.clock.now())?;
        }
        for pending in &batch.pending {
            let verdict = self.settle(pending, batch.gathered_at.store)?;
            outcome.verdicts.push(verdict);
        }
        for (claim, begun) in &batch.release {
            outcome.released += usize::from(self.release(*claim, *begun)?);
        }
        self.take_over(&lapsed, &batch.dead, &mut outcome)?;
        for request in &batch.requests {
            let reply = self.carry_out_request(&request.work);
            match reply {
                Err(error) if error.is_of_the_store() => return Err(error),
                reply => outcome.replies.push(reply),
            }
        }
        if batch.look_due {
            outcome.more_due = self.due(batch.gathered_at, batch.due_limit)?;
        }
        self.evaluate()?;
        if let (Some(permits), Some(worker)) = (batch.claim, &batch.worker) {
            let choice = choose(self, permits, &worker.worker_id, &worker.namespaces, batch.look_enqueued)?;
            outcome.contended = choice.contended;
            outcome.held_back = choice.held_back;
            outcome.claimed = choice.claimed;
            outcome.backlog = choice.backlog;
        }
        let fresh = self.graphs.iter().enumerate().filter(|(_, graph)| graph.is_new).map(|(at, _)| at);
        outcome.created = fresh.collect();
        let (transaction, graphs) = (&mut self.transaction, &mut self.graphs);
        self.means.operations.write.time(|| transaction.write(graphs))?;
        self.write_events()?;
        if batch.look_due {
            outcome.next_due = self.transaction.next_due(batch.gathered_at, self.means.except)?;
        }
        if batch.look_waiting {
            outcome.waiting = Some(self.transaction.backlog(LOOK_LIMIT)?);
        }
        Ok(outcome)
    }

    fn end(self, batch: &Batch, mut outcome: Outcome) -> std::result::Result<Outcome, Failure> {
        let commit = self.commit_with(batch, &outcome);
        let Working { transaction, graphs, templates, unreadable, events, dropped_events, means, .. } = self;
        if let Err(error) = means.operations.commit.time(|| transaction.commit(&commit)) {
            return Err(Failure { error, reached: true, tasks: numbers(&graphs) });
        }
        for (id, template) in templates {
            means.catalogue.add(id, template);
        }
        // Not before: should it fail, the next one asks what their handlers had begun.
        outcome.buried.iter().for_each(|worker_id| means.machine.forget(worker_id));
        outcome.holdings = commit.holdings.map(|(_, _, holdings)| holdings);
        outcome.unreadable = unreadable;
        (outcome.events, outcome.dropped_events) = (events, dropped_events);
        outcome.graphs = graphs;
        Ok(outcome)
    }

    fn failure(self, error: Error) -> Failure {
        Failure { error, reached: true, tasks: numbers(&self.graphs) }
    }

    /// Takes hold of all that the batch must have, before anything that may be left to others. Gives the workers whose
    /// claims it takes over.
    fn prepare(&mut self, batch: &Batch) -> Result<Vec<LapsedWorker>> {
        let mut task_ids: Vec<i64> = batch.pending.iter().map(|pending| pending.task_id).collect();
        task_ids.extend(batch.release.iter().map(|(claim, _)| claim.task_id));
        let named: Vec<Uuid> = batch.requests.iter().filter_map(|request| request.work.task()).collect();
        if !named.is_empty() {
            self.named = self.transaction.find(&named)?;
            task_ids.extend(self.named.values());
        }
        let mut lapsed = Vec::new();
        if batch.look_lapsed || !batch.dead.is_empty() {
            lapsed = self.transaction.lapsed_workers(&batch.dead)?;
            // Whoever can ask is not dead: nobody has taken over this worker's steps, and it renews its lease next.
            let me = batch.worker.as_ref().map(|worker| &worker.worker_id);
            lapsed.retain(|worker| Some(&worker.worker_id) != me);
            task_ids.extend(lapsed.iter().flat_map(|worker| &worker.holdings.tasks));
        }
        let new = || batch.requests.iter().flat_map(|request| request.work.new_tasks());
        let mut keys: Vec<IdempotencyKey> = new().filter_map(requests::key).collect();
        // What is only remembered is not locked: then no other lock may be waited for later.
        let remembered = named.is_empty() && lapsed.is_empty() && keys.is_empty();
        self.load(task_ids, if remembered { Hold::Remembered } else { Hold::Locked })?;
        keys.sort();
        keys.dedup();
        if !keys.is_empty() {
            let existing = self.transaction.find_idempotent(&keys)?;
            self.keyed = keys.into_iter().zip(existing).filter_map(|(key, task)| Some((key, task?))).collect();
        }
        Ok(lapsed)
    }

    fn load(&mut self, mut task_ids: Vec<i64>, hold: Hold) -> Result<()> {
        task_ids.retain(|task_id| !self.index.contains_key(task_id) && !self.means.except.contains(task_id));
        task_ids.sort_unstable();
        task_ids.dedup();
        if task_ids.is_empty() {
            return Ok(());
        }
        let loaded = self.means.operations.load.time(|| self.transaction.load(&task_ids, hold))?;
        self.keep(loaded);
        Ok(())
    }

    fn keep(&mut self, loaded: Loaded) {
        self.unreadable.extend(loaded.unreadable.into_iter().map(|(task_id, error)| (task_id, error.to_string())));
        for graph in loaded.graphs {
            self.index.insert(graph.task.id, self.graphs.len());
            self.add(graph);
        }
    }

    /// Loads those of the tasks, none of which is loaded yet, that can be claimed from: the first `most`. Gives their
    /// numbers.
    pub(super) fn load_claimable(&mut self, task_ids: &[i64], most: usize) -> Result<Vec<i64>> {
        let loaded = self.means.operations.load.time(|| self.transaction.load_claimable(task_ids, most))?;
        let unreadable = loaded.unreadable.iter().map(|(task_id, _)| *task_id);
        let loaded_ids = loaded.graphs.iter().map(|graph| graph.task.id).chain(unreadable).collect();
        self.keep(loaded);
        Ok(loaded_ids)
    }

    /// How many tasks were wanted and make no sense.
    pub(super) fn unreadable(&self) -> usize {
        self.unreadable.len()
    }

    pub(super) fn claimable(&mut self, namespaces: &[String], limit: usize) -> Result<Claimable> {
        let Means { operations, except, .. } = &self.means;
        operations.claimable.time(|| self.transaction.claimable(namespaces, limit, except))
    }

    /// Where the task is among the loaded graphs.
    pub(super) fn at(&self, task_id: i64) -> Option<usize> {
        self.index.get(&task_id).copied()
    }

    fn add(&mut self, graph: Graph) {
        self.graphs.push(graph);
        self.notes.push(Note { began: self.means.clock.now(), settled: 0 });
    }

    pub(super) fn graph(&self, at: usize) -> &Graph {
        &self.graphs[at]
    }

    pub(super) fn graphs(&self) -> impl Iterator<Item = &Graph> {
        self.graphs.iter()
    }

    /// Makes a decision about a loaded graph.
    pub(super) fn plan<T>(
        &mut self,
        at: usize,
        decide: impl FnOnce(&mut Graph, Micros, &mut Dice) -> Result<T>,
    ) -> Result<T> {
        decide(&mut self.graphs[at], self.means.clock.now(), self.means.dice)
    }

    /// Makes a decision about a loaded graph which leaves it as it was when it cannot be made.
    fn try_plan<T>(&mut self, at: usize, decide: impl FnOnce(&mut Graph, Micros, &mut Dice) -> Result<T>) -> Result<T> {
        let before = self.graphs[at].clone();
        self.plan(at, decide).inspect_err(|_| self.graphs[at] = before)
    }

    /// What steps of the loaded graphs work on.
    pub(super) fn inputs(&mut self, steps: &[(usize, usize)]) -> Result<Vec<Inputs>> {
        let steps: Vec<(&Graph, usize)> = steps.iter().map(|&(at, position)| (&self.graphs[at], position)).collect();
        self.transaction.inputs(&steps)
    }

    fn settle(&mut self, pending: &Pending, store: Micros) -> Result<Verdict> {
        let Some(at) = self.at(pending.task_id) else { return Ok(Verdict::Stale) };
        let (settlement, said) = (&pending.settlement, pending.said.as_deref());
        let position = settlement.position;
        let result = settlement.outcome.as_ref().ok();
        let misfit = result.and_then(|result| plan::misfit(self.graph(at), position, result, said));
        let refused = misfit.map(|error| Settlement { outcome: Err(error), ..settlement.clone() });
        // What classes made of its success is not what is to be said of its failure.
        let said = said.filter(|_| refused.is_none());
        let settlement = refused.as_ref().unwrap_or(settlement);
        let verdict = self.plan(at, |graph, wall, dice| plan::settle(graph, settlement, Now { wall, store }, dice))?;
        if verdict == Verdict::Applied {
            self.notes[at].settled += 1;
            self.announce(at, position, said, pending.inputs.as_ref())?;
        }
        Ok(verdict)
    }

    fn release(&mut self, claim: Claim, begun: bool) -> Result<bool> {
        let Some(at) = self.at(claim.task_id) else { return Ok(false) };
        self.plan(at, |graph, now, _| plan::release(graph, claim.position, claim.token, begun, now))
    }

    fn evaluate(&mut self) -> Result<()> {
        for at in 0..self.graphs.len() {
            let Note { settled, began } = self.notes[at];
            if settled > 0 {
                self.plan(at, |graph, now, _| plan::evaluate(graph, began, settled, now))?;
            }
        }
        Ok(())
    }

    /// Whether nothing happens in it but that steps are claimed, none of them for the last time. Should the server forget it,
    /// they are claimed again: at worst a handler runs once more, as it does when its worker dies.
    fn only_claims(&self, batch: &Batch, outcome: &Outcome) -> bool {
        let last = |claimed: &Claimed| {
            let step = &self.graphs[claimed.graph].steps[claimed.position];
            step.attempts >= step.max_attempts
        };
        batch.carries_nothing() && !outcome.claimed.is_empty() && !outcome.claimed.iter().any(last)
    }

    fn commit_with(&self, batch: &Batch, outcome: &Outcome) -> Commit {
        let flushed = !batch.requests.is_empty() || (batch.flush && !self.only_claims(batch, outcome));
        let mut commit = Commit { flushed, ..Commit::default() };
        commit.events = self.events.iter().any(|event| event.delivery_mode.is_durable());
        // A new task that only waits for its time has no move to tell of it.
        commit.due = outcome.created.iter().any(|&at| self.graphs[at].task.state == TaskState::Pending);
        for graph in self.graphs().filter(|graph| graph.is_changed()) {
            let task = &graph.task;
            let left = |transition: &StepTransition| {
                transition.to == StepState::Enqueued && graph.steps[transition.position].state == StepState::Enqueued
            };
            commit.steps_enqueued |= graph.step_transitions.iter().any(left);
            commit.due |= graph.step_transitions.iter().any(|transition| transition.to == StepState::WaitingForRetry);
            if task.state.is_final() && !graph.task_transitions.is_empty() {
                commit.ended.push(task.task_uuid);
                commit.flushed = true;
            }
        }
        commit.holdings = leases::holdings(self, batch, outcome);
        commit
    }
}

fn numbers(graphs: &[Graph]) -> Vec<i64> {
    graphs.iter().map(|graph| graph.task.id).filter(|id| *id > 0).collect()
}
