//! Owns: Phase 2: the client, the span queue, the SDK's providers, and their end.
//! Refuses: to take longer than it is told, whatever the collector does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{IdGenerator, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use opentelemetry_sdk::Resource;
use tokio::runtime::Handle;

use super::client::Client;
use super::metrics::pump::Pump;
use super::queue::{Item, Outgoing, SpanQueue};
use super::{arm, deferred, disarm, logs, push, sampler};
use crate::config::{Destination, TelemetryConfig};
use crate::error::{Error, Result};
use crate::record::counts::LOGS;

/// The name of the instrumentation scope of every span.
const SCOPE: &str = "tasker_core";

/// Everything that exports in this process.
pub(crate) struct Exporting {
    pid: u32,
    queue: Option<Arc<SpanQueue>>,
    tracer_provider: Option<SdkTracerProvider>,
    logs: Option<(SdkLoggerProvider, Arc<AtomicBool>)>,
    metrics: Option<Pump>,
    /// Set once its end has begun. Who ends it waits for what it holds, and says whether all was taken.
    ended: Arc<AtomicBool>,
}

impl Exporting {
    /// Builds it all and wakes what slept since Phase 1.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an endpoint that cannot be used; [`Error::Internal`] without threads.
    pub(crate) fn start(config: &TelemetryConfig, runtime: Handle) -> Result<Exporting> {
        let resource = resource(config);
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let to = |destination: &Destination| Outgoing::new(destination, &runtime, &resource, scope.clone());
        let outgoing = config.traces.as_ref().map(to).transpose()?;
        let to = |destination: &Destination| Client::logs(destination, &runtime, resource.clone());
        let logs_client = config.logs.as_ref().map(to).transpose()?;
        let metrics_client = config.metrics.as_ref().map(|to| Client::metrics(to, &runtime)).transpose()?;
        let queue = outgoing.map(|outgoing| span_queue(config, outgoing)).transpose()?;
        let metrics = metrics_client.map(|client| Pump::start(&runtime, client, config.metric_interval));
        let logs = logs_client.map(|client| logs::provider(client, resource.clone(), &config.log_batch));
        let tracer_provider = config.traces.is_some().then(|| {
            SdkTracerProvider::builder()
                .with_resource(resource)
                .with_sampler(sampler::for_sdk(config.sampling.general))
                .with_id_generator(Ids)
                .with_span_processor(ToQueue)
                .build()
        });
        let tracer: Option<SdkTracer> = tracer_provider.as_ref().map(|provider| provider.tracer(SCOPE));
        if let Some(provider) = &tracer_provider {
            // Spans of other Rust code in the process take the same way.
            opentelemetry::global::set_tracer_provider(provider.clone());
        }
        arm(queue.clone());
        deferred::wake(tracer, logs.as_ref().map(|(provider, _)| provider), &config.log_filter);
        Ok(Exporting { pid: std::process::id(), queue, tracer_provider, logs, metrics, ended: Arc::default() })
    }

    /// A forked child has only the memory of it: no threads, perhaps locks that nobody will open.
    pub(crate) fn inherited(&self) -> bool {
        std::process::id() != self.pid
    }

    /// Sends all that waits. `true` when the collector took everything within `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let logs = self.logs.as_ref().map(|(provider, _)| (provider.clone(), self.ended.clone()));
        let lost = LOGS.dropped();
        // The SDK answers for its last request only. An upgrade may end it meanwhile: then the provider refuses to flush
        // what it is sending anyway.
        let flush = logs.map(|(provider, ended)| {
            move || (provider.force_flush().is_ok() && LOGS.dropped() == lost) || ended.load(Ordering::SeqCst)
        });
        self.with_metrics(timeout, || {
            in_parallel(timeout, flush, || self.queue.as_ref().is_none_or(|queue| queue.flush(timeout)))
        })
    }

    /// Back to Phase 1, then [`Exporting::drain`].
    pub(crate) fn shutdown(&self, timeout: Duration) -> bool {
        deferred::sleep();
        drop(disarm());
        self.drain(timeout)
    }

    /// Sends what waits, gives up at `timeout`, ends the threads. `true` when nothing was given up. Who
    /// records, records elsewhere already.
    pub(crate) fn drain(&self, timeout: Duration) -> bool {
        self.ended.store(true, Ordering::SeqCst);
        let logs = self.logs.as_ref().map(|(provider, _)| provider.clone());
        let lost = LOGS.dropped();
        if let Some(pump) = &self.metrics {
            pump.stop();
        }
        let complete = self.with_metrics(timeout, || {
            let end =
                logs.map(|provider| move || provider.shutdown_with_timeout(timeout).is_ok() && LOGS.dropped() == lost);
            in_parallel(timeout, end, || self.queue.as_ref().is_none_or(|queue| queue.shutdown(timeout)))
        });
        if let Some((_, given_up)) = &self.logs {
            given_up.store(true, Ordering::Relaxed);
        }
        if let Some(provider) = &self.tracer_provider {
            // Our processor holds nothing: this only makes spans that are still open end quietly.
            let _ = provider.shutdown();
        }
        complete
    }
}

impl Exporting {
    /// Sends the metrics of now, does `others` meanwhile, and waits for what is left of `timeout`.
    fn with_metrics(&self, timeout: Duration, others: impl FnOnce() -> bool) -> bool {
        let started = Instant::now();
        let pending = self.metrics.as_ref().map(Pump::begin);
        let others_complete = others();
        let left = timeout.saturating_sub(started.elapsed());
        let metrics_complete = match (&self.metrics, pending) {
            (Some(pump), Some(pending)) => pump.finish(pending, left),
            _ => true,
        };
        others_complete && metrics_complete
    }
}

/// Logs on a thread of their own, spans on this one: together they take no longer than one.
fn in_parallel<L>(timeout: Duration, logs: Option<L>, spans: impl FnOnce() -> bool) -> bool
where
    L: FnOnce() -> bool + Send + 'static,
{
    let (sender, answer) = channel();
    let started = Instant::now();
    let waits = match logs {
        None => false,
        // A thread that outlives the wait ends by itself: its work gives up too.
        Some(work) => {
            std::thread::Builder::new().name("tasker-logs-end".into()).spawn(move || sender.send(work())).is_ok()
        }
    };
    let spans_complete = spans();
    let left = timeout.saturating_sub(started.elapsed());
    let logs_complete = !waits || answer.recv_timeout(left).unwrap_or(false);
    spans_complete && logs_complete
}

fn span_queue(config: &TelemetryConfig, outgoing: Outgoing) -> Result<Arc<SpanQueue>> {
    SpanQueue::start(config.batch.clone(), outgoing)
        .map_err(|error| Error::Internal(format!("no thread for the export of spans: {error}")))
}

/// Who sends: the service, its version, where it is deployed, which process.
pub(crate) fn resource(config: &TelemetryConfig) -> Resource {
    let given = config.resource_attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.framework", "tasker"),
            KeyValue::new("deployment.environment.name", config.environment.clone()),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .with_attributes(given)
        .with_attributes([
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", config.service_version.clone()),
        ])
        .build()
}

/// The engine's own ids for the SDK's spans: reseeded in a forked child.
#[derive(Debug)]
struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from(crate::ids::trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(crate::ids::span_id())
    }
}

/// The SDK's spans take the engine's way out.
#[derive(Debug)]
struct ToQueue;

impl SpanProcessor for ToQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            push(Item::Sdk(Box::new(span)));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
