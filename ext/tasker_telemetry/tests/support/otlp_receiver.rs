//! A collector for tests: takes OTLP over gRPC or HTTP on a port of its own, on a thread of its own,
//! and shows what arrived. Waiting is on a condition, never on the clock alone.
#![allow(dead_code)]

#[path = "received.rs"]
mod received;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tonic::{Request, Response, Status};

pub use received::{Attributes, ReceivedLog, ReceivedMetric, ReceivedSpan};

#[derive(Default)]
struct Arrived {
    spans: Vec<ReceivedSpan>,
    logs: Vec<ReceivedLog>,
    metrics: Vec<ReceivedMetric>,
    metric_requests: usize,
    resource: Attributes,
    headers: BTreeMap<String, String>,
    requests: usize,
}

#[derive(Default)]
struct Shared {
    arrived: Mutex<Arrived>,
    changed: Condvar,
}

/// The collector. Ends with the process.
pub struct Receiver {
    endpoint: String,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Takes gRPC.
    pub fn start() -> Receiver {
        Receiver::spawn(|listener, shared| async move {
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            tonic::transport::Server::builder()
                .add_service(traces(&shared))
                .add_service(MetricsServiceServer::from_arc(shared.clone()))
                .add_service(LogsServiceServer::from_arc(shared))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        })
    }

    /// Takes spans over gRPC, and no other signal, as Jaeger does.
    pub fn start_traces_only() -> Receiver {
        Receiver::spawn(|listener, shared| async move {
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            let server = tonic::transport::Server::builder().add_service(traces(&shared));
            server.serve_with_incoming(incoming).await.unwrap();
        })
    }

    /// Takes gRPC, and keeps nothing: for measuring what the sender costs.
    pub fn start_sink() -> Receiver {
        Receiver::spawn(|listener, _| async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async {
                    let mut body = request.into_body();
                    while body.frame().await.is_some() {}
                    let answer = hyper::Response::builder().header("content-type", "application/grpc");
                    // An empty message, then the status.
                    let message = Full::new(Bytes::from_static(&[0; 5]));
                    let mut status = hyper::HeaderMap::new();
                    status.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
                    let status = async move { Some(Ok::<_, Infallible>(status)) };
                    Ok::<_, Infallible>(answer.body(message.with_trailers(status)).unwrap())
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let executor = hyper_util::rt::TokioExecutor::new();
                tokio::spawn(hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service));
            }
        })
    }

    /// Takes protobuf over HTTP/1.1.
    pub fn start_http() -> Receiver {
        Receiver::spawn(|listener, shared| async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let shared = shared.clone();
                let service = hyper::service::service_fn(move |request| serve_http(request, shared.clone()));
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        })
    }

    fn spawn<F>(serve: impl FnOnce(tokio::net::TcpListener, Arc<Shared>) -> F + Send + 'static) -> Receiver
    where
        F: std::future::Future<Output = ()>,
    {
        let shared = Arc::new(Shared::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let for_thread = shared.clone();
        std::thread::spawn(move || {
            // Its own events must not become telemetry of the process it watches.
            tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    listener.set_nonblocking(true).unwrap();
                    serve(tokio::net::TcpListener::from_std(listener).unwrap(), for_thread).await;
                });
            });
        });
        Receiver { endpoint, shared }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// All spans so far, in order of arrival.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.arrived.lock().unwrap().spans.clone()
    }

    /// All log records so far.
    pub fn logs(&self) -> Vec<ReceivedLog> {
        self.shared.arrived.lock().unwrap().logs.clone()
    }

    /// The series of the last request with metrics.
    pub fn metrics(&self) -> Vec<ReceivedMetric> {
        self.shared.arrived.lock().unwrap().metrics.clone()
    }

    /// Waits until so many requests with metrics have come; `false` at `timeout`.
    pub fn wait_for_metrics(&self, requests: usize, timeout: Duration) -> bool {
        self.wait(|arrived| arrived.metric_requests >= requests, timeout)
    }

    /// The resource of the last request.
    pub fn resource(&self) -> Attributes {
        self.shared.arrived.lock().unwrap().resource.clone()
    }

    /// The headers of the last request.
    pub fn headers(&self) -> BTreeMap<String, String> {
        self.shared.arrived.lock().unwrap().headers.clone()
    }

    /// Requests so far, of any signal.
    pub fn requests(&self) -> usize {
        self.shared.arrived.lock().unwrap().requests
    }

    /// Forgets what arrived.
    pub fn clear(&self) {
        *self.shared.arrived.lock().unwrap() = Arrived::default();
    }

    /// Waits until the spans fulfil `condition`; `false` at `timeout`.
    pub fn wait_for(&self, condition: impl Fn(&[ReceivedSpan]) -> bool, timeout: Duration) -> bool {
        self.wait(|arrived| condition(&arrived.spans), timeout)
    }

    /// Waits until the log records fulfil `condition`; `false` at `timeout`.
    pub fn wait_for_logs(&self, condition: impl Fn(&[ReceivedLog]) -> bool, timeout: Duration) -> bool {
        self.wait(|arrived| condition(&arrived.logs), timeout)
    }

    fn wait(&self, condition: impl Fn(&Arrived) -> bool, timeout: Duration) -> bool {
        let arrived = self.shared.arrived.lock().unwrap();
        let (_arrived, waited) =
            self.shared.changed.wait_timeout_while(arrived, timeout, |arrived| !condition(arrived)).unwrap();
        !waited.timed_out()
    }
}

fn traces(shared: &Arc<Shared>) -> TraceServiceServer<Shared> {
    let gzip = tonic::codec::CompressionEncoding::Gzip;
    TraceServiceServer::from_arc(shared.clone()).max_decoding_message_size(64 << 20).accept_compressed(gzip)
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Arrived)) {
        let mut arrived = self.arrived.lock().unwrap();
        arrived.requests += 1;
        change(&mut arrived);
        self.changed.notify_all();
    }

    fn take_spans(&self, request: ExportTraceServiceRequest, headers: BTreeMap<String, String>) {
        self.change(|arrived| {
            arrived.headers = headers;
            for group in request.resource_spans {
                arrived.resource = received::attributes(group.resource.unwrap_or_default().attributes);
                let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
                arrived.spans.extend(spans.map(ReceivedSpan::new));
            }
        });
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest, headers: BTreeMap<String, String>) {
        self.change(|arrived| {
            arrived.headers = headers;
            arrived.metric_requests += 1;
            arrived.metrics.clear();
            for group in request.resource_metrics {
                arrived.resource = received::attributes(group.resource.unwrap_or_default().attributes);
                let metrics = group.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                arrived.metrics.extend(metrics.flat_map(ReceivedMetric::series));
            }
        });
    }

    fn take_logs(&self, request: ExportLogsServiceRequest, headers: BTreeMap<String, String>) {
        self.change(|arrived| {
            arrived.headers = headers;
            for group in request.resource_logs {
                arrived.resource = received::attributes(group.resource.unwrap_or_default().attributes);
                for scope in group.scope_logs {
                    let target = scope.scope.unwrap_or_default().name;
                    let logs = scope.log_records.into_iter();
                    arrived.logs.extend(logs.map(|log| ReceivedLog::new(log, &target)));
                }
            }
        });
    }
}

#[tonic::async_trait]
impl TraceService for Shared {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = header_map(&request.metadata().clone().into_headers());
        self.take_spans(request.into_inner(), headers);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Shared {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let headers = header_map(&request.metadata().clone().into_headers());
        self.take_logs(request.into_inner(), headers);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Shared {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let headers = header_map(&request.metadata().clone().into_headers());
        self.take_metrics(request.into_inner(), headers);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn serve_http(
    request: hyper::Request<hyper::body::Incoming>,
    shared: Arc<Shared>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers = header_map(&head.headers);
    assert_eq!(headers["content-type"], "application/x-protobuf");
    match head.uri.path() {
        "/v1/traces" => shared.take_spans(ExportTraceServiceRequest::decode(body).unwrap(), headers),
        "/v1/logs" => shared.take_logs(ExportLogsServiceRequest::decode(body).unwrap(), headers),
        "/v1/metrics" => shared.take_metrics(ExportMetricsServiceRequest::decode(body).unwrap(), headers),
        other => panic!("unknown path {other}"),
    }
    Ok(hyper::Response::new(Full::default()))
}

fn header_map(headers: &hyper::HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
