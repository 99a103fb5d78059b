//! Owns: OTLP metrics: a task on the runtime that collects and sends at an interval, and the last collection at a flush
//! or the end. Refuses: a thread of its own, and waiting: whoever flushes waits, within his bound.

use std::time::Duration;

use opentelemetry_otlp::MetricExporter;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::current;
use crate::export::client::{Client, Failure, Pending};

/// The task, which ends with the value.
pub(in crate::export) struct Pump {
    client: Client<MetricExporter>,
    task: JoinHandle<()>,
}

impl Pump {
    pub(in crate::export) fn start(runtime: &Handle, client: Client<MetricExporter>, interval: Duration) -> Pump {
        let sends = client.clone();
        let task = runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                if let Some(metrics) = current().collect() {
                    // What failed has its line.
                    let _ = sends.exchange(&metrics).await;
                }
            }
        });
        Pump { client, task }
    }

    /// Sends the numbers of now. [`Pump::finish`] waits for the answer.
    pub(in crate::export) fn begin(&self) -> Option<Pending> {
        current().collect().map(|metrics| self.client.send(metrics))
    }

    /// Waits for the answer, at most `timeout`. `true` when the collector took everything.
    pub(in crate::export) fn finish(&self, pending: Option<Pending>, timeout: Duration) -> bool {
        let Some(mut pending) = pending else { return true };
        pending.wait(timeout).is_some_and(|answer| matches!(answer, Ok(0) | Err(Failure::LeftAlone)))
    }

    /// No collection begins after this.
    pub(in crate::export) fn stop(&self) {
        self.task.abort();
    }
}
