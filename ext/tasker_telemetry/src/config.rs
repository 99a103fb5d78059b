//! Owns: what telemetry is told by the environment, and by Ruby's `configure` on top of it.
//! Refuses: to fail. A value that cannot be used becomes one warning and the default.

mod destination;
mod read;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;

use crate::record::line;
use crate::record::sampling::Sampling;
pub use destination::{Destination, Protocol, Signal};
use read::Reader;

/// How console lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One human-readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Everything telemetry can be told. Read from the environment; see `docs/operations/telemetry_settings.md`.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// `TELEMETRY_ENABLED`, unless `OTEL_SDK_DISABLED`: whether Phase 2 exports.
    pub enabled: bool,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where to, with its scheme, unless a signal has its own.
    pub endpoint: String,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: String,
    /// `OTEL_SERVICE_VERSION`.
    pub service_version: String,
    /// `DEPLOYMENT_ENVIRONMENT`, else `TASKER_ENV`, else `development`.
    pub environment: String,
    /// `OTEL_RESOURCE_ATTRIBUTES`: `name=value,…`, percent-decoded.
    pub resource_attributes: Vec<(String, String)>,
    /// Where spans go; `None`: `OTEL_TRACES_EXPORTER` is `none`.
    pub traces: Option<Destination>,
    /// Where log records go; `None`: `OTEL_LOGS_EXPORTER` is `none`.
    pub logs: Option<Destination>,
    /// Where metrics go; `None`: `OTEL_METRICS_EXPORTER` is `none`.
    pub metrics: Option<Destination>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`, in milliseconds there: how often metrics are sent.
    pub metric_interval: Duration,
    /// `OTEL_TRACES_SAMPLER` with `OTEL_TRACES_SAMPLER_ARG`, `TASKER_TRACE_SAMPLE`, and `TASKER_STEP_SAMPLE`.
    pub sampling: Sampling,
    /// `OTEL_BSP_*`: how spans wait and travel.
    pub batch: BatchConfig,
    /// `OTEL_BLRP_*`: how log records do.
    pub log_batch: BatchConfig,
    /// `RUST_LOG`, else `LOG_LEVEL`, else what the environment wants: an `EnvFilter` directive list.
    pub log_filter: String,
    /// `LOG_FORMAT`: `text` or `json`.
    pub log_format: LogFormat,
    /// What could not be used, one sentence each, for the console.
    pub warnings: Vec<String>,
}

/// How finished spans, or log records, wait for their export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchConfig {
    /// `…_MAX_QUEUE_SIZE`: how many may wait; more are dropped and counted.
    pub max_queue: usize,
    /// `…_MAX_EXPORT_BATCH_SIZE`: how many travel in one request, at most.
    pub max_batch: usize,
    /// `…_SCHEDULE_DELAY`, in milliseconds there: the longest one waits for company.
    pub delay: Duration,
}

/// The same settings from Ruby's `configure`; what is given wins over the environment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// Instead of `TELEMETRY_ENABLED`.
    pub enabled: Option<bool>,
    /// Instead of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<String>,
    /// Instead of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub protocol: Option<String>,
    /// Instead of `OTEL_EXPORTER_OTLP_HEADERS`, same text form.
    pub headers: Option<String>,
    /// Instead of `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Instead of `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// Instead of `OTEL_SERVICE_VERSION`.
    pub service_version: Option<String>,
    /// Instead of `DEPLOYMENT_ENVIRONMENT`.
    pub environment: Option<String>,
    /// Instead of `OTEL_RESOURCE_ATTRIBUTES`, same text form.
    pub resource_attributes: Option<String>,
    /// Instead of `OTEL_TRACES_SAMPLER`.
    pub sampler: Option<String>,
    /// Instead of `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler_arg: Option<f64>,
    /// Instead of `TASKER_TRACE_SAMPLE`, same text form.
    pub trace_sample: Option<String>,
    /// Instead of `TASKER_STEP_SAMPLE`, same text form.
    pub step_sample: Option<String>,
    /// Instead of `RUST_LOG` and `LOG_LEVEL`.
    pub log_level: Option<String>,
}

impl TelemetryConfig {
    /// The endpoint as people may see it: without the password that it may have, and not endless.
    pub fn shown_endpoint(&self) -> String {
        destination::shown(&self.endpoint)
    }

    /// The process's environment, with `overrides` on top.
    pub fn from_env(overrides: &Overrides) -> TelemetryConfig {
        TelemetryConfig::from_vars(overrides, |name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// As [`TelemetryConfig::from_env`], from any source of variables: for tests.
    pub fn from_vars(overrides: &Overrides, vars: impl Fn(&str) -> Option<String>) -> TelemetryConfig {
        let mut read = Reader::new(vars);
        let mut to = |signal: Signal, name: &str| read.exporter(name).then(|| read.destination(signal, overrides));
        let traces = to(Signal::Traces, "OTEL_TRACES_EXPORTER");
        let logs = to(Signal::Logs, "OTEL_LOGS_EXPORTER");
        let metrics = to(Signal::Metrics, "OTEL_METRICS_EXPORTER");
        let protocol = traces.as_ref().map_or(Protocol::Grpc, |to| to.protocol);
        let endpoint = read.text("OTEL_EXPORTER_OTLP_ENDPOINT", &overrides.endpoint);
        let endpoint = endpoint.unwrap_or_else(|| destination::default_endpoint(protocol));
        let sampler_arg = overrides.sampler_arg.map(|arg| arg.to_string());
        let environment = read
            .text("DEPLOYMENT_ENVIRONMENT", &overrides.environment)
            .or_else(|| read.text("TASKER_ENV", &None))
            .unwrap_or_else(|| "development".into());
        let log_filter = read.log_filter(overrides.log_level.clone(), &environment);
        let enabled = overrides.enabled.unwrap_or_else(|| read.flag("TELEMETRY_ENABLED"));
        let config = TelemetryConfig {
            enabled: enabled && !read.flag("OTEL_SDK_DISABLED"),
            endpoint,
            service_name: read
                .text("OTEL_SERVICE_NAME", &overrides.service_name)
                .unwrap_or_else(|| "tasker_core".into()),
            service_version: read
                .text("OTEL_SERVICE_VERSION", &overrides.service_version)
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").into()),
            environment,
            resource_attributes: read.pairs("OTEL_RESOURCE_ATTRIBUTES", &overrides.resource_attributes),
            traces,
            logs,
            metrics,
            metric_interval: read.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            sampling: Sampling {
                general: read.sampler(&overrides.sampler, &sampler_arg),
                namespaces: read.shares("TASKER_TRACE_SAMPLE", &overrides.trace_sample),
                steps: read.shares("TASKER_STEP_SAMPLE", &overrides.step_sample),
            },
            batch: read.batch(),
            log_batch: read.log_batch(),
            log_filter,
            log_format: read.log_format(),
            warnings: Vec::new(),
        };
        TelemetryConfig { warnings: read.warnings, ..config }
    }
}

/// The PostgreSQL client says what its errors say, and those are shown where they matter.
pub(crate) const QUIET: &str = "sqlx=off";

/// The directives, and the way free for every line of Ruby's: Ruby has decided before.
pub(crate) fn every_line(directives: &str) -> String {
    format!("{directives},{}=trace", line::TARGET)
}
