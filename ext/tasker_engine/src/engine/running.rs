//! Owns: what the engine's thread remembers of the worker that runs in it.

use std::sync::Arc;
use std::time::Duration;

use super::machine::Machine;
use super::thread::Pace;
use crate::clock::{Clock, Tick};
use crate::config::WorkerConfig;
use crate::store::{Holdings, WorkerProcess};

/// A worker, from its start to its stop.
pub(super) struct Running {
    pub(super) config: WorkerConfig,
    pub(super) namespaces: Arc<[String]>,
    pub(super) process: WorkerProcess,
    pub(super) lease: Duration,
    /// Which claims its handlers begin is written down, for whoever finds it dead.
    pub(super) records: bool,
    /// What its row in the store says of its claims.
    pub(super) recorded: Holdings,
    /// Its row is not there yet, or is gone.
    pub(super) unregistered: bool,
    /// How a transaction ended is not known: claims may have been made that nobody here knows of. When they are next looked
    /// for.
    pub(super) unsure_at: Option<Tick>,
    /// Tasks in which those claims may be: its row must go on naming them.
    pub(super) unsure_of: Vec<i64>,
    /// It was asked to stop: it claims no more.
    pub(super) draining: bool,
    /// Claims it has given back since.
    pub(super) released: usize,
    /// Its handler threads were all busy when last seen: it gave back events that none of them took up.
    pub(super) saturated: bool,
    /// The next step there is waits for a free handler.
    pub(super) held_back: bool,
    pub(super) renew_at: Tick,
    pub(super) recover_at: Tick,
    pub(super) prune_at: Tick,
    pub(super) pace: Pace,
    /// Tasks deleted since that was last told, and when it is told next.
    pub(super) pruned: (usize, usize),
    pub(super) told_at: Tick,
}

/// How often a worker looks for dead ones at the least.
const RECOVERY: Duration = Duration::from_secs(5);

impl Running {
    pub(super) fn start(config: WorkerConfig, clock: &Clock, machine: &dyn Machine) -> Running {
        let tick = clock.tick();
        Running {
            namespaces: config.namespaces.clone().into(),
            process: machine.this_process(clock.now()),
            records: false,
            lease: config.lease(),
            config,
            recorded: Holdings::default(),
            unregistered: true,
            unsure_at: None,
            unsure_of: Vec::new(),
            draining: false,
            released: 0,
            saturated: false,
            held_back: false,
            renew_at: tick,
            // At once: the transaction that makes it known looks for work, too.
            recover_at: Tick::default(),
            prune_at: tick,
            pace: Pace::default(),
            pruned: (0, 0),
            told_at: tick,
        }
    }

    /// Begins anew as another worker, after others have taken this one for dead.
    pub(super) fn begin_anew(&mut self, clock: &Clock, machine: &dyn Machine) {
        let draining = self.draining;
        let released = self.released;
        *self = Running { draining, released, ..Running::start(self.config.clone(), clock, machine) };
    }

    pub(super) fn worker_id(&self) -> &Arc<str> {
        &self.process.worker_id
    }

    /// How a transaction that worked on those tasks ended is not known: its row says what it said before, or something else.
    pub(super) fn unsure(&mut self, tasks: &[i64], tick: Tick) {
        self.unsure_at = Some(tick);
        self.unsure_of.extend(tasks);
        self.recorded.tasks.clear();
    }

    /// Its row was written just now.
    pub(super) fn renewed(&mut self, tick: Tick) {
        self.renew_at = tick.after(self.lease / 3);
    }

    /// How often it looks for workers that are dead, or whose lease has run out.
    pub(super) fn recovery_interval(&self) -> Duration {
        RECOVERY.min(self.lease / 2)
    }
}
