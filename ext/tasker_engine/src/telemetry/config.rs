//! Owns: what telemetry is told by the environment, and by Ruby's `configure` on top of it.
//! Refuses: to fail. A value that cannot be used becomes one warning and the default.

mod read;

use std::time::Duration;

use serde::Deserialize;

use super::sampling::Sampling;
use read::Reader;

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC: HTTP/2, port 4317 by convention.
    Grpc,
    /// Protobuf over HTTP/1.1, port 4318 by convention; paths `/v1/traces`, `/v1/logs` and `/v1/metrics`.
    HttpProtobuf,
}

/// How console lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One human-readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Everything telemetry can be told. Read from the environment; see `docs/telemetry.md`.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// `TELEMETRY_ENABLED`, unless `OTEL_SDK_DISABLED`: whether Phase 2 exports.
    pub enabled: bool,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where to, with its scheme.
    pub endpoint: String,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL`: `grpc` or `http/protobuf`.
    pub protocol: Protocol,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,…`, percent-decoded.
    pub headers: Vec<(String, String)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds there: how long one export may take.
    pub timeout: Duration,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: String,
    /// `OTEL_SERVICE_VERSION`.
    pub service_version: String,
    /// `DEPLOYMENT_ENVIRONMENT`, else `TASKER_ENV`, else `development`.
    pub environment: String,
    /// `OTEL_RESOURCE_ATTRIBUTES`: `name=value,…`, percent-decoded.
    pub resource_attributes: Vec<(String, String)>,
    /// `OTEL_TRACES_EXPORTER` is not `none`.
    pub traces: bool,
    /// `OTEL_LOGS_EXPORTER` is not `none`.
    pub logs: bool,
    /// `OTEL_METRICS_EXPORTER` is not `none`.
    pub metrics: bool,
    /// `OTEL_METRIC_EXPORT_INTERVAL`, in milliseconds there: how often metrics are sent.
    pub metric_interval: Duration,
    /// `OTEL_TRACES_SAMPLER` with `OTEL_TRACES_SAMPLER_ARG`, and `TASKER_TRACE_SAMPLE`.
    pub sampling: Sampling,
    /// `OTEL_BSP_*`: how spans wait and travel.
    pub batch: BatchConfig,
    /// `OTEL_BLRP_*`: how log records do.
    pub log_batch: BatchConfig,
    /// `RUST_LOG`, else `LOG_LEVEL`, else `info`: an `EnvFilter` directive list.
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
    /// Instead of `RUST_LOG` and `LOG_LEVEL`.
    pub log_level: Option<String>,
}

impl TelemetryConfig {
    /// The process's environment, with `overrides` on top.
    pub fn from_env(overrides: &Overrides) -> TelemetryConfig {
        TelemetryConfig::from_vars(overrides, |name| std::env::var(name).ok())
    }

    /// As [`TelemetryConfig::from_env`], from any source of variables: for tests.
    pub fn from_vars(overrides: &Overrides, vars: impl Fn(&str) -> Option<String>) -> TelemetryConfig {
        let mut read = Reader::new(vars);
        let protocol = read.protocol(overrides.protocol.clone());
        let sampler_arg = overrides.sampler_arg.map(|arg| arg.to_string());
        let log_filter = read.log_filter(overrides.log_level.clone());
        let enabled = overrides.enabled.unwrap_or_else(|| read.flag("TELEMETRY_ENABLED"));
        let config = TelemetryConfig {
            enabled: enabled && !read.flag("OTEL_SDK_DISABLED"),
            endpoint: read.text("OTEL_EXPORTER_OTLP_ENDPOINT", &overrides.endpoint).unwrap_or_else(|| match protocol {
                Protocol::Grpc => "http://localhost:4317".into(),
                Protocol::HttpProtobuf => "http://localhost:4318".into(),
            }),
            protocol,
            headers: read.pairs("OTEL_EXPORTER_OTLP_HEADERS", &overrides.headers),
            timeout: match overrides.timeout_ms {
                Some(millis) if millis > 0 => Duration::from_millis(millis),
                _ => Duration::from_millis(read.number("OTEL_EXPORTER_OTLP_TIMEOUT", 2_000) as u64),
            },
            service_name: read
                .text("OTEL_SERVICE_NAME", &overrides.service_name)
                .unwrap_or_else(|| "tasker_core".into()),
            service_version: read
                .text("OTEL_SERVICE_VERSION", &overrides.service_version)
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").into()),
            environment: read
                .text("DEPLOYMENT_ENVIRONMENT", &overrides.environment)
                .or_else(|| read.text("TASKER_ENV", &None))
                .unwrap_or_else(|| "development".into()),
            resource_attributes: read.pairs("OTEL_RESOURCE_ATTRIBUTES", &overrides.resource_attributes),
            traces: read.exporter("OTEL_TRACES_EXPORTER"),
            logs: read.exporter("OTEL_LOGS_EXPORTER"),
            metrics: read.exporter("OTEL_METRICS_EXPORTER"),
            metric_interval: Duration::from_millis(read.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000) as u64),
            sampling: Sampling {
                general: read.sampler(&overrides.sampler, &sampler_arg),
                namespaces: read.shares(&overrides.trace_sample),
            },
            batch: read.batch(),
            log_batch: read.log_batch(),
            log_filter,
            log_format: read.log_format(),
            warnings: Vec::new(),
        };
        read.compression();
        TelemetryConfig { warnings: read.warnings, ..config }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::telemetry::sampling::Sampler;

    fn config(vars: &[(&str, &str)]) -> TelemetryConfig {
        TelemetryConfig::from_vars(&Overrides::default(), |name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_is_a_whole_configuration() {
        let config = config(&[]);
        assert!(!config.enabled);
        assert_eq!(config.endpoint, "http://localhost:4317");
        assert_eq!(config.service_name, "tasker_core");
        assert_eq!(config.environment, "development");
        assert_eq!(config.sampling.general, Sampler::ParentBasedAlwaysOn);
        assert_eq!(config.log_filter, "info");
        assert_eq!(config.timeout, Duration::from_secs(2));
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn the_sdk_can_be_disabled_and_single_exporters_switched_off() {
        assert!(config(&[("TELEMETRY_ENABLED", "true")]).enabled);
        assert!(!config(&[("TELEMETRY_ENABLED", "TRUE"), ("OTEL_SDK_DISABLED", "true")]).enabled);
        let none = config(&[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "otlp")]);
        assert!(!none.traces && none.logs);
    }

    #[test]
    fn a_ratio_without_a_sampler_is_parent_based() {
        let sampler = config(&[("OTEL_TRACES_SAMPLER_ARG", "0.25")]).sampling.general;
        assert_eq!(sampler, Sampler::ParentBasedRatio(0.25));
    }

    #[test]
    fn each_bad_value_is_one_warning_and_the_default() {
        let config = config(&[
            ("TELEMETRY_ENABLED", "maybe"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_TRACES_SAMPLER", "coin"),
            ("OTEL_TRACES_SAMPLER_ARG", "7"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
            ("RUST_LOG", "a=b=c"),
            ("LOG_FORMAT", "xml"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "novalue"),
        ]);
        assert_eq!(config.protocol, Protocol::Grpc);
        assert_eq!(config.sampling.general, Sampler::ParentBasedAlwaysOn);
        assert_eq!(config.batch.max_queue, 65_536);
        assert_eq!(config.log_filter, "info");
        assert_eq!(config.warnings.len(), 9, "{:#?}", config.warnings);
    }

    #[test]
    fn what_ruby_configures_wins_over_the_environment() {
        let overrides: Overrides =
            serde_json::from_str(r#"{"endpoint":"http://here:1","enabled":true,"protocol":"http/protobuf"}"#).unwrap();
        let config = TelemetryConfig::from_vars(&overrides, |name| {
            (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://there:2".into())
        });
        assert_eq!((config.endpoint.as_str(), config.enabled), ("http://here:1", true));
        assert_eq!(config.protocol, Protocol::HttpProtobuf);
    }

    #[test]
    fn namespaces_have_shares_and_a_bad_one_is_left_out() {
        let config = config(&[("TASKER_TRACE_SAMPLE", "orders=1.0, bulk=0.01,late=2,=1,none")]);
        assert_eq!(config.sampling.namespaces, [("orders".to_owned(), 1.0), ("bulk".to_owned(), 0.01)]);
        assert_eq!(config.warnings.len(), 3, "{:#?}", config.warnings);
    }

    #[test]
    fn headers_are_percent_decoded() {
        let config = config(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20Zm9v, x-tenant = a ")]);
        assert_eq!(config.headers[0], ("authorization".into(), "Basic Zm9v".into()));
        assert_eq!(config.headers[1], ("x-tenant".into(), "a".into()));
    }
}
