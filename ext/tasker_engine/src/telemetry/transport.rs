//! Owns: one OTLP request: where it goes, over gRPC or HTTP/protobuf, with or without TLS, and what
//! its answer means. One client for spans, logs and metrics.
//! Refuses: to wait longer than its timeout, and to try more than twice.

mod answer;

use std::future::Future;
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_TYPE, TE};
use hyper::{Method, Request, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::Handle;

use super::config::{Protocol, TelemetryConfig};
use crate::error::{Error, Result};
use answer::Failure;

/// How long after a failure that may pass the same request is sent again, once.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// `ExportTraceServiceRequest`
    Traces,
    /// `ExportLogsServiceRequest`
    Logs,
    /// `ExportMetricsServiceRequest`
    Metrics,
}

impl Signal {
    pub(super) fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }

    fn path(self, protocol: Protocol) -> &'static str {
        match (self, protocol) {
            (Signal::Traces, Protocol::Grpc) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            (Signal::Logs, Protocol::Grpc) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            (Signal::Metrics, Protocol::Grpc) => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            (Signal::Traces, Protocol::HttpProtobuf) => "/v1/traces",
            (Signal::Logs, Protocol::HttpProtobuf) => "/v1/logs",
            (Signal::Metrics, Protocol::HttpProtobuf) => "/v1/metrics",
        }
    }
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The client. Its connections live on the runtime it was built with.
pub(super) struct Transport {
    connections: Arc<Connections>,
    runtime: Handle,
    protocol: Protocol,
    endpoint: String,
    traces: Uri,
    logs: Uri,
    metrics: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

/// The connections of now. A request without an answer may mean a connection that died silently, which
/// HTTP/2 would keep for many minutes: then the next request gets a new one.
struct Connections {
    client: ArcSwap<HttpClient>,
    renew: Box<dyn Fn() -> HttpClient + Send + Sync>,
}

/// A request under way. Dropping it does not stop it.
pub(super) struct Pending {
    answer: Receiver<Answer>,
    early: Option<Answer>,
}

/// How many of the request's items the collector refused, or why it took none.
pub(super) type Answer = std::result::Result<u64, String>;

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
            Err(RecvTimeoutError::Disconnected) => Some(Err("the runtime is gone".into())),
        }
    }
}

impl Transport {
    /// Checks the endpoint and builds the client; connects only with the first request.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an endpoint without `http://` or `https://`, or not a URL, for a
    /// header that HTTP does not allow, and for `https://` on a machine without root certificates.
    pub(super) fn new(config: &TelemetryConfig, runtime: Handle) -> Result<Transport> {
        let [traces, logs, metrics] = [Signal::Traces, Signal::Logs, Signal::Metrics].map(|signal| uri(config, signal));
        let (traces, logs, metrics) = (traces?, logs?, metrics?);
        let connector = connector(config, traces.scheme_str() == Some("https"))?;
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        builder.http2_only(config.protocol == Protocol::Grpc);
        let renew = move || builder.build(connector.clone());
        let client = ArcSwap::from_pointee(renew());
        Ok(Transport {
            connections: Arc::new(Connections { client, renew: Box::new(renew) }),
            runtime,
            protocol: config.protocol,
            endpoint: config.shown_endpoint(),
            traces,
            logs,
            metrics,
            headers: headers(config)?,
            timeout: config.timeout,
        })
    }

    /// As people may see it.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends `message` on the runtime; see [`Transport::exchange`].
    pub(super) fn send(&self, signal: Signal, message: Bytes) -> Pending {
        let (sender, answer) = sync_channel(1);
        let exchange = self.exchange(signal, message);
        self.runtime.spawn(async move {
            // Whoever asked may have given up waiting.
            let _ = sender.send(exchange.await);
        });
        Pending { answer, early: None }
    }

    /// Sends `message`, and again if that failed in a way that may pass; both tries together have one timeout.
    pub(super) fn exchange(&self, signal: Signal, message: Bytes) -> impl Future<Output = Answer> + Send + 'static {
        let body = match self.protocol {
            Protocol::Grpc => grpc_frame(&message),
            Protocol::HttpProtobuf => message,
        };
        let uri = match signal {
            Signal::Traces => self.traces.clone(),
            Signal::Logs => self.logs.clone(),
            Signal::Metrics => self.metrics.clone(),
        };
        let (connections, headers) = (self.connections.clone(), self.headers.clone());
        let (protocol, timeout) = (self.protocol, self.timeout);
        async move {
            let client = connections.client.load_full();
            let tries = try_twice(&client, protocol, signal, || {
                let mut request = Request::new(Full::new(body.clone()));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = uri.clone();
                *request.headers_mut() = headers.clone();
                request
            });
            match tokio::time::timeout(timeout, tries).await {
                Ok(answer) => answer,
                Err(_) => {
                    connections.client.store(Arc::new((connections.renew)()));
                    Err(format!("no answer within {} ms", timeout.as_millis()))
                }
            }
        }
    }
}

async fn try_twice(
    client: &HttpClient,
    protocol: Protocol,
    signal: Signal,
    request: impl Fn() -> Request<Full<Bytes>>,
) -> Answer {
    match answer::read(client.request(request()).await, protocol, signal).await {
        Err(Failure { passing: true, .. }) => {
            tokio::time::sleep(RETRY_AFTER).await;
            answer::read(client.request(request()).await, protocol, signal).await.map_err(|failure| failure.reason)
        }
        other => other.map_err(|failure| failure.reason),
    }
}

fn uri(config: &TelemetryConfig, signal: Signal) -> Result<Uri> {
    let endpoint = config.endpoint.trim_end_matches('/');
    let refuse = |why: &str| {
        Error::Configuration(format!(
            "OTEL_EXPORTER_OTLP_ENDPOINT={:?} {why}; write it like http://localhost:4317",
            config.shown_endpoint()
        ))
    };
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return Err(refuse("does not begin with http:// or https://"));
    }
    let uri = format!("{endpoint}{}", signal.path(config.protocol));
    let uri: Uri = uri.parse().map_err(|error| refuse(&format!("is not a URL ({error})")))?;
    match uri.host() {
        Some(host) if !host.is_empty() => Ok(uri),
        _ => Err(refuse("names no host")),
    }
}

fn connector(config: &TelemetryConfig, tls: bool) -> Result<HttpsConnector<HttpConnector>> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::Configuration(format!(
            "OTEL_EXPORTER_OTLP_ENDPOINT={:?}: TLS cannot be set up ({error}); install the system's \
             root certificates, or name a file of them in SSL_CERT_FILE",
            config.shown_endpoint()
        ))
    };
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    http.set_connect_timeout(Some(config.timeout));
    let provider = rustls::crypto::ring::default_provider();
    let roots = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    // Reading the system's certificates takes milliseconds: only for those who need them.
    let roots = if tls {
        roots.with_native_roots().map_err(|error| failed(&error))?
    } else {
        roots.with_root_certificates(rustls::RootCertStore::empty())
    };
    let builder = HttpsConnectorBuilder::new().with_tls_config(roots.with_no_client_auth()).https_or_http();
    Ok(match config.protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(http),
        Protocol::HttpProtobuf => builder.enable_http1().wrap_connector(http),
    })
}

fn headers(config: &TelemetryConfig) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) else {
            return Err(Error::Configuration(format!(
                "OTEL_EXPORTER_OTLP_HEADERS: {name:?} or its value is not allowed in an HTTP header"
            )));
        };
        headers.append(name, value);
    }
    match config.protocol {
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        Protocol::HttpProtobuf => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        }
    }
    Ok(headers)
}

/// A gRPC message: not compressed, then its length, then itself.
fn grpc_frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}
