//! Owns: the OTLP exporters of `opentelemetry-otlp`, one for each signal, and how their requests ended.
//! Refuses: to wait longer than a signal's timeout, and to go on asking a collector that has said it does not take a signal.

mod build;
mod encoded;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use opentelemetry_sdk::Resource;
use tokio::runtime::Handle;

use super::complaints;
use crate::config::{Destination, Signal};
use crate::error::Result;
pub(super) use encoded::Encoded;

/// How often a wait looks whether it was given up.
const SLICE: Duration = Duration::from_millis(100);

/// The client of one signal. Its connections live on the runtime.
pub(super) struct Client<E>(Arc<Inner<E>>);

struct Inner<E> {
    signal: Signal,
    endpoint: String,
    timeout: Duration,
    runtime: Handle,
    exporter: ArcSwap<E>,
    build: Box<dyn Fn() -> Result<E> + Send + Sync>,
    /// The collector has said that it does not take this signal.
    left_alone: AtomicBool,
}

/// Why a request was not taken.
pub(super) enum Failure {
    /// It failed; the reason.
    Failed(String),
    /// The collector does not take this signal, as was said once; nothing was sent.
    LeftAlone,
}

/// How many items of a request the collector refused, or why it took none.
pub(super) type Answer = std::result::Result<u64, Failure>;

/// A request under way. Dropping it does not stop it.
pub(super) struct Pending {
    answer: Receiver<Answer>,
    early: Option<Answer>,
}

impl Pending {
    /// Whether [`Pending::wait`] would return at once.
    pub(super) fn is_ready(&mut self) -> bool {
        self.wait(Duration::ZERO).map(|answer| self.early = Some(answer)).is_some()
    }

    /// The answer, if it comes within `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> Option<Answer> {
        if let Some(answer) = self.early.take() {
            return Some(answer);
        }
        match self.answer.recv_timeout(timeout) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(Failure::Failed("the runtime is gone".into()))),
        }
    }
}

impl<E: Send + Sync + 'static> Client<E> {
    fn new(
        signal: Signal,
        destination: &Destination,
        runtime: &Handle,
        build: impl Fn() -> Result<E> + Send + Sync + 'static,
    ) -> Result<Client<E>> {
        // The connection's task is spawned when the exporter is built.
        let (inside, enter) = (runtime.clone(), build);
        let build = move || {
            let _inside = inside.enter();
            enter()
        };
        Ok(Client(Arc::new(Inner {
            signal,
            endpoint: destination.shown(),
            timeout: destination.timeout,
            runtime: runtime.clone(),
            exporter: ArcSwap::from_pointee(build()?),
            build: Box::new(build),
            left_alone: AtomicBool::new(false),
        })))
    }

    /// Sends on the runtime what `export` sends.
    fn send_with<F>(&self, export: impl FnOnce(Arc<E>) -> F + Send + 'static) -> Pending
    where
        F: Future<Output = OTelSdkResult> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        spawn(&self.0.runtime, async move { inner.ask(export).await })
    }

    /// As people may see it.
    pub(super) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }
}

impl<E> Clone for Client<E> {
    fn clone(&self) -> Self {
        Client(Arc::clone(&self.0))
    }
}

impl<E> Inner<E> {
    /// Awaits the answer to what `export` sends, and reports what failed.
    async fn ask<F: Future<Output = OTelSdkResult>>(&self, export: impl FnOnce(Arc<E>) -> F) -> Answer {
        if self.left_alone.load(Ordering::Relaxed) {
            return Err(Failure::LeftAlone);
        }
        let reason = match tokio::time::timeout(self.timeout, export(self.exporter.load_full())).await {
            Ok(Ok(())) => return Ok(complaints::refused(self.signal)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                // The connection may have died silently, which HTTP/2 would not notice for many minutes: the next request gets
                // a new one.
                if let Ok(exporter) = (self.build)() {
                    self.exporter.store(Arc::new(exporter));
                }
                format!("no answer within {} ms", self.timeout.as_millis())
            }
        };
        if is_not_taken(self.signal, &reason) {
            if !self.left_alone.swap(true, Ordering::Relaxed) {
                complaints::not_taken(&self.endpoint, self.signal, &reason);
            }
            return Err(Failure::LeftAlone);
        }
        complaints::export_failed(&self.endpoint, self.signal, &reason);
        Err(Failure::Failed(reason))
    }
}

/// Whether the collector says that it has nothing for this signal. Over HTTP that looks like a wrong path, which it is when it
/// is about spans: every collector takes those.
fn is_not_taken(signal: Signal, reason: &str) -> bool {
    let not_found = ["status code: 404", "status code: 405"].iter().any(|status| reason.ends_with(status));
    reason.contains("gRPC code: Unimplemented") || (signal != Signal::Traces && not_found)
}

fn spawn(runtime: &Handle, answer: impl Future<Output = Answer> + Send + 'static) -> Pending {
    let (sender, receiver) = sync_channel(1);
    runtime.spawn(async move {
        // Whoever asked may have given up waiting.
        let _ = sender.send(answer.await);
    });
    Pending { answer: receiver, early: None }
}

impl Client<SpanExporter> {
    pub(super) fn spans(destination: &Destination, runtime: &Handle, resource: Resource) -> Result<Self> {
        let settings = destination.clone();
        Client::new(Signal::Traces, destination, runtime, move || {
            let mut exporter = build::spans(&settings)?;
            exporter.set_resource(&resource);
            Ok(exporter)
        })
    }

    /// Sends the spans on the runtime.
    pub(super) fn send(&self, spans: Vec<SpanData>) -> Pending {
        self.send_with(|exporter| async move { exporter.export(spans).await })
    }
}

impl Client<Encoded> {
    pub(super) fn encoded_spans(destination: &Destination, runtime: &Handle) -> Result<Self> {
        let settings = destination.clone();
        Client::new(Signal::Traces, destination, runtime, move || Encoded::build(&settings))
    }

    /// Sends an encoded request on the runtime.
    pub(super) fn send(&self, request: Bytes) -> Pending {
        self.send_with(|exporter| async move { exporter.export(request).await })
    }
}

impl Client<MetricExporter> {
    pub(super) fn metrics(destination: &Destination, runtime: &Handle) -> Result<Self> {
        let settings = destination.clone();
        Client::new(Signal::Metrics, destination, runtime, move || build::metrics(&settings))
    }

    /// Sends the numbers on the runtime.
    pub(super) fn send(&self, metrics: ResourceMetrics) -> Pending {
        let client = self.clone();
        spawn(&self.0.runtime, async move { client.exchange(&metrics).await })
    }

    /// Sends the numbers.
    pub(super) async fn exchange(&self, metrics: &ResourceMetrics) -> Answer {
        self.0.ask(|exporter| async move { exporter.export(metrics).await }).await
    }
}

impl Client<LogExporter> {
    pub(super) fn logs(destination: &Destination, runtime: &Handle, resource: Resource) -> Result<Self> {
        let settings = destination.clone();
        Client::new(Signal::Logs, destination, runtime, move || {
            let mut exporter = build::logs(&settings)?;
            exporter.set_resource(&resource);
            Ok(exporter)
        })
    }

    /// Sends the records and waits for the answer, unless `given_up` says to stop that. Not for a thread of the runtime.
    pub(super) fn export(&self, batch: LogBatch<'_>, given_up: &AtomicBool) -> Answer {
        let stop = async {
            while !given_up.load(Ordering::Relaxed) {
                tokio::time::sleep(SLICE).await;
            }
        };
        self.0.runtime.block_on(async {
            tokio::select! {
                answer = self.0.ask(|exporter| async move { exporter.export(batch).await }) => answer,
                () = stop => Err(Failure::Failed("given up at the end".into())),
            }
        })
    }
}
