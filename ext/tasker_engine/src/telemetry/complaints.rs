//! Owns: what the console hears about a collector that cannot be reached: one line a minute, from us
//! or from the SDK, whoever is first. Refuses: to send these lines to the collector.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::Instant;

use tracing::{Level, Metadata};

use super::logs;
use super::spans::{self, COUNTS};
use super::transport::{Signal, Transport};

/// The target of our own lines.
const TARGET: &str = "tasker_core::telemetry::export";
const EVERY_MILLIS: u64 = 60_000;

/// A request was not taken.
pub(super) fn export_failed(transport: &Transport, signal: Signal, reason: &str) {
    COUNTS.failures.fetch_add(1, Ordering::Relaxed);
    // One request opens the connection, others wait for it. When it fails, only the first knows why; the
    // minute's line belongs to that one.
    if reason.ends_with("request was canceled") {
        return;
    }
    tracing::warn!(
        target: TARGET,
        otlp_endpoint = %transport.endpoint(),
        signal = signal.name(),
        error = reason,
        export_failures = spans::export_failures(),
        spans_dropped = spans::dropped(),
        logs_dropped = logs::dropped(),
        "OTLP export failed; the worker goes on, console logging too. Is a collector listening there?"
    );
}

/// Spans were lost without a failed request of their own: too many, or too large for the bound.
pub(super) fn spans_dropped(transport: &Transport) {
    tracing::warn!(
        target: TARGET,
        otlp_endpoint = %transport.endpoint(),
        spans_dropped = spans::dropped(),
        spans_exported = spans::exported(),
        "spans were dropped: the collector takes fewer than are made; see OTEL_BSP_MAX_QUEUE_SIZE and OTEL_TRACES_SAMPLER_ARG"
    );
}

/// Log records were lost: more than the queue holds.
pub(super) fn logs_dropped(transport: &Transport) {
    tracing::warn!(
        target: TARGET,
        otlp_endpoint = %transport.endpoint(),
        logs_dropped = logs::dropped(),
        logs_exported = logs::exported(),
        "log records were dropped: the collector takes fewer than are written; see OTEL_BLRP_MAX_QUEUE_SIZE and RUST_LOG"
    );
}

/// Whether an event is about an export that failed: ours, or a warning of the SDK's own.
pub(super) fn is_complaint(meta: &Metadata<'_>) -> bool {
    meta.target() == TARGET || (meta.target().starts_with("opentelemetry") && *meta.level() <= Level::WARN)
}

/// Whether a complaint may be printed now; the next one has to wait a minute.
pub(super) fn may_print() -> bool {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: OnceLock<Instant> = OnceLock::new();
    let now = u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX);
    let next = NEXT.load(Ordering::Relaxed);
    now >= next && NEXT.compare_exchange(next, now + EVERY_MILLIS, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}
