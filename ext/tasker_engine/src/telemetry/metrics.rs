//! Owns: the numbers of this process: one meter provider, made on first use without a thread, whose one reader feeds
//! `/metrics` (`text`) and OTLP (`pump`) alike. Refuses: ids as labels, and more label sets than it can bear.
//!
//! Recording goes through handles that are bound to their labels (`series`), so that it costs an atomic
//! addition or a short lock and no look-up. Totals are those of the process: they outlive the engine, and
//! start again at zero in a forked child, which gets a provider of its own.

pub mod app;
pub mod catalogue;
pub mod domain_events;
mod observed;
pub(super) mod pump;
mod series;
mod store;
mod text;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider, NoopMeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};
use opentelemetry_sdk::Resource;

pub use catalogue::{Kind, MetricInfo, CATALOGUE};
pub use observed::{resources, watch, Look, Probe, QueueLook};
pub use series::{Count, Measure, StepSeries, TaskSeries};
pub use store::{Cache, Operations};

use super::config::{Overrides, TelemetryConfig};
use super::otlp;
use catalogue as names;

static CURRENT: ArcSwapOption<Metrics> = ArcSwapOption::const_empty();
static RESOURCE: ArcSwapOption<Resource> = ArcSwapOption::const_empty();

/// Milliseconds: fine below a commit's duration, coarse up to ten minutes.
const MILLISECONDS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
    60_000.0, 600_000.0,
];
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];

/// The provider and everything made from it.
pub(super) struct Metrics {
    provider: SdkMeterProvider,
    reader: SharedReader,
    resource: Resource,
    series: series::Directory,
    engine: EngineMetrics,
    domain_events: domain_events::Instruments,
    app: app::Instruments,
}

/// What the engine records without labels of a task.
pub struct EngineMetrics {
    /// Results refused.
    pub stale_completions: Count,
    /// Milliseconds from an event's dispatch to a handler thread taking it up.
    pub handoff: Measure,
    /// Milliseconds from a handler thread's wake-up to its event in hand.
    pub gvl_wait: Measure,
    /// Milliseconds of one transaction.
    pub transaction: Measure,
    /// Milliseconds of the parts of a transaction.
    pub operations: Operations,
    /// Templates that were looked for in memory.
    pub templates: Cache,
    /// Tasks that were looked for in memory.
    pub tasks: Cache,
    /// Milliseconds from sending a commit that notifies to hearing of it.
    pub notification: Measure,
    /// Items one transaction carried.
    pub batch: Measure,
    /// Tasks that were left alone, because this version could not read them or go on with them.
    pub quarantined: Count,
    /// Requests the store's breaker refused.
    pub breaker_rejected: Count,
    store_errors: Counter<u64>,
    web: Histogram<f64>,
}

impl EngineMetrics {
    fn new(meter: &Meter) -> EngineMetrics {
        let store = [KeyValue::new("name", "store")];
        let store_errors = counter(meter, &names::STORE_ERRORS);
        // There from the start, as other counters are: the first error must not be one that rate() misses.
        store_errors.add(0, &[KeyValue::new("kind", "store")]);
        EngineMetrics {
            stale_completions: Count::new(&counter(meter, &names::STALE_COMPLETIONS), &[]),
            handoff: Measure::new(&histogram(meter, &names::FFI_HANDOFF), &[]),
            gvl_wait: Measure::new(&histogram(meter, &names::FFI_GVL_WAIT), &[]),
            transaction: Measure::new(&histogram(meter, &names::STORE_TRANSACTION), &[]),
            operations: Operations::new(&histogram(meter, &names::STORE_OPERATION)),
            templates: Cache::new(meter, "templates"),
            tasks: Cache::new(meter, "tasks"),
            notification: Measure::new(&histogram(meter, &names::QUEUE_NOTIFICATION), &[]),
            batch: Measure::new(&histogram(meter, &names::STORE_BATCH), &[]),
            quarantined: Count::new(&counter(meter, &names::QUARANTINED), &[]),
            breaker_rejected: Count::new(&counter(meter, &names::BREAKER_REJECTED), &store),
            store_errors,
            web: histogram(meter, &names::WEB_DURATION),
        }
    }

    /// Counts a transaction that failed; `kind` is the error's.
    pub fn store_error(&self, kind: &'static str) {
        self.store_errors.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// Takes note of a request to the web server. `route` is the route, never the path that was asked for.
    pub fn web_request(&self, route: &'static str, status: u16, milliseconds: f64) {
        let labels = [KeyValue::new("route", route), KeyValue::new("status", i64::from(status))];
        self.web.record(milliseconds, &labels);
    }
}

impl Metrics {
    fn new(resource: Resource) -> Metrics {
        let reader = SharedReader(Arc::new(ManualReader::default()));
        let provider = SdkMeterProvider::builder().with_reader(reader.clone()).with_resource(resource.clone()).build();
        let meter = provider.meter("tasker_core");
        observed::register(&meter);
        Metrics {
            series: series::Directory::new(&meter),
            engine: EngineMetrics::new(&meter),
            domain_events: domain_events::Instruments::new(&meter),
            app: app::Instruments::new(provider.meter("application")),
            reader,
            provider,
            resource,
        }
    }

    /// All numbers as they are now. `None` when the SDK refuses, which it does only after a shutdown.
    fn collect(&self) -> Option<ResourceMetrics> {
        let mut collected = ResourceMetrics::default();
        self.reader.collect(&mut collected).ok().map(|()| collected)
    }
}

/// Who sends the numbers, from the settings of Phase 2. Those that are there already keep what they began with: a sum that
/// goes on under another name would be counted twice.
pub(super) fn set_resource(resource: Resource) {
    if CURRENT.load().as_ref().is_some_and(|metrics| metrics.resource != resource) {
        tracing::warn!("metrics keep the service and the resource they began with until the process starts again");
    }
    RESOURCE.store(Some(Arc::new(resource)));
}

/// This process's metrics, made on first use.
pub(super) fn current() -> Arc<Metrics> {
    if let Some(metrics) = CURRENT.load_full() {
        return metrics;
    }
    let known = RESOURCE.load_full();
    let resource = known
        .map_or_else(|| otlp::resource(&TelemetryConfig::from_env(&Overrides::default())), |known| (*known).clone());
    let made = Arc::new(Metrics::new(resource));
    let before = CURRENT.compare_and_swap(&None::<Arc<Metrics>>, Some(Arc::clone(&made)));
    before.as_ref().map_or(made, Arc::clone)
}

/// What the engine records without labels of a task. Keep the handle: it is made for speed.
pub fn engine() -> EngineHandle {
    EngineHandle(current())
}

/// Keeps the process's [`EngineMetrics`] at hand.
#[derive(Clone)]
pub struct EngineHandle(Arc<Metrics>);

impl std::ops::Deref for EngineHandle {
    type Target = EngineMetrics;

    fn deref(&self) -> &EngineMetrics {
        &self.0.engine
    }
}

/// The series of one template's tasks. Ask once a template and keep the answer.
pub fn task_series(namespace: &str, task_name: &str) -> Arc<TaskSeries> {
    let metrics = current();
    let series = metrics.series.task(namespace, task_name);
    metrics.domain_events.at_zero(series.namespace());
    series
}

/// Everything in Prometheus' text format, version 0.0.4.
pub fn prometheus_text() -> String {
    current().collect().map(|collected| text::write(&collected)).unwrap_or_default()
}

/// Phase 2: libraries that use OpenTelemetry's global meter find ours.
pub(super) fn set_global() {
    opentelemetry::global::set_meter_provider(ForLibraries(current().provider.clone()));
}

/// The provider as libraries find it. The SDK is none of them: what it counts of itself, and only when it is armed a second
/// time, is what `tasker.telemetry` says more precisely.
struct ForLibraries(SdkMeterProvider);

impl MeterProvider for ForLibraries {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        match scope.name() {
            "otel.sdk" => NoopMeterProvider::new().meter_with_scope(scope),
            _ => self.0.meter_with_scope(scope),
        }
    }
}

/// In a forked child: what was inherited is left alone (its locks may be shut for ever), and the
/// numbers start at zero.
pub(super) fn forget() {
    std::mem::forget((CURRENT.swap(None), RESOURCE.swap(None)));
    observed::forget();
    domain_events::forget();
}

fn counter(meter: &Meter, info: &MetricInfo) -> Counter<u64> {
    meter.u64_counter(info.instrument).with_unit(info.unit).with_description(info.meaning).build()
}

fn histogram(meter: &Meter, info: &MetricInfo) -> Histogram<f64> {
    let bounds = if info.unit == "ms" { MILLISECONDS } else { SIZES };
    let builder = meter.f64_histogram(info.instrument).with_unit(info.unit).with_description(info.meaning);
    builder.with_boundaries(bounds.to_vec()).build()
}

/// A reader that the provider and we can both hold.
#[derive(Debug, Clone)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: std::sync::Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, collected: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(collected)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
