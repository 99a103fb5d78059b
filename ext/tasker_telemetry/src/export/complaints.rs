//! Owns: what the console hears about a collector that cannot be reached: one line a minute, from us
//! or from the SDK, whoever is first. Refuses: to send these lines to the collector.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

use crate::config::Signal;
use crate::record::counts;

/// The target of our own lines.
const TARGET: &str = "tasker_core::telemetry::export";
/// The target of the one line about a signal that is not taken: not one that repeats.
const NOT_TAKEN: &str = "tasker_core::telemetry::export::signal";
const EVERY_MILLIS: u64 = 60_000;

/// A request was not taken.
pub(super) fn export_failed(endpoint: &str, signal: Signal, reason: &str) {
    counts::export_failed();
    // One request opens the connection, others wait for it. When it fails, only the first knows why; the
    // minute's line belongs to that one.
    if reason.ends_with("request was canceled") {
        return;
    }
    tracing::warn!(
        target: TARGET,
        otlp_endpoint = endpoint,
        signal = signal.name(),
        error = reason,
        export_failures = counts::export_failures(),
        spans_dropped = counts::spans_dropped(),
        logs_dropped = counts::logs_dropped(),
        "OTLP export failed; the worker goes on, console logging too. Is a collector listening there?"
    );
}

/// The collector has said that it takes nothing of a signal: it is not asked again before an upgrade.
pub(super) fn not_taken(endpoint: &str, signal: Signal, reason: &str) {
    counts::export_failed();
    tracing::warn!(
        target: NOT_TAKEN,
        otlp_endpoint = endpoint,
        signal = signal.name(),
        error = reason,
        "The collector takes no {0}: they are not sent to it any more. OTEL_{1}_EXPORTER=none says so from the start",
        signal.name(),
        signal.name().to_uppercase()
    );
}

/// Items of the last request that the collector took the rest of: the exporter says so in a line.
static REFUSED: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// How many of them there were since this was last asked.
pub(super) fn refused(signal: Signal) -> u64 {
    REFUSED[signal as usize].swap(0, Ordering::Relaxed)
}

/// There were so many more.
pub(super) fn add_refused(signal: Signal, count: i64) {
    REFUSED[signal as usize].fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
}

/// Whether the console shows a line. The SDK and the exporters read variables too, and have their own opinion of what we have
/// warned of already; what became of an export is said here, with its reason.
pub(crate) fn passes(event: &Event<'_>) -> bool {
    let meta = event.metadata();
    read(event);
    let opinion = meta.target().starts_with("opentelemetry") && meta.name().contains(".Config.");
    !opinion && !is_said_better(meta) && (!is_complaint(meta) || may_print())
}

/// Reads the exporter's lines about requests that were taken in part.
fn read(event: &Event<'_>) {
    if !event.metadata().name().ends_with(".PartialSuccess") {
        return;
    }
    event.record(&mut Refused);
}

struct Refused;

impl Refused {
    fn add(field: &Field, count: i64) {
        for (signal, name) in
            Signal::ALL.into_iter().zip(["rejected_spans", "rejected_log_records", "rejected_data_points"])
        {
            if field.name() == name {
                add_refused(signal, count);
            }
        }
    }
}

impl Visit for Refused {
    fn record_i64(&mut self, field: &Field, value: i64) {
        Refused::add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        Refused::add(field, i64::try_from(value).unwrap_or(0));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Spans were lost without a failed request of their own: too many, or too large for the bound.
pub(super) fn spans_dropped(endpoint: &str) {
    tracing::warn!(
        target: TARGET,
        otlp_endpoint = endpoint,
        spans_dropped = counts::spans_dropped(),
        spans_exported = counts::spans_exported(),
        "spans were dropped: the collector takes fewer than are made; see OTEL_BSP_MAX_QUEUE_SIZE and OTEL_TRACES_SAMPLER_ARG"
    );
}

/// Log records were lost: more than the queue holds.
pub(super) fn logs_dropped(endpoint: &str) {
    tracing::warn!(
        target: TARGET,
        otlp_endpoint = endpoint,
        logs_dropped = counts::logs_dropped(),
        logs_exported = counts::logs_exported(),
        "log records were dropped: the collector takes fewer than are written; see OTEL_BLRP_MAX_QUEUE_SIZE and RUST_LOG"
    );
}

/// Whether an event is about an export that failed: ours, or a warning of the SDK's own.
fn is_complaint(meta: &Metadata<'_>) -> bool {
    meta.target() == TARGET || (meta.target().starts_with("opentelemetry") && *meta.level() <= Level::WARN)
}

/// Whether a line of the exporter's or the SDK's is about an export that failed: we say that, and why.
fn is_said_better(meta: &Metadata<'_>) -> bool {
    let sdk = meta.target().starts_with("opentelemetry");
    sdk && ["Export.Failed.", "BatchLogProcessor."].iter().any(|lines| meta.name().starts_with(lines))
}

/// Whether a complaint may be printed now; the next one has to wait a minute.
fn may_print() -> bool {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: OnceLock<Instant> = OnceLock::new();
    let now = u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX);
    let next = NEXT.load(Ordering::Relaxed);
    now >= next && NEXT.compare_exchange(next, now + EVERY_MILLIS, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}
