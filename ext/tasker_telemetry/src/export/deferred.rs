//! Owns: the two layers that are installed in Phase 1 and come alive in Phase 2: Rust's `tracing` spans
//! into the trace, Rust's events into OTLP logs. Each is a shut gate before an empty slot.
//! Refuses: spans that were opened before: their children begin traces of their own.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use opentelemetry::trace::{Span, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use tracing::{Event, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::layer::{Context as LayerContext, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::logs::Lines;
use crate::config::{every_line, QUIET};
use crate::gate::{self, Gate, Slot};
use crate::record::line;

type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

static TRACER: ArcSwapOption<SdkTracer> = ArcSwapOption::const_empty();
static BRIDGE: ArcSwapOption<Bridge> = ArcSwapOption::const_empty();
/// The way of lines whose fields are known only at run time.
static LINES: ArcSwapOption<Lines> = ArcSwapOption::const_empty();
/// The process that [`BRIDGE`] and [`LINES`] belong to.
static BRIDGE_PID: AtomicU32 = AtomicU32::new(0);
static SPANS_FILTER: Slot = Slot::const_empty();
static LOGS_FILTER: Slot = Slot::const_empty();

/// Libraries that carry the export itself: exporting what they say would feed on itself.
const CARRIERS: [&str; 10] = [
    "opentelemetry",
    "tasker_core::telemetry::export",
    "h2",
    "hyper",
    "rustls",
    "tokio",
    "mio",
    "tower",
    "tonic",
    "reqwest",
];

fn admits(meta: &Metadata<'_>) -> bool {
    !CARRIERS.iter().any(|carrier| meta.target().starts_with(carrier))
}

/// The layer that turns `tracing` spans into OpenTelemetry's, asleep.
pub(crate) fn spans_layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    OpenTelemetryLayer::new(DeferredTracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(Gate::new(&SPANS_FILTER, admits, |_| true))
}

/// The layer that turns `tracing` events into OTLP log records, asleep.
pub(crate) fn logs_layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    DeferredLogs.with_filter(Gate::new(&LOGS_FILTER, admits, |_| true))
}

/// Phase 2: spans go to `tracer`, events to the provider's logs, each if there is one; what was there
/// before is let go. Logs are those that `log_filter` shows on the console; a quiet console must not cut
/// holes into traces, so spans have a level of their own.
pub(super) fn wake(tracer: Option<SdkTracer>, logs: Option<&SdkLoggerProvider>, log_filter: &str) {
    let (spans, events) = (tracer.is_some(), logs.is_some());
    TRACER.store(tracer.map(Arc::new));
    BRIDGE_PID.store(std::process::id(), Ordering::Relaxed);
    BRIDGE.store(logs.map(|provider| Arc::new(Bridge::new(provider))));
    LINES.store(logs.map(|provider| Arc::new(Lines::new(provider))));
    gate::set(&[&SPANS_FILTER], spans.then_some("info"));
    gate::set(&[&LOGS_FILTER], events.then(|| every_line(&format!("{QUIET},{log_filter}"))).as_deref());
}

/// Back to Phase 1.
pub(super) fn sleep() {
    gate::set(&[&SPANS_FILTER, &LOGS_FILTER], None);
    TRACER.store(None);
    BRIDGE.store(None);
    LINES.store(None);
}

/// Back to Phase 1 in a forked child: nothing inherited is dropped, no lock is taken. Callsites that
/// were switched on stay so and find the slots empty.
pub(super) fn forget() {
    std::mem::forget((SPANS_FILTER.swap(None), LOGS_FILTER.swap(None)));
    std::mem::forget((TRACER.swap(None), BRIDGE.swap(None), LINES.swap(None)));
}

/// The tracer of whichever phase it is.
struct DeferredTracer;

impl Tracer for DeferredTracer {
    type Span = DeferredSpan;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> DeferredSpan {
        let tracer = TRACER.load();
        let Some(tracer) = tracer.as_deref() else { return DeferredSpan(None) };
        // A span of Phase 1 is present but invalid; a parent-based sampler would drop its children.
        let invalid = parent.has_active_span() && !parent.span().span_context().is_valid();
        DeferredSpan(Some(if invalid && !parent.is_telemetry_suppressed() {
            tracer.build_with_context(builder, &Context::new())
        } else {
            tracer.build_with_context(builder, parent)
        }))
    }
}

/// A span of the SDK's, or nothing.
struct DeferredSpan(Option<SdkSpan>);

impl Span for DeferredSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(span) = &mut self.0 {
            span.add_event_with_timestamp(name, timestamp, attributes);
        }
    }

    fn span_context(&self) -> &SpanContext {
        self.0.as_ref().map_or(&SpanContext::NONE, Span::span_context)
    }

    fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(Span::is_recording)
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(attribute);
        }
    }

    fn set_status(&mut self, status: Status) {
        if let Some(span) = &mut self.0 {
            span.set_status(status);
        }
    }

    fn update_name<T>(&mut self, new_name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(span) = &mut self.0 {
            span.update_name(new_name);
        }
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        if let Some(span) = &mut self.0 {
            span.add_link(span_context, attributes);
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        if let Some(span) = &mut self.0 {
            span.end_with_timestamp(timestamp);
        }
    }
}

struct DeferredLogs;

impl<S> Layer<S> for DeferredLogs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, cx: LayerContext<'_, S>) {
        // The channel behind an inherited bridge may have been locked when the process forked.
        if BRIDGE_PID.load(Ordering::Relaxed) != std::process::id() {
            return;
        }
        if event.metadata().target() == line::TARGET {
            if let Some(lines) = LINES.load().as_deref() {
                line::with_current(|line| lines.emit(line));
            }
        } else if let Some(bridge) = BRIDGE.load().as_deref() {
            bridge.on_event(event, cx);
        }
    }
}
