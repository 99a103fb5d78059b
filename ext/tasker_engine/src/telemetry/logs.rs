//! Owns: OTLP logs: the SDK's own batch processor, on its thread, with our client beneath it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{BatchLogProcessor, LogBatch, LogExporter, SdkLoggerProvider};
use opentelemetry_sdk::Resource;
use prost::Message;

use super::complaints;
use super::transport::{Signal, Transport};

/// How often a wait looks whether it was given up.
const SLICE: Duration = Duration::from_millis(100);

/// The provider, and the switch that makes its thread give up waiting for a collector.
pub(super) fn provider(transport: Arc<Transport>, resource: Resource) -> (SdkLoggerProvider, Arc<AtomicBool>) {
    let given_up = Arc::new(AtomicBool::new(false));
    let exporter = OtlpLogs { transport, resource: Default::default(), given_up: given_up.clone() };
    let provider = SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(BatchLogProcessor::builder(exporter).build())
        .build();
    (provider, given_up)
}

struct OtlpLogs {
    transport: Arc<Transport>,
    resource: ResourceAttributesWithSchema,
    given_up: Arc<AtomicBool>,
}

impl LogExporter for OtlpLogs {
    // Called on the processor's own thread, which may wait.
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let resource_logs = group_logs_by_resource_and_scope(&batch, &self.resource);
        let request = ExportLogsServiceRequest { resource_logs };
        let mut pending = self.transport.send(Signal::Logs, request.encode_to_vec().into());
        let answer = loop {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(OTelSdkError::AlreadyShutdown);
            }
            if let Some(answer) = pending.wait(SLICE) {
                break answer;
            }
        };
        answer.map(|_| ()).map_err(|reason| {
            complaints::export_failed(&self.transport, Signal::Logs, &reason);
            OTelSdkError::InternalFailure(reason)
        })
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl std::fmt::Debug for OtlpLogs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpLogs").field("endpoint", &self.transport.endpoint()).finish_non_exhaustive()
    }
}
