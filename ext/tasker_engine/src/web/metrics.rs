//! Owns: numbers for machines (`/metrics`) and for people (`/metrics/events`, `/metrics/worker`).

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::Json;
use serde_json::{json, Value};

use super::Served;
use crate::events::DomainEventStats;
use tasker_telemetry::record::counts;

/// `GET /metrics`: Prometheus' text format.
pub(super) async fn prometheus(State(served): State<Served>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], served.scrape.text().await).into_response()
}

/// `GET /metrics/events`: what became of domain events.
pub(super) async fn events(State(served): State<Served>) -> Json<DomainEventStats> {
    let captured_at = served.monitor.clock().now().to_rfc3339();
    Json(DomainEventStats::now(captured_at, served.monitor.worker().worker_id.as_deref()))
}

/// `GET /metrics/worker`: the engine's status, the queue and telemetry itself.
pub(super) async fn worker(State(served): State<Served>) -> Json<Value> {
    let monitor = &served.monitor;
    let mut body = monitor.status();
    let waiting = monitor.waiting();
    let by_namespace = waiting.queues.iter().map(|queue| (queue.namespace.to_string(), json!(queue.steps)));
    body["queue"] = json!({
        "depth": waiting.steps_enqueued(), "depth_by_namespace": Value::Object(by_namespace.collect()),
        "tasks_active": waiting.tasks_active, "lag_seconds": monitor.lag_seconds(),
    });
    body["telemetry"] = json!({
        "spans_exported": counts::spans_exported(),
        "spans_dropped": counts::spans_dropped(),
        "logs_exported": counts::logs_exported(),
        "logs_dropped": counts::logs_dropped(),
        "export_failures": counts::export_failures(),
    });
    body["uptime_seconds"] = json!(monitor.uptime().as_secs());
    body["worker_id"] = json!(monitor.worker().worker_id.as_deref());
    body["captured_at"] = json!(monitor.clock().now().to_rfc3339());
    Json(body)
}
