//! Owns: OTLP logs: the SDK's own batch processor, on its thread, behind our bound (`bound`);
//! what became of log records; and the records of lines whose fields are known only at run time.

mod bound;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity as Number};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{
    BatchConfigBuilder, BatchLogProcessor, LogBatch, LogExporter, SdkLogger, SdkLoggerProvider,
};
use opentelemetry_sdk::Resource;

use super::client::{Client, Failure};
use super::complaints;
use crate::config::BatchConfig;
use crate::record::counts::LOGS;
use crate::record::line::{self, Line, Severity};
use crate::record::spans::Value;
use bound::{Bound, Bounded};

/// The provider, and the switch that makes its thread give up waiting for a collector.
pub(super) fn provider(
    client: Client<opentelemetry_otlp::LogExporter>,
    resource: Resource,
    batch: &BatchConfig,
) -> (SdkLoggerProvider, Arc<AtomicBool>) {
    let given_up = Arc::new(AtomicBool::new(false));
    let bound = Arc::new(Bound::new(batch.max_queue));
    let exporter = OtlpLogs {
        client,
        given_up: given_up.clone(),
        bound: bound.clone(),
        dropped_before: AtomicU64::new(LOGS.dropped()),
    };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(batch.max_queue)
        .with_max_export_batch_size(batch.max_batch)
        .with_scheduled_delay(batch.delay)
        .build();
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(config).build();
    let provider =
        SdkLoggerProvider::builder().with_resource(resource).with_log_processor(Bounded::new(processor, bound)).build();
    (provider, given_up)
}

struct OtlpLogs {
    client: Client<opentelemetry_otlp::LogExporter>,
    given_up: Arc<AtomicBool>,
    bound: Arc<Bound>,
    dropped_before: AtomicU64,
}

impl LogExporter for OtlpLogs {
    // Called on the processor's own thread, which may wait.
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let answer = self.client.export(batch, &self.given_up);
        let (taken, lost) = match &answer {
            Ok(refused) => {
                let refused = usize::try_from(*refused).unwrap_or(count).min(count);
                (count - refused, refused)
            }
            Err(Failure::Failed(_)) => (0, count),
            // Nobody wants them.
            Err(Failure::LeftAlone) => (0, 0),
        };
        LOGS.drop(lost);
        LOGS.export(taken);
        self.bound.leave(count);
        let dropped_before = self.dropped_before.swap(LOGS.dropped(), Ordering::Relaxed);
        // One that is not taken has its own line.
        if answer.is_ok() && dropped_before < LOGS.dropped() {
            complaints::logs_dropped(self.client.endpoint());
        }
        match answer {
            Ok(_) | Err(Failure::LeftAlone) => Ok(()),
            Err(Failure::Failed(reason)) => Err(OTelSdkError::InternalFailure(reason)),
        }
    }

    // The thread's last word, after its last export: what is still counted as waiting never left.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        LOGS.drop(self.bound.clear());
        Ok(())
    }
}

impl std::fmt::Debug for OtlpLogs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpLogs").field("endpoint", &self.client.endpoint()).finish_non_exhaustive()
    }
}

/// Turns [`Line`]s into log records: the SDK's bridge knows only fields that are fixed at compile time.
pub(super) struct Lines(SdkLogger);

impl Lines {
    pub(super) fn new(provider: &SdkLoggerProvider) -> Lines {
        Lines(provider.logger(""))
    }

    pub(super) fn emit(&self, line: &Line) {
        let mut record = self.0.create_log_record();
        record.set_target(line::TARGET);
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(number(line.severity));
        record.set_severity_text(line.severity.text());
        record.set_body(line.message.clone().into());
        if let Some(context) = line.context {
            let flags = if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
            let (trace_id, span_id) = (TraceId::from(context.trace_id), SpanId::from(context.span_id));
            record.set_trace_context(trace_id, span_id, Some(flags));
        }
        if let Some(id) = &line.correlation_id {
            record.add_attribute("correlation_id", id.clone());
        }
        for (key, value) in &line.fields {
            record.add_attribute(key.clone(), any_value(value));
        }
        self.0.emit(record);
    }
}

fn number(severity: Severity) -> Number {
    match severity {
        Severity::Debug => Number::Debug,
        Severity::Info | Severity::Unknown => Number::Info,
        Severity::Warn => Number::Warn,
        Severity::Error => Number::Error,
        Severity::Fatal => Number::Fatal,
    }
}

fn any_value(value: &Value) -> AnyValue {
    match value {
        Value::Static(text) => (*text).into(),
        Value::Shared(text) => text.to_string().into(),
        Value::String(text) | Value::Json(text) => text.clone().into(),
        Value::Uuid(id) => id.to_string().into(),
        Value::TraceId(id) => id.simple().to_string().into(),
        Value::SpanId(id) => format!("{id:016x}").into(),
        Value::I64(number) => AnyValue::Int(*number),
        Value::F64(number) => AnyValue::Double(*number),
        Value::Bool(truth) => AnyValue::Boolean(*truth),
        // OTLP's own word for it, a value without a kind, is one that the SDK cannot say.
        Value::Null => "null".into(),
    }
}
