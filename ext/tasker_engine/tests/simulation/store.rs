//! A store in memory with PostgreSQL's manners: several transactions are open at once, rows are locked one by one, and
//! whoever would have to wait is told to give way. Other engines run in the middle of every call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::bell::Bell;
use tasker_engine::clock::Micros;
use tasker_engine::error::{Error, Result};
use tasker_engine::graph::Graph;
use tasker_engine::state::TaskState;
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::{
    AroundFork, Change, Connections, OnEnd, Reader, Store, TaskView, Transaction, TransitionView,
};
use uuid::Uuid;

use crate::transaction::SimTransaction;
use crate::world::{lock, Sim};

/// One process's way to the data.
pub struct SimStore {
    pub sim: Sim,
    pub process: usize,
    /// Tasks as this process last wrote them.
    pub remembered: HashMap<i64, Graph>,
}

impl Store for SimStore {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        SimTransaction::begin(self).map(|transaction| Box::new(transaction) as Box<dyn Transaction + '_>)
    }

    fn time(&self) -> Micros {
        Micros(lock(&self.sim).now)
    }

    fn changed_elsewhere(&mut self) -> Result<Option<Change>> {
        let mut world = lock(&self.sim);
        let (now, every) = (world.now, world.profile.ask_every);
        let slot = &mut world.slots[self.process];
        if every.is_some_and(|every| now >= slot.asked_at + every) {
            slot.asked_at = now;
            slot.told = None;
            return Ok(Some(Change::Any));
        }
        Ok(slot.told.take())
    }

    fn subscribe(&mut self, bell: Option<Arc<Bell>>) {
        lock(&self.sim).slots[self.process].bell = bell;
    }

    fn poll_interval(&self, _: Duration) -> Duration {
        let every = lock(&self.sim).profile.ask_every;
        every.map_or(Duration::from_secs(60), |every| Duration::from_micros(every.unsigned_abs()))
    }

    fn flush_notices(&mut self) -> Option<Duration> {
        let mut world = lock(&self.sim);
        let now = world.now;
        let slot = &mut world.slots[self.process];
        if slot.unsent.is_some() && now < slot.send_at {
            return Some(Duration::from_micros((slot.send_at - now).unsigned_abs()));
        }
        if let Some(change) = slot.unsent.take() {
            world.tell_others(self.process, change);
        }
        None
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(Nobody)
    }

    fn around_fork(&self) -> Arc<dyn AroundFork> {
        Arc::new(Nobody)
    }

    fn describe(&self) -> String {
        "simulation".into()
    }
}

/// The simulation reads its data itself, and does not fork.
struct Nobody;

fn nobody<T>() -> Result<T> {
    Err(Error::Internal("the simulation has no reader".into()))
}

impl Reader for Nobody {
    fn task(&self, _: Uuid) -> Result<TaskView> {
        nobody()
    }
    fn state(&self, _: Uuid) -> Result<TaskState> {
        nobody()
    }
    fn ended(&self, _: &[Uuid]) -> Result<Vec<Uuid>> {
        nobody()
    }
    fn transitions(&self, _: Uuid) -> Result<Vec<TransitionView>> {
        nobody()
    }
    fn count_tasks(&self) -> Result<Vec<(String, i64)>> {
        nobody()
    }
    fn read_templates(&self, _: &str, _: &str, _: &Catalogue) -> Result<()> {
        nobody()
    }
    fn connections(&self) -> Connections {
        Connections::default()
    }

    fn watch_ends(&self, _: &OnEnd) -> bool {
        false
    }
}

impl AroundFork for Nobody {
    fn around_fork(&self, fork: &mut dyn FnMut() -> bool) {
        fork();
    }
}
