//! Owns: how the worker is, for an operator (`/health`), for who sends it work (`/health/ready`) and for who may kill it
//! (`/health/live`). Refuses: to call a worker dead that only waits for its store.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{json, Value};

use super::auth::Trusted;
use super::Served;
use crate::engine::{BreakerState, Monitor};

/// A store that has neither answered nor timed out for so long after it had to never will: the process should be killed.
const STUCK: Duration = Duration::from_secs(60);
/// The queues of a worker that runs must have been looked at within.
const UNSEEN: Duration = Duration::from_secs(60);
/// Enqueued steps that wait longer are reported, seconds.
const LATE: f64 = 300.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Healthy,
    Degraded,
    Unhealthy,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Status::Healthy => "healthy",
            Status::Degraded => "degraded",
            Status::Unhealthy => "unhealthy",
        }
    }
}

/// `GET /health`: 503 when unhealthy.
pub(super) async fn health(State(served): State<Served>, Extension(trusted): Extension<Trusted>) -> Response {
    let (status, body) = report(&served.monitor);
    let body = if trusted.0 { body } else { json!({ "status": status.as_str() }) };
    let code = if status == Status::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(body)).into_response()
}

/// `GET /health/ready`: 503 unless the worker runs, does not drain, and has its store.
pub(super) async fn ready(State(served): State<Served>, Extension(trusted): Extension<Trusted>) -> Response {
    let (monitor, worker) = (&served.monitor, served.monitor.worker());
    let reason = if let Some(reason) = dead(monitor) {
        Some(reason)
    } else if monitor.pulse().breaker() != BreakerState::Closed {
        Some("the store does not answer")
    } else if !worker.running {
        Some("the worker has not started, or has stopped")
    } else if worker.draining {
        Some("the worker is draining")
    } else {
        None
    };
    answer("ready", "not_ready", reason, trusted)
}

/// `GET /health/live`: 503 only when nothing but a kill helps.
pub(super) async fn live(State(served): State<Served>, Extension(trusted): Extension<Trusted>) -> Response {
    answer("alive", "dead", dead(&served.monitor), trusted)
}

fn answer(good: &str, bad: &str, reason: Option<&str>, trusted: Trusted) -> Response {
    let (code, body) = match reason {
        None => (StatusCode::OK, json!({ "status": good })),
        Some(reason) if trusted.0 => (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": bad, "reason": reason })),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": bad })),
    };
    (code, Json(body)).into_response()
}

fn dead(monitor: &Monitor) -> Option<&'static str> {
    if monitor.pulse().has_ended() {
        return Some("the engine's thread has ended");
    }
    let stuck = monitor.pulse().watchdog().overdue() > STUCK;
    stuck.then_some("a transaction has waited for its store for over a minute, without an answer or a timeout")
}

fn report(monitor: &Monitor) -> (Status, Value) {
    let (worker, depth, pulse) = (monitor.worker(), monitor.channel(), monitor.pulse());
    let breaker = match pulse.breaker() {
        BreakerState::Closed => Status::Healthy,
        BreakerState::HalfOpen => Status::Degraded,
        BreakerState::Open => Status::Unhealthy,
    };
    let database = breaker.max(if pulse.is_failing() { Status::Degraded } else { Status::Healthy });
    let handlers = if worker.running && !worker.draining { Status::Healthy } else { Status::Degraded };
    let engine = if dead(monitor).is_some() { Status::Unhealthy } else { Status::Healthy };
    let lag = if monitor.lag_seconds() > LATE { Status::Degraded } else { Status::Healthy };
    let [active, idle, max] = monitor.connections();
    // The queue lives in the database, and is looked at every few seconds while a worker runs.
    let unseen =
        worker.running && monitor.queues_seen().is_none_or(|since| since > UNSEEN) && monitor.uptime() > UNSEEN;
    let queue = if unseen { Status::Unhealthy } else { Status::Healthy };
    let waiting = monitor.waiting();
    let quarantined = monitor.quarantined().len();
    let tasks = if quarantined > 0 { Status::Degraded } else { Status::Healthy };
    let status = [database, queue, handlers, engine, lag, tasks].into_iter().max().unwrap_or(Status::Healthy);
    let (memory, threads) = tasker_telemetry::resources();
    let body = json!({
        "status": status.as_str(),
        "checks": {
            "database": {
                "status": database.as_str(),
                "connections_active": active,
                "connections_idle": idle,
                "connections_max": max,
            },
            "message_queue": {
                "status": queue.as_str(),
                "queues_monitored": monitor.queues(),
                "depth": waiting.steps_enqueued(),
            },
            "circuit_breakers": {
                "status": breaker.as_str(),
                "open_breakers": usize::from(pulse.breaker() == BreakerState::Open),
                "breakers": { "store": pulse.breaker().as_str() },
            },
            "handler_threads": {
                "status": handlers.as_str(),
                "busy": depth.running,
                "max": worker.concurrency,
                "abandoned": depth.abandoned,
                "waiting_events": depth.waiting,
            },
            "engine": {
                "status": engine.as_str(),
                "transaction_seconds": pulse.in_transaction().map(|since| since.as_secs_f64()),
                "overdue_seconds": pulse.watchdog().overdue().as_secs_f64(),
            },
            "lag": { "status": lag.as_str(), "seconds": monitor.lag_seconds() },
            "tasks": { "status": tasks.as_str(), "quarantined": quarantined },
            // Nobody here knows how much is too much.
            "resources": { "memory_bytes": memory, "threads": threads },
        },
        "uptime_seconds": monitor.uptime().as_secs(),
        "worker_id": worker.worker_id.as_deref(),
        "timestamp": monitor.clock().now().to_rfc3339(),
    });
    (status, body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::bell::Bell;
    use crate::channel::Channel;
    use crate::clock::Clock;
    use crate::engine::Shared;
    use crate::error::Result;
    use crate::state::TaskState;
    use crate::store::catalogue::Catalogue;
    use crate::store::{Connections, OnEnd, Reader, TaskView, TransitionView};
    use crate::watchdog::waits;

    /// A store of which only the connections are asked for.
    struct NothingThere;

    impl Reader for NothingThere {
        fn task(&self, _: Uuid) -> Result<TaskView> {
            unreachable!()
        }
        fn state(&self, _: Uuid) -> Result<TaskState> {
            unreachable!()
        }
        fn ended(&self, _: &[Uuid]) -> Result<Vec<Uuid>> {
            unreachable!()
        }
        fn transitions(&self, _: Uuid) -> Result<Vec<TransitionView>> {
            unreachable!()
        }
        fn count_tasks(&self) -> Result<Vec<(String, i64)>> {
            unreachable!()
        }
        fn read_templates(&self, _: &str, _: &str, _: &Catalogue) -> Result<()> {
            unreachable!()
        }
        fn connections(&self) -> Connections {
            Connections { open: 1, reading: 0, max: 2 }
        }
        fn watch_ends(&self, _: &OnEnd) -> bool {
            false
        }
    }

    fn monitor(shared: &Arc<Shared>) -> Monitor {
        let channel = Channel::new(Clock::System, Arc::new(Bell::default()));
        Monitor::new(Arc::clone(shared), channel, Clock::System, "here".into(), Arc::new(NothingThere))
    }

    #[test]
    fn tasks_that_are_left_alone_are_counted() {
        let shared = Arc::new(Shared::default());
        let monitor = monitor(&shared);
        assert_eq!(report(&monitor).1["checks"]["tasks"], json!({ "status": "healthy", "quarantined": 0 }));
        shared.publish_quarantine(vec![(7, "its template is no JSON".into())]);
        assert_eq!(report(&monitor).1["checks"]["tasks"], json!({ "status": "degraded", "quarantined": 1 }));
        assert_eq!(monitor.status()["quarantined"], json!([{ "task": 7, "why": "its template is no JSON" }]));
    }

    #[test]
    fn only_a_store_that_neither_answers_nor_times_out_is_a_reason_to_kill() {
        let shared = Arc::new(Shared::default());
        let monitor = monitor(&shared);
        shared.pulse.transaction_begins();
        for _ in 0..5 {
            let _waiting = waits(STUCK * 10);
            shared.pulse.pass(STUCK * 10);
            assert_eq!(dead(&monitor), None, "it times out at last");
        }
        shared.pulse.pass(STUCK * 2);
        assert!(dead(&monitor).is_some_and(|reason| reason.contains("over a minute")));
        assert_eq!(report(&monitor).0, Status::Unhealthy);
    }
}
