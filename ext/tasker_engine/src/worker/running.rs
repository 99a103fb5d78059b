//! Owns: what the engine's thread remembers of the worker that runs in it.

use std::sync::Arc;

use super::lease;
use crate::clock::Micros;
use crate::config::WorkerConfig;
use crate::plan::Lease;
use crate::store::WorkerProcess;

/// A worker, from its start to its stop.
pub(super) struct Running {
    pub(super) config: WorkerConfig,
    pub(super) process: WorkerProcess,
    pub(super) lease: Lease,
    /// It was asked to stop: it claims no more.
    pub(super) draining: bool,
    /// Claims it has given back since.
    pub(super) given_back: usize,
    /// Its handler threads were all busy when last seen: it gave back events that none of them took up.
    pub(super) crowded: bool,
    pub(super) renew_at: Micros,
    pub(super) recover_at: Micros,
    pub(super) prune_at: Micros,
    /// Tasks deleted since that was last told.
    pub(super) pruned: usize,
}

impl Running {
    pub(super) fn start(config: WorkerConfig, now: Micros) -> Running {
        let process = lease::this_process(now);
        let lease = Lease { worker_id: Arc::clone(&process.worker_id), duration: config.lease() };
        Running {
            config,
            process,
            lease,
            draining: false,
            given_back: 0,
            crowded: false,
            renew_at: now,
            recover_at: now,
            prune_at: now,
            pruned: 0,
        }
    }
}
