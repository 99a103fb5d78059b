//! Owns: an OTLP receiver for the benchmarks: takes gRPC and HTTP exports on a free local port, counts
//! the records without decoding them, throws everything away. Refuses: being a test's receiver, which
//! looks at what it got.
//!
//! Prints its endpoint as the first line. When its standard input closes it prints what it counted,
//! as JSON, and ends.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    spans: AtomicU64,
    logs: AtomicU64,
    metrics: AtomicU64,
}

fn main() -> std::io::Result<()> {
    let counts = Arc::new(Counts::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    say(format_args!("http://{}", listener.local_addr()?))?;

    let served = counts.clone();
    std::thread::spawn(move || runtime.block_on(serve(listener, served)));

    std::io::stdin().read_to_end(&mut Vec::new())?;
    say(format_args!(
        "{{\"requests\":{},\"bytes\":{},\"spans\":{},\"logs\":{},\"metrics\":{}}}",
        counts.requests.load(Ordering::SeqCst),
        counts.bytes.load(Ordering::SeqCst),
        counts.spans.load(Ordering::SeqCst),
        counts.logs.load(Ordering::SeqCst),
        counts.metrics.load(Ordering::SeqCst),
    ))
}

fn say(line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn serve(listener: tokio::net::TcpListener, counts: Arc<Counts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let counts = counts.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| take(request, counts.clone()));
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = Response<Box<dyn Body<Data = Bytes, Error = Infallible> + Send + Unpin>>;

async fn take(request: Request<Incoming>, counts: Arc<Counts>) -> Result<Answer, hyper::Error> {
    let grpc =
        request.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let path = request.uri().path().to_ascii_lowercase();
    let body = request.into_body().collect().await?.to_bytes();
    // A gRPC message is preceded by a flag and its length.
    let message = if grpc { body.get(5..).unwrap_or_default() } else { &body };

    counts.requests.fetch_add(1, Ordering::Relaxed);
    counts.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    // ExportTraceServiceRequest { 1: ResourceSpans { 2: ScopeSpans { 2: Span } } }, logs and metrics likewise.
    let counter = match path {
        path if path.contains("trace") => &counts.spans,
        path if path.contains("log") => &counts.logs,
        _ => &counts.metrics,
    };
    counter.fetch_add(records(message, &[1, 2, 2]), Ordering::Relaxed);
    Ok(answer(grpc))
}

fn answer(grpc: bool) -> Answer {
    if !grpc {
        let mut response = Response::new(Box::new(Full::new(Bytes::new())) as _);
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        return response;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Box::new(body) as _);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// How many length-delimited fields there are at the end of `path`, by skipping, not by decoding.
fn records(mut message: &[u8], path: &[u64]) -> u64 {
    let Some((&field, rest)) = path.split_first() else { return 1 };
    let mut found = 0;
    while let Some((key, after)) = varint(message) {
        let Some((body, next)) = value(key & 7, after) else { return found };
        if key >> 3 == field && key & 7 == 2 {
            found += records(body, rest);
        }
        message = next;
    }
    found
}

/// The field's value and what comes after it.
fn value(wire_type: u64, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match wire_type {
        0 => varint(bytes).map(|(_, rest)| (&bytes[..0], rest)),
        1 => bytes.split_at_checked(8),
        2 => varint(bytes).and_then(|(length, rest)| rest.split_at_checked(usize::try_from(length).ok()?)),
        5 => bytes.split_at_checked(4),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}
