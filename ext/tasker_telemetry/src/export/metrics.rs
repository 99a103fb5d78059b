//! Owns: where numbers are kept: one meter provider, made on first use without a thread, whose one reader feeds `/metrics`
//! (`text`) and OTLP (`pump`) alike; and the metrics of the application ([`app`]).

pub mod app;
mod observed;
pub(super) mod pump;
mod text;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider, NoopMeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};
use opentelemetry_sdk::Resource;

use crate::config::{Overrides, TelemetryConfig};
use crate::record::metrics::{self as record, Count, Label, Measure, MetricInfo};
use crate::record::spans::Value;

static CURRENT: ArcSwapOption<Metrics> = ArcSwapOption::const_empty();
static RESOURCE: ArcSwapOption<Resource> = ArcSwapOption::const_empty();

/// Milliseconds: fine below a commit's duration, coarse up to ten minutes.
const MILLISECONDS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
    60_000.0, 600_000.0,
];
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];

/// The provider and everything made from it.
struct Metrics {
    provider: SdkMeterProvider,
    reader: SharedReader,
    resource: Resource,
    meter: Meter,
    counters: Known<Counter<u64>>,
    histograms: Known<Histogram<f64>>,
    app: app::Instruments,
}

/// Instruments by their names.
type Known<I> = Mutex<HashMap<&'static str, I>>;

impl Metrics {
    fn new(resource: Resource) -> Metrics {
        let reader = SharedReader(Arc::new(ManualReader::default()));
        let provider = SdkMeterProvider::builder().with_reader(reader.clone()).with_resource(resource.clone()).build();
        let meter = provider.meter("tasker_core");
        observed::register(&meter);
        Metrics {
            app: app::Instruments::new(provider.meter("application")),
            counters: Mutex::default(),
            histograms: Mutex::default(),
            meter,
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

impl record::Meter for Metrics {
    fn count(&self, info: &MetricInfo, labels: &[Label]) -> Count {
        let bound = known(&self.counters, info, || {
            self.meter.u64_counter(info.instrument).with_unit(info.unit).with_description(info.meaning).build()
        })
        .bind(&key_values(labels));
        Count::new(move |count| bound.add(count))
    }

    fn measure(&self, info: &MetricInfo, labels: &[Label]) -> Measure {
        let bound = known(&self.histograms, info, || {
            let bounds = if info.unit == "ms" { MILLISECONDS } else { SIZES };
            let builder = self.meter.f64_histogram(info.instrument).with_unit(info.unit).with_description(info.meaning);
            builder.with_boundaries(bounds.to_vec()).build()
        })
        .bind(&key_values(labels));
        Measure::new(move |value| bound.record(value))
    }
}

fn known<I: Clone>(all: &Known<I>, info: &MetricInfo, make: impl FnOnce() -> I) -> I {
    all.lock().unwrap_or_else(PoisonError::into_inner).entry(info.instrument).or_insert_with(make).clone()
}

fn key_values(labels: &[Label]) -> Vec<KeyValue> {
    let value = |value: &Value| match value {
        Value::I64(number) => (*number).into(),
        Value::F64(number) => (*number).into(),
        Value::Bool(truth) => (*truth).into(),
        Value::Static(text) => (*text).into(),
        Value::Shared(text) => opentelemetry::Value::from(Arc::clone(text)),
        Value::String(text) | Value::Json(text) => text.clone().into(),
        Value::Uuid(_) | Value::TraceId(_) | Value::SpanId(_) | Value::Null => opentelemetry::Value::from(""),
    };
    labels.iter().map(|(name, of)| KeyValue::new(*name, value(of))).collect()
}

/// Who sends the numbers, from the settings of Phase 2. Those that are there already keep what they began with: a sum that
/// goes on under another name would be counted twice.
pub(crate) fn set_resource(resource: Resource) {
    if CURRENT.load().as_ref().is_some_and(|metrics| metrics.resource != resource) {
        tracing::warn!("metrics keep the service and the resource they began with until the process starts again");
    }
    RESOURCE.store(Some(Arc::new(resource)));
}

/// From now on the numbers of this process are kept. Idempotent; starts no thread.
pub(crate) fn keep() {
    record::keep(|| current());
}

/// This process's metrics, made on first use.
fn current() -> Arc<Metrics> {
    if let Some(metrics) = CURRENT.load_full() {
        return metrics;
    }
    let known = RESOURCE.load_full();
    let resource = known
        .map_or_else(|| super::resource(&TelemetryConfig::from_env(&Overrides::default())), |known| (*known).clone());
    let made = Arc::new(Metrics::new(resource));
    let before = CURRENT.compare_and_swap(&None::<Arc<Metrics>>, Some(Arc::clone(&made)));
    before.as_ref().map_or(made, Arc::clone)
}

/// Everything in Prometheus' text format, version 0.0.4.
pub fn prometheus_text() -> String {
    current().collect().map(|collected| text::write(&collected)).unwrap_or_default()
}

/// Phase 2: libraries that use OpenTelemetry's global meter find ours.
pub(crate) fn set_global() {
    opentelemetry::global::set_meter_provider(ForLibraries(current().provider.clone()));
}

/// In a forked child: what was inherited is left alone (its locks may be shut for ever).
pub(super) fn forget() {
    std::mem::forget((CURRENT.swap(None), RESOURCE.swap(None)));
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
