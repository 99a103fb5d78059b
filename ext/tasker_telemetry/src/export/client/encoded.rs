//! Owns: the engine's own spans on their way out: requests that are encoded already, over tonic's channel or by reqwest, as
//! `opentelemetry-otlp` sends its own. They are too many for that crate's exporter: through `SpanData`, its copies and its
//! messages a span costs three times as much.

use std::io::Write;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::{BufMut, Bytes};
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::build;
use crate::config::{Destination, Protocol, Signal};
use crate::error::Result;
use crate::export::complaints;

const METHOD: PathAndQuery = PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");

/// Sends encoded requests to where spans go.
pub(in crate::export) enum Encoded {
    Grpc { client: Box<Grpc<Channel>>, metadata: MetadataMap },
    Http { client: reqwest::Client, to: Destination },
}

/// Why a request was not taken.
struct Failure {
    reason: String,
    /// The same request may be taken a moment later.
    passing: bool,
    /// When the collector says so.
    after: Option<Duration>,
}

impl Encoded {
    pub(super) fn build(to: &Destination) -> Result<Encoded> {
        build::check(to)?;
        if to.protocol != Protocol::Grpc {
            return Ok(Encoded::Http { client: build::client(to)?, to: to.clone() });
        }
        let endpoint = Endpoint::from_shared(to.endpoint.clone()).map_err(|error| build::refused(to, error))?;
        let mut endpoint = endpoint.timeout(to.timeout).connect_timeout(to.timeout);
        if to.is_https() {
            let tls = ClientTlsConfig::new().with_enabled_roots();
            endpoint = endpoint.tls_config(tls).map_err(|error| build::refused(to, error))?;
        }
        let mut client = Grpc::new(endpoint.connect_lazy());
        if to.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
        }
        Ok(Encoded::Grpc { client: Box::new(client), metadata: MetadataMap::from_headers(build::headers(to)?) })
    }

    /// Sends an `ExportTraceServiceRequest`, again if that failed in a way that may pass, as often as the crate does.
    pub(super) async fn export(&self, request: Bytes) -> OTelSdkResult {
        let policy =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(100)).with_jitter().with_max_times(3);
        let request = self.body(request);
        let sent = (|| self.once(request.clone()))
            .retry(policy.with_max_delay(Duration::from_millis(1600)))
            .when(|failure: &Failure| failure.passing)
            .adjust(|failure, delay| delay.map(|delay| failure.after.unwrap_or(delay)));
        let response = sent.await.map_err(|failure| OTelSdkError::InternalFailure(failure.reason))?;
        let refused = ExportTraceServiceResponse::decode(response).ok().and_then(|response| response.partial_success);
        complaints::add_refused(Signal::Traces, refused.map_or(0, |partial| partial.rejected_spans));
        Ok(())
    }

    fn body(&self, request: Bytes) -> Bytes {
        match self {
            Encoded::Http { to, .. } if to.gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
                // Into memory: nothing that can fail.
                gzip.write_all(&request).and_then(|()| gzip.finish()).map_or(request, Bytes::from)
            }
            _ => request,
        }
    }

    async fn once(&self, request: Bytes) -> std::result::Result<Bytes, Failure> {
        match self {
            Encoded::Grpc { client, metadata } => {
                let mut client = client.clone();
                let ready = client.ready().await;
                ready.map_err(|error| Failure { reason: chain(&error), passing: true, after: None })?;
                let mut request = Request::new(request);
                *request.metadata_mut() = metadata.clone();
                let answer = client.unary(request, METHOD, AsItIs).await;
                answer.map(tonic::Response::into_inner).map_err(|status| Failure {
                    passing: is_passing(status.code()),
                    reason: format!("gRPC code: {:?}: {}", status.code(), chain(&status)),
                    after: None,
                })
            }
            Encoded::Http { client, to } => {
                let network = |error: reqwest::Error| Failure { reason: chain(&error), passing: true, after: None };
                let mut post = client.post(&to.endpoint).header(CONTENT_TYPE, "application/x-protobuf").body(request);
                for (name, value) in &to.headers {
                    post = post.header(name, value);
                }
                if to.gzip {
                    post = post.header(CONTENT_ENCODING, "gzip");
                }
                let answer = post.send().await.map_err(network)?;
                let status = answer.status();
                if status.is_success() {
                    return answer.bytes().await.map_err(network);
                }
                let after = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                Err(Failure {
                    reason: format!("status code: {}", status.as_u16()),
                    passing: matches!(status.as_u16(), 429 | 502 | 503 | 504),
                    after: after.map(Duration::from_secs),
                })
            }
        }
    }
}

/// OTLP's list of codes worth a second try.
fn is_passing(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, Unavailable};
    matches!(code, Cancelled | DeadlineExceeded | Aborted | OutOfRange | Unavailable | DataLoss)
}

/// An error with its causes: the outermost hides the interesting one.
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

/// The messages of gRPC as the bytes they are.
#[derive(Debug, Clone, Copy)]
struct AsItIs;

impl Codec for AsItIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = AsItIs;
    type Decoder = AsItIs;

    fn encoder(&mut self) -> AsItIs {
        AsItIs
    }

    fn decoder(&mut self) -> AsItIs {
        AsItIs
    }
}

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        use bytes::Buf;
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
