//! Spans and log records as a test wants to look at them, made from OTLP's messages.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{number_data_point, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

pub type Attributes = BTreeMap<String, Value>;

/// A span as it arrived. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedSpan {
    pub name: String,
    pub trace_id: u128,
    pub span_id: u64,
    pub parent_span_id: Option<u64>,
    pub flags: u32,
    pub kind: i32,
    pub start_nanos: u64,
    pub end_nanos: u64,
    pub attributes: Attributes,
    pub events: Vec<(String, u64, Attributes)>,
    pub links: Vec<(u128, u64)>,
    /// Code (2 is an error) and message; `None` when unset.
    pub status: Option<(i32, String)>,
}

/// A log record as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedLog {
    pub body: String,
    pub severity: String,
    pub target: String,
    pub nanos: u64,
    pub observed_nanos: u64,
    pub trace_id: Option<u128>,
    pub span_id: Option<u64>,
    pub attributes: Attributes,
}

impl ReceivedSpan {
    pub(super) fn new(span: Span) -> ReceivedSpan {
        ReceivedSpan {
            name: span.name,
            trace_id: u128::from_be_bytes(span.trace_id.try_into().unwrap()),
            span_id: u64::from_be_bytes(span.span_id.try_into().unwrap()),
            parent_span_id: span.parent_span_id.try_into().ok().map(u64::from_be_bytes),
            flags: span.flags,
            kind: span.kind,
            start_nanos: span.start_time_unix_nano,
            end_nanos: span.end_time_unix_nano,
            attributes: attributes(span.attributes),
            events: span
                .events
                .into_iter()
                .map(|event| (event.name, event.time_unix_nano, attributes(event.attributes)))
                .collect(),
            links: span
                .links
                .into_iter()
                .map(|link| {
                    let trace_id = u128::from_be_bytes(link.trace_id.try_into().unwrap());
                    (trace_id, u64::from_be_bytes(link.span_id.try_into().unwrap()))
                })
                .collect(),
            status: span.status.filter(|status| status.code != 0).map(|status| (status.code, status.message)),
        }
    }
}

impl ReceivedLog {
    pub(super) fn new(log: LogRecord, target: &str) -> ReceivedLog {
        ReceivedLog {
            body: text(log.body),
            severity: log.severity_text,
            target: target.to_owned(),
            nanos: log.time_unix_nano,
            observed_nanos: log.observed_time_unix_nano,
            trace_id: log.trace_id.try_into().ok().map(u128::from_be_bytes),
            span_id: log.span_id.try_into().ok().map(u64::from_be_bytes),
            attributes: attributes(log.attributes),
        }
    }
}

/// One series as it arrived last. A histogram's value is its count.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedMetric {
    pub name: String,
    pub unit: String,
    pub attributes: Attributes,
    pub value: f64,
}

impl ReceivedMetric {
    pub(super) fn series(metric: Metric) -> Vec<ReceivedMetric> {
        let series = |given: Vec<KeyValue>, value| ReceivedMetric {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            attributes: attributes(given),
            value,
        };
        let number = |point: NumberDataPoint| {
            let value = match point.value.unwrap() {
                number_data_point::Value::AsDouble(number) => number,
                number_data_point::Value::AsInt(number) => number as f64,
            };
            series(point.attributes, value)
        };
        match metric.data.clone().unwrap() {
            Data::Gauge(gauge) => gauge.data_points.into_iter().map(number).collect(),
            Data::Sum(sum) => sum.data_points.into_iter().map(number).collect(),
            Data::Histogram(histogram) => {
                histogram.data_points.into_iter().map(|point| series(point.attributes, point.count as f64)).collect()
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

pub(super) fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs.into_iter().map(|pair| (pair.key, json(pair.value))).collect()
}

fn json(value: Option<AnyValue>) -> Value {
    match value.and_then(|value| value.value) {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BoolValue(truth)) => truth.into(),
        None => Value::Null,
        Some(other) => format!("{other:?}").into(),
    }
}

fn text(value: Option<AnyValue>) -> String {
    match json(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
