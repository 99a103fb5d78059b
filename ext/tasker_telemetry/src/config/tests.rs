//! What the environment says, and what becomes of what it should not.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::record::sampling::Sampler;

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
    let traces = config.traces.unwrap();
    assert_eq!((traces.timeout, traces.protocol, traces.gzip), (Duration::from_secs(2), Protocol::Grpc, false));
    assert!(config.warnings.is_empty());
}

#[test]
fn the_sdk_can_be_disabled_and_single_exporters_switched_off() {
    assert!(config(&[("TELEMETRY_ENABLED", "true")]).enabled);
    assert!(!config(&[("TELEMETRY_ENABLED", "TRUE"), ("OTEL_SDK_DISABLED", "true")]).enabled);
    let none = config(&[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "otlp")]);
    assert!(none.traces.is_none() && none.logs.is_some());
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
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_TRACES_SAMPLER", "coin"),
        ("OTEL_TRACES_SAMPLER_ARG", "7"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("RUST_LOG", "a=b=c"),
        ("LOG_FORMAT", "xml"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "novalue"),
    ]);
    assert_eq!(config.traces.unwrap().protocol, Protocol::Grpc);
    assert_eq!(config.sampling.general, Sampler::ParentBasedAlwaysOn);
    assert_eq!(config.batch.max_queue, 65_536);
    assert_eq!(config.log_filter, "info");
    assert_eq!(config.warnings.len(), 9, "{:#?}", config.warnings);
}

#[test]
fn what_would_overflow_is_refused_and_no_warning_is_long_or_tells_a_secret() {
    let huge = "9".repeat(10_000);
    let config = config(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "18446744073709551615"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "1000001"),
        ("OTEL_METRIC_EXPORT_INTERVAL", &huge),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hush%0A,x-tenant=a,sp ace=hush"),
        ("OTEL_SERVICE_NAME", "caf\u{fffd}"),
    ]);
    assert_eq!((config.batch.delay, config.log_batch.max_queue), (Duration::from_millis(200), 2_048));
    assert_eq!((config.metric_interval, &*config.service_name), (Duration::from_secs(60), "tasker_core"));
    assert_eq!(config.logs.unwrap().headers, [("x-tenant".to_owned(), "a".to_owned())]);
    assert_eq!(config.warnings.len(), 5, "{:#?}", config.warnings);
    assert!(config.warnings.iter().all(|warning| warning.len() < 300 && !warning.contains("hush")));
}

#[test]
fn a_password_in_the_endpoint_is_not_shown() {
    for (given, shown) in [
        ("http://user:hush@here:4317/x?y=@", "http://[FILTERED]@here:4317/x?y=@"),
        ("https://here:4317", "https://here:4317"),
        ("user:hush@here", "[FILTERED]@here"),
        ("http://a@b@c", "http://[FILTERED]@c"),
    ] {
        assert_eq!(config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", given)]).shown_endpoint(), shown);
    }
}

#[test]
fn a_word_that_is_no_level_silences_nothing() {
    for (given, taken) in [
        ("verbose", "info"),
        ("warn,hyper", "info"),
        ("-1", "info"),
        ("WARN", "WARN"),
        ("warn,hyper=debug", "warn,hyper=debug"),
        ("info,[span{field=1}]=warn", "info,[span{field=1}]=warn"),
    ] {
        assert_eq!(config(&[("LOG_LEVEL", given)]).log_filter, taken, "{given}");
    }
}

#[test]
fn what_ruby_configures_wins_over_the_environment() {
    let overrides: Overrides =
        serde_json::from_str(r#"{"endpoint":"http://here:1","enabled":true,"protocol":"http/protobuf"}"#).unwrap();
    let config = TelemetryConfig::from_vars(&overrides, |name| {
        (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://there:2".into())
    });
    assert_eq!((config.endpoint.as_str(), config.enabled), ("http://here:1", true));
    let metrics = config.metrics.unwrap();
    assert_eq!((metrics.protocol, &*metrics.endpoint), (Protocol::HttpProtobuf, "http://here:1/v1/metrics"));
}

#[test]
fn namespaces_have_shares_and_a_bad_one_is_left_out() {
    let config = config(&[("TASKER_TRACE_SAMPLE", "orders=1.0, bulk=0.01,late=2,=1,none")]);
    assert_eq!(config.sampling.namespaces, [("orders".to_owned(), 1.0), ("bulk".to_owned(), 0.01)]);
    assert_eq!(config.warnings.len(), 1, "{:#?}", config.warnings);
    assert!(config.warnings[0].contains("late=2,=1,none"), "{:#?}", config.warnings);
}

#[test]
fn steps_have_shares_of_their_own() {
    let config = config(&[("TASKER_STEP_SAMPLE", "bulk=0.01,late=2"), ("TASKER_TRACE_SAMPLE", "orders=0.5")]);
    assert_eq!(config.sampling.steps, [("bulk".to_owned(), 0.01)]);
    assert_eq!(config.sampling.namespaces, [("orders".to_owned(), 0.5)]);
    assert!(config.warnings[0].starts_with("TASKER_STEP_SAMPLE="), "{:#?}", config.warnings);
}

#[test]
fn headers_are_percent_decoded() {
    let config = config(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20Zm9v, x-tenant = a ")]);
    let headers = config.traces.unwrap().headers;
    assert_eq!(headers[0], ("authorization".into(), "Basic Zm9v".into()));
    assert_eq!(headers[1], ("x-tenant".into(), "a".into()));
}

#[test]
fn a_signal_has_variables_of_its_own() {
    let config = config(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=all"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs/in?key=1"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-tenant=logs"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "500"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
    ]);
    let said = |to: &Destination| {
        let (variable, headers) = (to.variable.clone(), to.headers.clone());
        (to.endpoint.clone(), variable, to.protocol, headers[0].1.clone(), to.timeout.as_millis(), to.gzip)
    };
    let [traces, logs, metrics] = [config.traces, config.logs, config.metrics].map(|to| said(&to.unwrap()));
    let (all, own) = ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT".to_owned());
    assert_eq!(traces, ("http://all:4317".into(), all.clone(), Protocol::Grpc, "all".into(), 3000, true));
    assert_eq!(logs, ("https://logs/in?key=1".into(), own, Protocol::HttpJson, "logs".into(), 500, false));
    assert_eq!(metrics, ("http://all:4317/v1/metrics".into(), all, Protocol::HttpProtobuf, "all".into(), 3000, true));
}

#[test]
fn an_endpoint_that_ends_with_a_signals_path_is_taken_as_it_is_meant() {
    for given in ["http://here:4318", "http://here:4318/", "http://here:4318/v1/traces", "http://here:4318/v1/logs/"] {
        let vars = [("OTEL_EXPORTER_OTLP_ENDPOINT", given), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
        let config = config(&vars);
        assert_eq!(config.traces.unwrap().endpoint, "http://here:4318/v1/traces", "{given}");
        assert_eq!(config.metrics.unwrap().endpoint, "http://here:4318/v1/metrics", "{given}");
    }
}

#[test]
fn the_default_level_follows_the_environment() {
    let production = "info,tasker_worker=warn,tasker_orchestration::transition=warn";
    for (environment, filter) in
        [("development", "info"), ("test", "info"), ("production", production), ("staging", production)]
    {
        assert_eq!(config(&[("DEPLOYMENT_ENVIRONMENT", environment)]).log_filter, filter, "{environment}");
    }
    assert_eq!(config(&[("TASKER_ENV", "production"), ("LOG_LEVEL", "warn")]).log_filter, "warn");
}

#[test]
fn directives_for_targets_alone_hide_no_warnings() {
    let known = config(&[("RUST_LOG", "tasker_worker=debug,tasker_orchestration=debug")]);
    assert_eq!(known.log_filter, "warn,tasker_worker=debug,tasker_orchestration=debug");
    assert!(known.warnings.is_empty());
    let unknown = config(&[("RUST_LOG", "my_app=debug")]);
    assert_eq!(unknown.log_filter, "warn,my_app=debug");
    assert!(unknown.warnings[0].contains("no target of this library's"), "{:?}", unknown.warnings);
    assert_eq!(config(&[("RUST_LOG", "off,tasker_worker=debug")]).log_filter, "off,tasker_worker=debug");
}
