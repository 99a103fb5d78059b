//! The end of a simulated transaction: what becomes durable, who is told, and what of it the committer hears.

use std::sync::Arc;

use rand::Rng;
use tasker_engine::error::{Error, Result};
use tasker_engine::graph::Graph;
use tasker_engine::state::StepState;
use tasker_engine::store::{self, Commit, Holdings, IdempotencyKey};

use crate::data::Row;
use crate::faults::Answer;
use crate::transaction::SimTransaction;
use crate::world::{self, World};

/// A graph that was written: its moves, and what is stored once it is committed.
pub struct Written {
    pub before_is_new: bool,
    pub moves: Graph,
    pub after: Graph,
}

/// What a transaction does to workers' rows.
pub enum Change {
    Register(Row),
    Renew(Arc<str>, i64),
    Hold(Arc<str>, i64, Holdings),
    Deregister(Arc<str>),
}

impl SimTransaction<'_> {
    pub fn finish(&mut self, commit: &Commit) -> Result<()> {
        let process = self.store.process;
        let mut world = world::lock(&self.store.sim);
        let answer = world.answer(process);
        let step = world.dice.random_range(50..2500);
        world.advance(step);
        if let Answer::Refused(error) = answer {
            drop(world);
            self.store.remembered.clear();
            return Err(error);
        }
        if !matches!(answer, Answer::LostBefore) {
            let unheard = !matches!(answer, Answer::Given);
            world.check_events(&self.written, &self.published);
            world.apply(process, &self.written, &self.changes, unheard);
            world.leave_notice(process, commit);
        }
        world.data.end(self.id);
        drop(world);
        if !matches!(answer, Answer::Given) {
            self.store.remembered.clear();
            return Err(Error::Unknown("simulated: the answer to the commit was lost".into()));
        }
        for written in self.written.drain(..) {
            let claimed = written.after.steps.iter().any(|step| step.state == StepState::InProgress);
            let task_id = written.after.task.id;
            if claimed {
                let world = world::lock(&self.store.sim);
                self.store.remembered.extend(world.data.load(task_id).map(|graph| (task_id, graph)));
            } else {
                self.store.remembered.remove(&task_id);
            }
        }
        // Others may be faster with what follows than this process is.
        world::pause(&self.store.sim, process, 0);
        Ok(())
    }
}

impl World {
    fn apply(&mut self, process: usize, all: &[Written], changes: &[Change], unheard: bool) {
        for written in all {
            self.check_moves(process, written, unheard);
        }
        for change in changes {
            match change {
                Change::Register(row) => {
                    self.note(|| format!("#{process} registers {}", row.worker.worker_id));
                    self.data.workers.insert(Arc::clone(&row.worker.worker_id), row.clone());
                }
                Change::Renew(worker, until) => {
                    if let Some(row) = self.data.workers.get_mut(worker) {
                        row.lease_until = *until;
                    }
                }
                Change::Hold(worker, until, holdings) => {
                    self.note(|| format!("#{process} {worker} holds {holdings:x?}"));
                    if let Some(row) = self.data.workers.get_mut(worker) {
                        (row.lease_until, row.holdings) = (*until, holdings.clone());
                    }
                }
                Change::Deregister(worker) => {
                    self.note(|| format!("#{process} deregisters {worker}"));
                    self.check_taken_for_dead(process, worker);
                    self.data.workers.remove(worker);
                }
            }
        }
        for written in all {
            let task = &written.after.task;
            self.data.by_uuid.insert(task.task_uuid, task.id);
            if let (true, Some(key)) = (written.before_is_new, task.idempotency_key.clone()) {
                let (namespace, name) = (Arc::clone(&task.template.namespace), Arc::clone(&task.template.name));
                let key = IdempotencyKey { namespace, name, key };
                let other = self.data.by_key.insert(key, task.id);
                self.holds(other.is_none(), || format!("task {} has the key of task {other:?}", task.id));
            }
            self.data.tasks.insert(task.id, written.after.clone());
        }
        if !all.is_empty() || !changes.is_empty() {
            self.check_holdings();
        }
    }

    /// What others are told of a commit, now or a moment later.
    fn leave_notice(&mut self, process: usize, commit: &Commit) {
        let change = match (commit.due, commit.steps_enqueued) {
            (true, _) => store::Change::Any,
            (false, true) => store::Change::Steps,
            (false, false) => return,
        };
        let delay = if self.dice.random_bool(0.5) { 0 } else { self.dice.random_range(0..20_000) };
        let now = self.now;
        let slot = &mut self.slots[process];
        if slot.unsent.is_none() {
            slot.send_at = now + delay;
        }
        slot.unsent = slot.unsent.max(Some(change));
    }

    /// Rings the bells of all others.
    pub fn tell_others(&mut self, process: usize, change: store::Change) {
        if self.now < self.deaf_until {
            return;
        }
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if let (true, Some(bell)) = (number != process && slot.alive, &slot.bell) {
                slot.told = slot.told.max(Some(change));
                bell.ring();
            }
        }
    }
}
