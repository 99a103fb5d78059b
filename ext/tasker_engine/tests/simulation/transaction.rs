//! One transaction of the simulated store.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use rand::Rng;
use tasker_engine::clock::{Micros, Now};
use tasker_engine::error::{Error, Result};
use tasker_engine::event::DomainEvent;
use tasker_engine::graph::Graph;
use tasker_engine::state::{StepState, TaskState};
use tasker_engine::store::{
    claim_order, Backlog, Candidate, Claim, Claimable, Commit, Due, Existing, Hold, Holdings, IdempotencyKey, Inputs,
    LapsedWorker, Loaded, Transaction, WorkerProcess,
};
use tasker_engine::template::Template;
use uuid::Uuid;

use crate::commit::{Change, Written};
use crate::data::{Lock, Row};
use crate::faults::Call;
use crate::store::SimStore;
use crate::world::{self, World};

pub struct SimTransaction<'a> {
    pub store: &'a mut SimStore,
    pub id: u64,
    /// What it will do when it commits, in order.
    pub written: Vec<Written>,
    pub changes: Vec<Change>,
    pub published: Vec<Arc<DomainEvent>>,
}

/// Somebody else has locked it.
fn give_way(world: &mut World, process: usize, what: &str) -> Error {
    world.slots[process].gave_way_at = world.now;
    Error::Contention(format!("simulated: {what} is locked by another transaction"))
}

impl<'a> SimTransaction<'a> {
    pub fn begin(store: &'a mut SimStore) -> Result<SimTransaction<'a>> {
        let process = store.process;
        world::pause(&store.sim, process, 0);
        let mut world = world::lock(&store.sim);
        let step = world.dice.random_range(50..1500);
        world.advance(step);
        world.fault(process, Call::Begin)?;
        let id = world.data.begin();
        drop(world);
        Ok(SimTransaction { store, id, written: Vec::new(), changes: Vec::new(), published: Vec::new() })
    }

    /// Lets others run, then perhaps fails.
    pub fn enter(&mut self, call: Call) -> Result<MutexGuard<'_, World>> {
        world::pause(&self.store.sim, self.store.process, self.id);
        let mut world = world::lock(&self.store.sim);
        let step = world.dice.random_range(20..200);
        world.advance(step);
        if !world.data.open.contains(&self.id) {
            return Err(Error::Store("simulated: the server has ended this transaction".into()));
        }
        world.fault(self.store.process, call)?;
        Ok(world)
    }

    /// Writes one graph; the row it replaces must be the one it was read as.
    fn write_one(world: &mut World, process: usize, id: u64, graph: &mut Graph) -> Result<Written> {
        if graph.is_new {
            graph.task.id = world.data.task_number();
        } else {
            if !world.data.lock(Lock::Task(graph.task.id), id) {
                return Err(give_way(world, process, "a task"));
            }
            let stored = world.data.tasks.get(&graph.task.id).map(|stored| stored.task.journal);
            if stored != Some(graph.task.journal) {
                return Err(Error::Contention("simulated: another transaction wrote this row of the journal".into()));
            }
        }
        world.refuses(graph)?;
        let mut after = world.data.written(graph);
        after.task.journal = graph.task.journal + 1;
        let written = Written { before_is_new: graph.is_new, moves: graph.clone(), after };
        graph.written(graph.task.journal + 1);
        Ok(written)
    }

    fn row(world: &World, changes: &[Change], worker_id: &str) -> Option<Row> {
        let own = changes.iter().rev().find_map(|change| match change {
            Change::Register(row) if *row.worker.worker_id == *worker_id => Some(Some(row.clone())),
            Change::Deregister(gone) if **gone == *worker_id => Some(None),
            _ => None,
        });
        own.unwrap_or_else(|| world.data.workers.get(worker_id).cloned())
    }
}

impl Drop for SimTransaction<'_> {
    fn drop(&mut self) {
        world::lock(&self.store.sim).data.end(self.id);
    }
}

impl Transaction for SimTransaction<'_> {
    fn find(&mut self, task_uuids: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
        let world = self.enter(Call::Read)?;
        Ok(task_uuids.iter().filter_map(|uuid| Some((*uuid, *world.data.by_uuid.get(uuid)?))).collect())
    }

    fn load(&mut self, task_ids: &[i64], hold: Hold) -> Result<Loaded> {
        let (process, id) = (self.store.process, self.id);
        drop(self.enter(Call::Load)?);
        let mut world = world::lock(&self.store.sim);
        let now = world.now;
        let mut loaded = Loaded::default();
        for &task_id in task_ids {
            if hold == Hold::Remembered {
                if let Some(graph) = self.store.remembered.get(&task_id) {
                    loaded.graphs.push(graph.clone());
                    continue;
                }
            }
            if !world.data.tasks.contains_key(&task_id) {
                continue;
            }
            if hold == Hold::IfFree && !world.data.lock(Lock::Task(task_id), id) {
                continue;
            }
            if hold == Hold::Locked && !world.data.lock(Lock::Task(task_id), id) {
                return Err(give_way(&mut world, process, "a task"));
            }
            if world.data.unreadable.get(&task_id).is_some_and(|until| *until > now) {
                loaded.unreadable.push((task_id, Error::Store("simulated: a task of a newer version".into())));
                continue;
            }
            loaded.graphs.extend(world.data.load(task_id));
        }
        Ok(loaded)
    }

    fn find_idempotent(&mut self, keys: &[IdempotencyKey]) -> Result<Vec<Option<Existing>>> {
        let (process, id) = (self.store.process, self.id);
        let mut world = self.enter(Call::Load)?;
        let mut found = Vec::new();
        for key in keys {
            if !world.data.lock(Lock::Key(key.clone()), id) {
                return Err(give_way(&mut world, process, "an idempotency key"));
            }
            let task = world.data.by_key.get(key).and_then(|id| world.data.tasks.get(id)).map(|graph| &graph.task);
            found.push(task.map(|task| Existing {
                task_uuid: task.task_uuid,
                correlation_id: task.correlation_id,
                trace_id: task.trace.trace_id,
            }));
        }
        Ok(found)
    }

    fn keep_template(&mut self, template: &Template, _: Micros) -> Result<i64> {
        let mut world = self.enter(Call::Read)?;
        let known = world.data.templates.iter().position(|known| **known == *template);
        let at = known.unwrap_or_else(|| {
            world.data.templates.push(Arc::new(template.clone()));
            world.data.templates.len() - 1
        });
        Ok(at as i64 + 1)
    }

    fn due(&mut self, now: Now, limit: usize, except: &[i64]) -> Result<Due> {
        let id = self.id;
        let mut world = self.enter(Call::Read)?;
        let mut due = Due::default();
        let data = &mut world.data;
        for (task_id, graph) in &data.tasks {
            if except.contains(task_id) || data.locks.get(&Lock::Task(*task_id)).is_some_and(|holder| *holder != id) {
                continue;
            }
            if graph.task.state == TaskState::Pending && graph.task.run_at.is_some_and(|at| at <= now.store) {
                due.tasks.push(*task_id);
            }
            for (position, step) in graph.steps.iter().enumerate() {
                if step.state == StepState::WaitingForRetry && step.due_at.is_some_and(|at| at <= now.store) {
                    due.retries.push((*task_id, position));
                }
            }
        }
        due.tasks.truncate(limit);
        due.retries.truncate(limit);
        for task_id in due.tasks.iter().copied().chain(due.retries.iter().map(|(task_id, _)| *task_id)) {
            data.lock(Lock::Task(task_id), id);
        }
        Ok(due)
    }

    fn next_due(&mut self, now: Now, except: &[i64]) -> Result<Option<Duration>> {
        let overlay: HashMap<i64, Graph> =
            self.written.iter().map(|written| (written.after.task.id, written.after.clone())).collect();
        let world = self.enter(Call::Read)?;
        let fresh = overlay.values().filter(|graph| !world.data.tasks.contains_key(&graph.task.id));
        let stored = world.data.tasks.values().map(|graph| overlay.get(&graph.task.id).unwrap_or(graph));
        let due = stored.chain(fresh).filter(|graph| !except.contains(&graph.task.id)).flat_map(|graph| {
            let task = (graph.task.state == TaskState::Pending).then_some(graph.task.run_at).flatten();
            let waits = graph.steps.iter().filter(|step| step.state == StepState::WaitingForRetry);
            task.into_iter().chain(waits.filter_map(|step| step.due_at))
        });
        Ok(due.min().map(|due| due.since(now.store)))
    }

    fn backlog(&mut self, _: usize) -> Result<Backlog> {
        drop(self.enter(Call::Read)?);
        Ok(Backlog::default())
    }

    fn claimable(&mut self, namespaces: &[String], limit: usize, except: &[i64]) -> Result<Claimable> {
        let world = self.enter(Call::Read)?;
        let mut steps = Vec::new();
        for (task_id, graph) in &world.data.tasks {
            let namespace = &graph.task.template.namespace;
            if except.contains(task_id)
                || !namespaces.is_empty() && !namespaces.iter().any(|name| **name == **namespace)
            {
                continue;
            }
            let enqueued = graph.steps.iter().enumerate().filter(|(_, step)| step.state == StepState::Enqueued);
            steps.extend(enqueued.map(|(position, _)| Candidate {
                namespace: Arc::clone(namespace),
                priority: graph.task.priority,
                task_id: *task_id,
                position,
            }));
        }
        let there = steps.len();
        steps = claim_order(steps, |step| step, |_, step| (step.task_id, step.position));
        // Others may be at work on the first ones: it looks at two for each that is wanted.
        steps.truncate(limit * 2);
        Ok(Claimable { more: there > steps.len(), steps })
    }

    fn inputs(&mut self, steps: &[(&Graph, usize)]) -> Result<Vec<Inputs>> {
        let world = self.enter(Call::Read)?;
        let mut inputs = Vec::new();
        for (graph, position) in steps {
            let stored = world.data.tasks.get(&graph.task.id);
            let context = graph.task.context.clone().or_else(|| stored.and_then(|stored| stored.task.context.clone()));
            let mut dependency_results = Vec::new();
            for &dependency in &graph.task.template.steps[*position].dependencies {
                let own = graph.steps[dependency].result.clone();
                let result = own.or_else(|| stored.and_then(|stored| stored.steps[dependency].result.clone()));
                let name = Arc::clone(&graph.task.template.steps[dependency].name);
                dependency_results.push((name, result.unwrap_or_else(|| Arc::from("null"))));
            }
            inputs.push(Inputs { context: context.unwrap_or_else(|| Arc::from("{}")), dependency_results });
        }
        Ok(inputs)
    }

    fn register_worker(&mut self, worker: &WorkerProcess, lease: Duration, _: Micros) -> Result<()> {
        let process = self.store.process;
        let lease_until = self.enter(Call::Read)?.now + micros(lease);
        let row = Row { process, worker: worker.clone(), lease_until, holdings: Holdings::default() };
        self.changes.push(Change::Register(row));
        Ok(())
    }

    fn renew(&mut self, worker_id: &str, lease: Duration) -> Result<bool> {
        let (process, id) = (self.store.process, self.id);
        let mut world = self.enter(Call::Read)?;
        if !world.data.workers.contains_key(worker_id) {
            return Ok(false);
        }
        if !world.data.lock(Lock::Worker(Arc::from(worker_id)), id) {
            return Err(give_way(&mut world, process, "the worker's row"));
        }
        let until = world.now + micros(lease);
        drop(world);
        self.changes.push(Change::Renew(Arc::from(worker_id), until));
        Ok(true)
    }

    fn lapsed_workers(&mut self, named: &[String]) -> Result<Vec<LapsedWorker>> {
        let id = self.id;
        let mut world = self.enter(Call::Read)?;
        let now = world.now;
        let lapsed = |row: &&Row| row.lease_until < now || named.iter().any(|name| **name == *row.worker.worker_id);
        let found: Vec<LapsedWorker> = (world.data.workers.values().filter(lapsed))
            .map(|row| LapsedWorker { worker_id: Arc::clone(&row.worker.worker_id), holdings: row.holdings.clone() })
            .collect();
        Ok(found.into_iter().filter(|worker| world.data.lock(Lock::Worker(worker.worker_id.clone()), id)).collect())
    }

    fn deregister(&mut self, workers: &[Arc<str>]) -> Result<()> {
        drop(self.enter(Call::Read)?);
        self.changes.extend(workers.iter().map(|worker| Change::Deregister(Arc::clone(worker))));
        Ok(())
    }

    fn holdings(&mut self, worker_id: &str) -> Result<Option<Holdings>> {
        let world = self.enter(Call::Read)?;
        Ok(world.data.workers.get(worker_id).map(|row| row.holdings.clone()))
    }

    fn workers(&mut self, host: &str) -> Result<Vec<WorkerProcess>> {
        let world = self.enter(Call::Read)?;
        let rows = world.data.workers.values().filter(|row| row.worker.host == host);
        Ok(rows.map(|row| row.worker.clone()).collect())
    }

    fn lost(&mut self, claims: &[Claim]) -> Result<Vec<Claim>> {
        let world = self.enter(Call::Read)?;
        let held = |claim: &&Claim| {
            let graph = world.data.tasks.get(&claim.task_id);
            let step = graph.and_then(|graph| graph.steps.get(claim.position));
            step.is_some_and(|step| step.state == StepState::InProgress && step.span_id == Some(claim.token))
        };
        Ok(claims.iter().filter(|claim| !held(claim)).copied().collect())
    }

    fn prune(&mut self, _: Micros, _: usize) -> Result<usize> {
        Ok(0)
    }

    fn prune_events(&mut self, _: Micros, _: usize) -> Result<usize> {
        Ok(0)
    }

    fn publish(&mut self, events: &[Arc<DomainEvent>]) -> Result<()> {
        drop(self.enter(Call::Write)?);
        self.published.extend_from_slice(events);
        Ok(())
    }

    fn write(&mut self, graphs: &mut [Graph]) -> Result<()> {
        let (process, id) = (self.store.process, self.id);
        let mut world = self.enter(Call::Write)?;
        let mut all = Vec::new();
        for graph in graphs.iter_mut().filter(|graph| graph.is_changed()) {
            match SimTransaction::write_one(&mut world, process, id, graph) {
                Ok(written) => all.push(written),
                Err(error) => {
                    drop(world);
                    self.store.remembered.clear();
                    return Err(error);
                }
            }
        }
        drop(world);
        self.written.extend(all);
        Ok(())
    }

    fn commit(mut self: Box<Self>, commit: &Commit) -> Result<()> {
        let (process, id) = (self.store.process, self.id);
        let mut world = self.enter(Call::Commit)?;
        if let Some((worker_id, lease, holdings)) = &commit.holdings {
            let until = world.now + micros(*lease);
            if !world.data.lock(Lock::Worker(worker_id.clone()), id) {
                return Err(give_way(&mut world, process, "the worker's row"));
            }
            drop(world);
            let world = world::lock(&self.store.sim);
            if SimTransaction::row(&world, &self.changes, worker_id).is_none() {
                return Err(Error::LeaseLost(format!("simulated: {worker_id} is gone")));
            }
            drop(world);
            self.changes.push(Change::Hold(worker_id.clone(), until, holdings.clone()));
        } else {
            drop(world);
        }
        self.finish(commit)
    }
}

pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
