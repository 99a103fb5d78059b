//! Owns: what a collector's answer means, for gRPC (status in the trailers, or in the headers when
//! there is no message) and for HTTP.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Response, StatusCode};
use hyper_util::client::legacy::Error as ClientError;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::{Protocol, Signal};

/// An answer is a few bytes; what is longer is not one.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Why a request was not taken, and whether the same request may be taken a moment later.
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) passing: bool,
}

/// How many items were refused although the request was taken, or why it was not.
pub(super) async fn read(
    response: Result<Response<Incoming>, ClientError>,
    protocol: Protocol,
    signal: Signal,
) -> Result<u64, Failure> {
    let response = response.map_err(|error| Failure { reason: chain(&error), passing: true })?;
    let (head, body) = response.into_parts();
    let taken = match protocol {
        Protocol::Grpc => head.status == StatusCode::OK,
        Protocol::HttpProtobuf => head.status.is_success(),
    };
    if !taken {
        let passing = matches!(head.status.as_u16(), 429 | 502 | 503 | 504);
        return Err(Failure { reason: format!("HTTP status {}", head.status), passing });
    }
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    // Not again: the collector may have taken it, and a span must not arrive twice.
    let body = body.map_err(|error| Failure { reason: chain(&*error), passing: false })?;
    match protocol {
        Protocol::HttpProtobuf => Ok(refused(signal, body.to_bytes())),
        Protocol::Grpc => {
            let trailers = body.trailers().cloned().unwrap_or_default();
            grpc_status(&trailers).or_else(|| grpc_status(&head.headers)).unwrap_or_else(|| {
                Err(Failure { reason: "the answer has no grpc-status: is this a gRPC port?".into(), passing: false })
            })?;
            let message = body.to_bytes();
            Ok(if message.len() > 5 { refused(signal, message.slice(5..)) } else { 0 })
        }
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<Result<(), Failure>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code: u32 = text("grpc-status")?.parse().ok()?;
    if code == 0 {
        return Some(Ok(()));
    }
    // OTLP's list of codes worth a second try.
    let passing = matches!(code, 1 | 4 | 8 | 10 | 11 | 14 | 15);
    let reason = format!("gRPC status {code}: {}", text("grpc-message").unwrap_or_default());
    Some(Err(Failure { reason, passing }))
}

/// `partial_success`: what the collector took the request without.
fn refused(signal: Signal, message: Bytes) -> u64 {
    let count = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(message)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| partial.rejected_spans),
        Signal::Logs => ExportLogsServiceResponse::decode(message)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| partial.rejected_log_records),
        Signal::Metrics => ExportMetricsServiceResponse::decode(message)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| partial.rejected_data_points),
    };
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

/// An error with its causes: hyper's own text hides the interesting one.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
