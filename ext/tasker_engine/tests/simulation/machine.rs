//! Owns: the machines the processes run on: who is dead there, and what handlers had begun.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tasker_engine::channel::BegunRecord;
use tasker_engine::clock::Micros;
use tasker_engine::simulation::Machine;
use tasker_engine::store::WorkerProcess;

use crate::world::{self, Sim};

/// What outlasts the processes of all machines.
#[derive(Default)]
pub struct Records {
    begun: Mutex<HashMap<String, HashSet<u64>>>,
    workers: AtomicU64,
}

/// A machine as one process sees it.
pub struct SimMachine {
    pub sim: Sim,
    pub records: Arc<Records>,
    pub process: usize,
    pub number: usize,
}

impl Machine for SimMachine {
    fn this_process(&self, _: Micros) -> WorkerProcess {
        let worker = self.records.workers.fetch_add(1, Ordering::Relaxed);
        WorkerProcess {
            worker_id: Arc::from(format!("worker-{}-{worker}", self.process)),
            host: format!("machine {}", self.number),
            pid: u32::try_from(self.process).unwrap(),
            process_started: "1".into(),
        }
    }

    fn is_dead(&self, worker: &WorkerProcess) -> bool {
        !world::lock(&self.sim).slots[worker.pid as usize].alive
    }

    fn record(&self, worker_id: &str) -> Option<Arc<dyn BegunRecord>> {
        self.records.begun.lock().unwrap().insert(worker_id.to_owned(), HashSet::new());
        Some(Arc::new(Record(Arc::clone(&self.records), worker_id.to_owned())))
    }

    fn begun(&self, worker_id: &str) -> Option<HashSet<u64>> {
        self.records.begun.lock().unwrap().get(worker_id).cloned()
    }

    fn forget(&self, worker_id: &str) {
        self.records.begun.lock().unwrap().remove(worker_id);
    }
}

struct Record(Arc<Records>, String);

impl BegunRecord for Record {
    fn begins(&self, token: u64) {
        self.0.begun.lock().unwrap().entry(self.1.clone()).or_default().insert(token);
    }
}
