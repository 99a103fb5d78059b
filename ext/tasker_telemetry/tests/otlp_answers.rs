//! What a collector may answer, and how requests may be written: retries, refusals, JSON, gzip.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/otlp_receiver.rs"]
mod otlp_receiver;
#[path = "support/story.rs"]
mod story;

use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use otlp_receiver::Receiver;
use prost::Message;
use tasker_telemetry::ids;
use tasker_telemetry::record::counts;
use tasker_telemetry::record::spans::{self, SpanKind, SpanRecord};
use tasker_telemetry::time::Micros;
use tasker_telemetry::{self as telemetry, Overrides};

const SOON: Duration = Duration::from_secs(10);

/// A request that came.
#[derive(Clone)]
struct Came {
    path: String,
    content_type: String,
    content_encoding: Option<String>,
    body: Bytes,
}

type Script = fn(path: &str, nth: usize) -> Response<Full<Bytes>>;

/// A collector over HTTP that answers as `script` says, which is told how many requests to the path came before.
struct Scripted {
    endpoint: String,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Scripted {
    fn start(script: Script) -> Scripted {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::new(Mutex::new(Vec::new()));
        let keep = came.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let came = keep.clone();
                    let service = hyper::service::service_fn(move |request| answer(request, came.clone(), script));
                    let io = hyper_util::rt::TokioIo::new(stream);
                    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
                }
            });
        });
        Scripted { endpoint, came }
    }

    fn to(&self, path: &str) -> Vec<Came> {
        self.came.lock().unwrap().iter().filter(|came| came.path == path).cloned().collect()
    }

    fn overrides(&self, protocol: &str) -> Overrides {
        overrides(&self.endpoint, protocol)
    }
}

fn overrides(endpoint: &str, protocol: &str) -> Overrides {
    Overrides {
        enabled: Some(true),
        endpoint: Some(endpoint.into()),
        protocol: Some(protocol.into()),
        ..Overrides::default()
    }
}

async fn answer(
    request: Request<Incoming>,
    came: Arc<Mutex<Vec<Came>>>,
    script: Script,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (path, body) = (head.uri.path().to_owned(), body.collect().await.unwrap().to_bytes());
    let (content_type, content_encoding) = (text("content-type").unwrap(), text("content-encoding"));
    let mut came = came.lock().unwrap();
    let nth = came.iter().filter(|each| each.path == path).count();
    came.push(Came { path: path.clone(), content_type, content_encoding, body });
    Ok(script(&path, nth))
}

fn taken(message: &impl Message) -> Response<Full<Bytes>> {
    Response::new(Full::new(message.encode_to_vec().into()))
}

fn record() {
    spans::record(SpanRecord {
        name: "worker.step_execution",
        trace_id: ids::trace_id(),
        span_id: ids::span_id(),
        parent_span_id: None,
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start: Micros(1_700_000_000_000_000),
        end: Micros(1_700_000_000_000_001),
        common: None,
        attributes: vec![("attempt", 1i64.into())],
        events: vec![],
        links: vec![],
        error: None,
    });
}

const NO_METRICS: (&str, &str) = ("OTEL_METRICS_EXPORTER", "none");
const NO_LOGS: (&str, &str) = ("OTEL_LOGS_EXPORTER", "none");

#[test]
fn json() {
    story::alone("json", &[], || {
        let collector = Scripted::start(|_, _| Response::new(Full::new("{}".into())));
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), collector.overrides("http/json"));
        record();
        tracing::info!("in words");
        assert!(telemetry::flush(SOON));
        for (path, inside) in [
            ("/v1/traces", "worker.step_execution"),
            ("/v1/logs", "in words"),
            ("/v1/metrics", "tasker.telemetry.spans_exported"),
        ] {
            let came = &collector.to(path)[0];
            let document: serde_json::Value = serde_json::from_slice(&came.body).unwrap();
            assert_eq!(came.content_type, "application/json");
            assert!(document.to_string().contains(inside), "{path}: {document}");
        }
        assert_eq!((counts::spans_exported(), counts::spans_dropped()), (1, 0));
    });
}

#[test]
fn gzip_over_http() {
    let vars = [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"), NO_METRICS];
    story::alone("gzip_over_http", &vars, || {
        let collector = Scripted::start(|_, _| Response::default());
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), collector.overrides("http/protobuf"));
        record();
        tracing::info!("small");
        assert!(telemetry::flush(SOON));
        for path in ["/v1/traces", "/v1/logs"] {
            let came = &collector.to(path)[0];
            assert_eq!(came.content_encoding.as_deref(), Some("gzip"), "{path}");
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&came.body[..]).read_to_end(&mut plain).unwrap();
            if path == "/v1/traces" {
                let request = ExportTraceServiceRequest::decode(&plain[..]).unwrap();
                assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].name, "worker.step_execution");
            }
        }
    });
}

#[test]
fn gzip_over_grpc() {
    let vars = [("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"), NO_METRICS, NO_LOGS];
    story::alone("gzip_over_grpc", &vars, || {
        let receiver = Receiver::start();
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), overrides(receiver.endpoint(), "grpc"));
        record();
        assert!(telemetry::flush(SOON));
        assert_eq!(receiver.headers()["grpc-encoding"], "gzip");
        assert_eq!(receiver.spans().len(), 1);
    });
}

#[test]
fn a_busy_collector_says_when_to_come_again() {
    story::alone(
        "a_busy_collector_says_when_to_come_again",
        &[("OTEL_EXPORTER_OTLP_TIMEOUT", "9000"), NO_LOGS, NO_METRICS],
        || {
            let collector = Scripted::start(|_, nth| match nth {
                0 => Response::builder().status(429).header("retry-after", "1").body(Full::default()).unwrap(),
                1 => Response::builder().status(503).body(Full::default()).unwrap(),
                _ => Response::default(),
            });
            let runtime = story::runtime();
            telemetry::init_tracing(runtime.handle(), collector.overrides("http/protobuf"));
            record();
            let began = Instant::now();
            assert!(telemetry::flush(SOON));
            assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
            assert_eq!(
                (collector.to("/v1/traces").len(), counts::spans_exported(), counts::spans_dropped()),
                (3, 1, 0)
            );
        },
    );
}

#[test]
fn what_is_refused_for_good_is_not_sent_again() {
    story::alone("what_is_refused_for_good_is_not_sent_again", &[NO_LOGS, NO_METRICS], || {
        let collector = Scripted::start(|_, _| Response::builder().status(400).body(Full::default()).unwrap());
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), collector.overrides("http/protobuf"));
        record();
        assert!(!telemetry::flush(SOON));
        assert_eq!((collector.to("/v1/traces").len(), counts::spans_exported(), counts::spans_dropped()), (1, 0, 1));
    });
}

#[test]
fn what_is_taken_in_part_is_counted() {
    story::alone("what_is_taken_in_part_is_counted", &[NO_METRICS, ("LOG_LEVEL", "info")], || {
        let collector = Scripted::start(|path, _| match path {
            "/v1/traces" => {
                let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "too old".into() };
                taken(&ExportTraceServiceResponse { partial_success: Some(partial) })
            }
            _ => {
                let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too new".into() };
                taken(&ExportLogsServiceResponse { partial_success: Some(partial) })
            }
        });
        let runtime = story::runtime();
        telemetry::init_tracing(runtime.handle(), collector.overrides("http/protobuf"));
        record();
        record();
        for _ in 0..5 {
            tracing::info!("one of five");
        }
        assert!(!telemetry::flush(SOON));
        assert_eq!((counts::spans_exported(), counts::spans_dropped()), (1, 1));
        assert_eq!(counts::logs_dropped(), 2);
    });
}

/// Flushes thrice; a collector that takes spans alone is no failure.
fn live_with_spans_alone(overrides: Overrides) {
    let runtime = story::runtime();
    telemetry::init_tracing(runtime.handle(), overrides);
    for _ in 0..3 {
        record();
        tracing::info!("nobody wants it");
        assert!(telemetry::flush(SOON));
    }
    assert_eq!((counts::spans_exported(), counts::spans_dropped()), (3, 0));
    assert!(telemetry::shutdown(SOON));
}

fn one_line_for_each(console: &str) {
    for signal in ["logs", "metrics"] {
        assert_eq!(console.matches(&format!("The collector takes no {signal}")).count(), 1, "{console}");
    }
    assert_eq!(console.matches(" WARN ").count(), 2, "{console}");
}

#[test]
fn a_signal_that_is_not_taken_is_one_line_over_grpc() {
    let story = || live_with_spans_alone(overrides(Receiver::start_traces_only().endpoint(), "grpc"));
    let Some(output) = story::alone("a_signal_that_is_not_taken_is_one_line_over_grpc", &[], story) else { return };
    one_line_for_each(&story::console(&output));
}

#[test]
fn a_signal_that_is_not_taken_is_one_line_over_http() {
    let story = || {
        let collector = Scripted::start(|path, _| match path {
            "/v1/traces" => Response::default(),
            _ => Response::builder().status(404).body(Full::default()).unwrap(),
        });
        live_with_spans_alone(collector.overrides("http/protobuf"));
        assert_eq!(collector.to("/v1/logs").len(), 1);
    };
    let Some(output) = story::alone("a_signal_that_is_not_taken_is_one_line_over_http", &[], story) else { return };
    one_line_for_each(&story::console(&output));
}
