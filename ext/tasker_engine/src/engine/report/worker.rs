//! Owns: the log lines of a worker's start and stop: with what it began, and what it left.

use crate::engine::running::Running;

/// It is known to the store, and claims steps from now on.
pub(in crate::engine) fn started(worker: &Running, database: &str, templates: usize) {
    let namespaces = if worker.namespaces.is_empty() { "all".to_owned() } else { worker.namespaces.join(",") };
    tracing::info!(
        worker_id = %worker.worker_id(), database, %namespaces, templates, concurrency = worker.config.concurrency,
        lease_seconds = worker.config.lease_seconds, "Worker started"
    );
}

/// It claims no more.
pub(in crate::engine) fn stopping(worker: &Running, in_flight: usize) {
    tracing::info!(
        worker_id = %worker.worker_id(), in_flight,
        "Worker stops: it claims no more steps, and waits for the handlers of those it has"
    );
}

/// It is gone from the store. `released`: claims it gave back, for others to run; `running`: handlers that were not done.
pub(in crate::engine) fn stopped(worker: &Running, released: usize, running: usize) {
    tracing::info!(worker_id = %worker.worker_id(), released, running, "Worker stopped");
}
