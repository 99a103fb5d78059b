//! Owns: every metric the gem itself records: its names, kind, unit, labels and meaning, once. The instruments are made
//! from this table, `/metrics` is written by it, and `docs/operations/metrics.md` is checked against it.
//! Refuses: metrics of the application, which are made at run time (`app`).

use serde::Serialize;

/// How a metric's number behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values fell into which bucket.
    Histogram,
}

/// One metric of the gem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MetricInfo {
    /// Its name on `/metrics`.
    pub name: &'static str,
    /// Its name in OTLP.
    pub instrument: &'static str,
    /// How its number behaves.
    pub kind: Kind,
    /// What it counts, as UCUM has it: `ms`, `s`, `By`, `{task}`.
    pub unit: &'static str,
    /// Its labels, in alphabetical order.
    pub labels: &'static [&'static str],
    /// One sentence for people.
    pub meaning: &'static str,
}

const NONE: &[&str] = &[];
const TASK: &[&str] = &["namespace", "task_name"];
const STEP: &[&str] = &["handler", "namespace", "task_name"];
const EVENT: &[&str] = &["delivery_mode", "event_name", "namespace"];

macro_rules! catalogue {
    ($($constant:ident: $kind:ident $name:literal = $instrument:literal, $unit:literal, $labels:expr, $meaning:literal;)+) => {
        $(pub(crate) const $constant: MetricInfo = MetricInfo {
            name: $name, instrument: $instrument, kind: Kind::$kind, unit: $unit, labels: $labels, meaning: $meaning,
        };)+

        /// Every metric of the gem, in the order of `docs/operations/metrics.md`.
        pub const CATALOGUE: &[MetricInfo] = &[$($constant),+];
    };
}

catalogue! {
    TASKS_CREATED: Counter "tasker_tasks_created_total" = "tasker.tasks.created", "{task}", TASK,
        "Tasks this process created.";
    TASKS_STARTED: Counter "tasker_tasks_started_total" = "tasker.tasks.started", "{task}", TASK,
        "Tasks this process began to carry out: at once, or when their run_at came.";
    TASKS_COMPLETED: Counter "tasker_tasks_completed_total" = "tasker.tasks.completed", "{task}", TASK,
        "Tasks this process brought to complete.";
    TASKS_FAILED: Counter "tasker_tasks_failed_total" = "tasker.tasks.failed", "{task}", TASK,
        "Tasks this process brought to error; a task that is run again and fails again counts again.";
    TASKS_CANCELLED: Counter "tasker_tasks_cancelled_total" = "tasker.tasks.cancelled", "{task}", TASK,
        "Tasks this process cancelled.";
    TASKS_ACTIVE: Gauge "tasker_tasks_active" = "tasker.tasks.active", "{task}", NONE,
        "Tasks in the store with a step that is enqueued, runs or waits for a retry, as of the last look (every 5 s, at most 20000 are counted).";
    TASK_DURATION: Histogram "tasker_task_duration_milliseconds" = "tasker.task.duration", "ms", TASK,
        "From a task's submission to its final state.";

    STEPS_ENQUEUED: Counter "tasker_steps_enqueued_total" = "tasker.steps.enqueued", "{step}", TASK,
        "Steps enqueued: for the first attempt, for a retry, handed back, or taken from a worker that died.";
    STEPS_CLAIMED: Counter "tasker_steps_claimed_total" = "tasker.steps.claimed", "{step}", TASK,
        "Attempts begun: steps claimed under a lease.";
    STEPS_EXECUTED: Counter "tasker_steps_executed_total" = "tasker.steps.executed", "{attempt}", STEP,
        "Attempts whose handler ran to its end and whose outcome was kept.";
    STEPS_SUCCEEDED: Counter "tasker_steps_succeeded_total" = "tasker.steps.succeeded", "{step}", STEP,
        "Steps that came to complete.";
    STEPS_FAILED: Counter "tasker_steps_failed_total" = "tasker.steps.failed", "{step}", STEP,
        "Steps that came to error: no attempt is left, or none would help.";
    STEPS_RETRIED: Counter "tasker_steps_retried_total" = "tasker.steps.retried", "{attempt}", STEP,
        "Attempts that failed or were lost and are followed by another.";
    STEPS_TIMED_OUT: Counter "tasker_steps_timed_out_total" = "tasker.steps.timed_out", "{attempt}", STEP,
        "Attempts that ran longer than their timeout_seconds.";
    STALE_COMPLETIONS: Counter "tasker_stale_completions_total" = "tasker.stale_completions", "{completion}", NONE,
        "Results refused because their attempt was no longer current.";
    QUARANTINED: Counter "tasker_tasks_quarantined_total" = "tasker.tasks.quarantined", "{task}", NONE,
        "Tasks left alone for a minute because this version could not read them or go on with them.";
    STEP_QUEUE_WAIT: Histogram "tasker_step_queue_wait_milliseconds" = "tasker.step.queue_wait", "ms", TASK,
        "From enqueued to claimed.";
    STEP_EXECUTION: Histogram "tasker_step_execution_time_milliseconds" = "tasker.step.execution_time", "ms", STEP,
        "The handler's run, by the handler thread's clock.";
    STEP_SETTLE: Histogram "tasker_step_settle_milliseconds" = "tasker.step.settle", "ms", TASK,
        "From a completion's arrival in the engine to its commit.";

    QUEUE_DEPTH: Gauge "tasker_queue_depth" = "tasker.queue.depth", "{step}", &["namespace"],
        "Enqueued steps in the namespace's queue, as of the last look (every 5 s, at most 20000 are counted, of each queue an equal share).";
    QUEUE_LAG: Gauge "tasker_queue_lag_seconds" = "tasker.queue.lag", "s", &["namespace"],
        "How long the longest waiting of them had waited at the last look.";
    QUEUE_NOTIFICATION: Histogram "tasker_queue_notification_milliseconds" = "tasker.queue.notification", "ms", NONE,
        "PostgreSQL: from sending a commit that tells workers of work (NOTIFY) to hearing it again in this process.";

    FFI_CHANNEL_DEPTH: Gauge "tasker_ffi_channel_depth" = "tasker.ffi.channel_depth", "{event}", NONE,
        "Step events that no handler thread has taken up.";
    FFI_HANDOFF: Histogram "tasker_ffi_handoff_milliseconds" = "tasker.ffi.handoff", "ms", NONE,
        "From an event's dispatch to a handler thread taking it up.";
    FFI_GVL_WAIT: Histogram "tasker_ffi_gvl_wait_milliseconds" = "tasker.ffi.gvl_wait", "ms", NONE,
        "From a handler thread's wake-up to its event in hand under the GVL.";

    STORE_TRANSACTION: Histogram "tasker_store_transaction_duration_milliseconds" = "tasker.store.transaction_duration", "ms", NONE,
        "One transaction, from begin to commit.";
    STORE_OPERATION: Histogram "tasker_store_operation_duration_milliseconds" = "tasker.store.operation_duration", "ms", &["operation"],
        "One part of a transaction: claimable (what may be claimed), load (tasks), write (changes) or commit; PostgreSQL gets what fits with the commit.";
    STORE_BATCH: Histogram "tasker_store_batch_size" = "tasker.store.batch", "{item}", NONE,
        "Requests, settlements and claims carried by one transaction.";
    STORE_ERRORS: Counter "tasker_store_errors_total" = "tasker.store.errors", "{error}", &["kind"],
        "Transactions that failed and were rolled back.";
    STORE_CONNECTIONS: Gauge "tasker_store_connections" = "tasker.store.connections", "{connection}", &["state"],
        "Connections to the database: active, idle, and max that there may be.";
    CACHE_HITS: Counter "tasker_store_cache_hits_total" = "tasker.store.cache_hits", "{lookup}", &["cache"],
        "What was in memory and not read: templates; on PostgreSQL also tasks whose steps are all this worker's.";
    CACHE_MISSES: Counter "tasker_store_cache_misses_total" = "tasker.store.cache_misses", "{lookup}", &["cache"],
        "What was looked for in memory and had to be read.";
    BREAKER_STATE: Gauge "tasker_circuit_breaker_state" = "tasker.circuit_breaker.state", "{state}", &["name"],
        "0 closed, 1 half-open, 2 open.";
    BREAKER_REJECTED: Counter "tasker_circuit_breaker_rejected_total" = "tasker.circuit_breaker.rejected", "{request}", &["name"],
        "Requests refused at once because the breaker was open.";
    WORKERS_ACTIVE: Gauge "tasker_workers_active" = "tasker.workers.active", "{worker}", NONE,
        "Workers of all processes whose lease had not run out at the last look into the store.";
    WORKER_STATE: Gauge "tasker_worker_state" = "tasker.worker.state", "{state}", NONE,
        "0 no worker, 1 draining, 2 running.";
    HANDLERS_BUSY: Gauge "tasker_worker_handlers_busy" = "tasker.worker.handlers_busy", "{thread}", NONE,
        "Handler threads that run a step.";
    HANDLERS_MAX: Gauge "tasker_worker_handlers_max" = "tasker.worker.handlers_max", "{thread}", NONE,
        "Handler threads there are.";
    WEB_DURATION: Histogram "tasker_web_request_duration_milliseconds" = "tasker.web.request_duration", "ms", &["route", "status"],
        "Requests to the worker's web server.";

    EVENTS_PUBLISHED: Counter "tasker_domain_events_published_total" = "tasker.domain_events.published", "{event}", EVENT,
        "Domain events published.";
    EVENTS_FAILED: Counter "tasker_domain_events_failed_total" = "tasker.domain_events.failed", "{event}", EVENT,
        "Domain events that could not be published.";
    EVENTS_DURATION: Histogram "tasker_domain_events_publish_duration_milliseconds" = "tasker.domain_events.publish_duration", "ms",
        &["delivery_mode", "namespace"], "How long publishing a domain event took.";
    ROUTER_DURABLE: Counter "router_durable_routed_total" = "router.durable_routed", "{event}", NONE,
        "Domain events sent via the durable path.";
    ROUTER_FAST: Counter "router_fast_routed_total" = "router.fast_routed", "{event}", NONE,
        "Domain events sent via the fast path, in this process.";
    ROUTER_BROADCAST: Counter "router_broadcast_routed_total" = "router.broadcast_routed", "{event}", NONE,
        "Domain events sent via both paths.";
    ROUTER_FAST_ERRORS: Counter "router_fast_delivery_errors_total" = "router.fast_delivery_errors", "{error}", NONE,
        "Fast deliveries of a broadcast that failed; the durable one stands.";
    ROUTER_ERRORS: Counter "router_routing_errors_total" = "router.routing_errors", "{error}", NONE,
        "Durable deliveries that failed.";

    SPANS_EXPORTED: Counter "tasker_telemetry_spans_exported_total" = "tasker.telemetry.spans_exported", "{span}", NONE,
        "Spans the collector has taken.";
    SPANS_DROPPED: Counter "tasker_telemetry_spans_dropped_total" = "tasker.telemetry.spans_dropped", "{span}", NONE,
        "Spans lost: the queue was full, or the collector did not take them.";
    LOGS_EXPORTED: Counter "tasker_telemetry_logs_exported_total" = "tasker.telemetry.logs_exported", "{record}", NONE,
        "Log records the collector has taken.";
    LOGS_DROPPED: Counter "tasker_telemetry_logs_dropped_total" = "tasker.telemetry.logs_dropped", "{record}", NONE,
        "Log records lost: the queue was full, or the collector did not take them.";
    EXPORT_FAILURES: Counter "tasker_telemetry_export_failures_total" = "tasker.telemetry.export_failures", "{request}", NONE,
        "Requests of any signal that the collector did not take.";

    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" = "process.memory.usage", "By", NONE,
        "Resident memory.";
    PROCESS_CPU: Counter "process_cpu_seconds_total" = "process.cpu.time", "s", NONE,
        "CPU time in user and kernel mode.";
    PROCESS_START: Gauge "process_start_time_seconds" = "process.start_time", "s", NONE,
        "When the process started, in seconds since the epoch.";
    PROCESS_THREADS: Gauge "process_threads" = "process.thread.count", "{thread}", NONE,
        "Threads of the process.";
}

/// The metric with that name in OTLP.
pub(crate) fn by_instrument(instrument: &str) -> Option<&'static MetricInfo> {
    CATALOGUE.iter().find(|info| info.instrument == instrument)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_kind_and_unit() {
        for (at, info) in CATALOGUE.iter().enumerate() {
            let rest = &CATALOGUE[at + 1..];
            assert!(
                rest.iter().all(|other| other.name != info.name && other.instrument != info.instrument),
                "{info:?}"
            );
            assert_eq!(info.name.ends_with("_total"), info.kind == Kind::Counter, "{info:?}");
            assert!(!info.instrument.ends_with("total"), "{info:?}");
            assert_eq!(info.name.ends_with("_milliseconds"), info.unit == "ms", "{info:?}");
            assert!(info.labels.is_sorted(), "{info:?}");
            assert!(info.meaning.ends_with('.'), "{info:?}");
        }
    }
}
