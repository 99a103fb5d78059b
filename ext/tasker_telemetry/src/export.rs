//! Owns: the way from what was recorded to an OTLP collector, and everything OpenTelemetry: the exporters (`client`), the span
//! queue (`queue`, `encode`, `span_data`), the log provider (`logs`), the meter provider ([`metrics`]), the layers that wait
//! for Phase 2 (`deferred`), and the lines about a collector that is not there (`complaints`).
//! Refuses: to fail, stop or slow whoever records, whatever the settings and the collector are.

mod client;
pub(crate) mod complaints;
pub(crate) mod deferred;
mod encode;
mod logs;
pub mod metrics;
mod otlp;
mod queue;
mod sampler;
mod span_data;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::Context;

use crate::record::context::{self, TraceContext};
use crate::record::counts::SPANS;
use crate::record::spans;
pub(crate) use otlp::{resource, Exporting};
use queue::{Item, SpanQueue};

static QUEUE: ArcSwapOption<SpanQueue> = ArcSwapOption::const_empty();

/// Phase 2: spans go to `queue` from now on (`None`: only logs or metrics are exported), and OpenTelemetry is told in which
/// context log lines are written.
fn arm(queue: Option<Arc<SpanQueue>>) {
    let traces = queue.is_some();
    QUEUE.store(queue);
    spans::listen(traces.then_some(|recorded| push(Item::Recorded(recorded))));
    context::tell(Some(attach));
}

/// Back to Phase 1. The queue is handed back, for a forked child must not drop it.
fn disarm() -> Option<Arc<SpanQueue>> {
    context::tell(None);
    spans::listen(None);
    QUEUE.swap(None)
}

/// In a forked child: what was inherited is left alone, its locks may be shut for ever.
pub(crate) fn forget() {
    std::mem::forget(disarm());
    deferred::forget();
    metrics::forget();
}

fn push(mut item: Item) {
    // A queue that is being replaced refuses: then there is another one already.
    for _ in 0..2 {
        let queue = QUEUE.load();
        let Some(queue) = queue.as_deref() else { break };
        match queue.push(item) {
            None => return,
            Some(refused) => item = refused,
        }
    }
    SPANS.drop(item.len());
}

fn attach(context: &TraceContext) -> Box<dyn std::any::Any> {
    let flags = if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace_id, span_id) = (TraceId::from(context.trace_id), SpanId::from(context.span_id));
    let span = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    Box::new(Context::current().with_remote_span_context(span).attach())
}
