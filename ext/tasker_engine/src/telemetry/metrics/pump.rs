//! Owns: OTLP metrics: a task on the runtime that collects and sends at an interval, and the last collection at a flush
//! or the end. Refuses: a thread of its own, and waiting: whoever flushes waits, within his bound.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::current;
use crate::telemetry::complaints;
use crate::telemetry::transport::{Answer, Pending, Signal, Transport};

/// The task, which ends with the value.
pub(in crate::telemetry) struct Pump {
    transport: Arc<Transport>,
    resource: Resource,
    task: JoinHandle<()>,
}

impl Pump {
    pub(in crate::telemetry) fn start(
        runtime: &Handle,
        transport: Arc<Transport>,
        resource: Resource,
        interval: Duration,
    ) -> Pump {
        let (sends, who) = (Arc::clone(&transport), resource.clone());
        let task = runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                if let Some(message) = message(&who) {
                    let answer = sends.exchange(Signal::Metrics, message).await;
                    settle(&sends, answer);
                }
            }
        });
        Pump { transport, resource, task }
    }

    /// Sends the numbers of now. [`Pump::finish`] waits for the answer.
    pub(in crate::telemetry) fn begin(&self) -> Option<Pending> {
        message(&self.resource).map(|message| self.transport.send(Signal::Metrics, message))
    }

    /// Waits for the answer, at most `timeout`. `true` when the collector took everything.
    pub(in crate::telemetry) fn finish(&self, pending: Option<Pending>, timeout: Duration) -> bool {
        let Some(mut pending) = pending else { return true };
        pending.wait(timeout).is_some_and(|answer| settle(&self.transport, answer))
    }

    /// No collection begins after this.
    pub(in crate::telemetry) fn stop(&self) {
        self.task.abort();
    }
}

fn settle(transport: &Transport, answer: Answer) -> bool {
    match answer {
        Ok(refused) => refused == 0,
        Err(reason) => {
            complaints::export_failed(transport, Signal::Metrics, &reason);
            false
        }
    }
}

fn message(resource: &Resource) -> Option<Bytes> {
    let mut request = ExportMetricsServiceRequest::from(&current().collect()?);
    // The provider is older than the settings of Phase 2.
    for metrics in &mut request.resource_metrics {
        metrics.resource = Some(resource.clone());
    }
    Some(request.encode_to_vec().into())
}
