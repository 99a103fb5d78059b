//! Owns: where one signal goes, and how: the variable of the signal, else the one for all.

use std::time::Duration;

use super::read::{Reader, MOST_MILLIS};
use super::Overrides;

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metrics.
    Metrics,
}

impl Signal {
    pub(crate) const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }
}

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC: HTTP/2, port 4317 by convention.
    Grpc,
    /// Protobuf over HTTP/1.1, port 4318 by convention; paths `/v1/traces`, `/v1/logs` and `/v1/metrics`.
    HttpProtobuf,
    /// JSON over HTTP/1.1, otherwise the same.
    HttpJson,
}

/// Where a signal goes, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// `OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT` as it stands, or `OTEL_EXPORTER_OTLP_ENDPOINT` with the signal's path.
    pub endpoint: String,
    /// The variable that said so.
    pub variable: String,
    /// `…_PROTOCOL`: `grpc`, `http/protobuf` or `http/json`.
    pub protocol: Protocol,
    /// `…_HEADERS`: `name=value,…`, percent-decoded.
    pub headers: Vec<(String, String)>,
    /// `…_TIMEOUT`, in milliseconds there: how long one export may take, with its retries.
    pub timeout: Duration,
    /// `…_COMPRESSION` is `gzip`.
    pub gzip: bool,
}

impl Destination {
    pub(crate) fn is_https(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// The endpoint as people may see it.
    pub fn shown(&self) -> String {
        shown(&self.endpoint)
    }
}

/// An endpoint without the password that it may have, and not endless.
pub(super) fn shown(endpoint: &str) -> String {
    let begin = endpoint.find("://").map_or(0, |at| at + 3);
    let end = endpoint[begin..].find(['/', '?', '#']).map_or(endpoint.len(), |length| begin + length);
    let host = endpoint[begin..end].rfind('@').map(|at| begin + at);
    let masked = host.map(|at| format!("{}[FILTERED]{}", &endpoint[..begin], &endpoint[at..]));
    masked.as_deref().unwrap_or(endpoint).chars().take(200).collect()
}

/// The default endpoint of a protocol.
pub(super) fn default_endpoint(protocol: Protocol) -> String {
    let port = if protocol == Protocol::Grpc { 4317 } else { 4318 };
    format!("http://localhost:{port}")
}

/// The endpoint for all signals with the path of one. Some say it with a path already.
fn with_path(endpoint: &str, signal: Signal) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    let path = |signal: Signal| format!("/v1/{}", signal.name());
    let base = Signal::ALL.into_iter().find_map(|each| endpoint.strip_suffix(&path(each))).unwrap_or(endpoint);
    format!("{base}{}", path(signal))
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    pub(super) fn destination(&mut self, signal: Signal, overrides: &Overrides) -> Destination {
        let names = |what: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name().to_uppercase());
            [own, format!("OTEL_EXPORTER_OTLP_{what}")]
        };
        let [own, all] = names("PROTOCOL");
        let protocol = match &overrides.protocol {
            Some(_) => self.protocol(&all, &overrides.protocol),
            None => self.protocol(&own, &None).or_else(|| self.protocol(&all, &None)),
        };
        let protocol = protocol.unwrap_or(Protocol::Grpc);
        let [own, all] = names("ENDPOINT");
        let given = if overrides.endpoint.is_none() { self.text(&own, &None) } else { None };
        let (endpoint, variable) = match given {
            Some(endpoint) => (endpoint, own),
            None => {
                let endpoint = self.text(&all, &overrides.endpoint).unwrap_or_else(|| default_endpoint(protocol));
                let grpc = protocol == Protocol::Grpc;
                (if grpc { endpoint } else { with_path(&endpoint, signal) }, all)
            }
        };
        let [own, all] = names("HEADERS");
        let own_headers = overrides.headers.is_none() && self.text(&own, &None).is_some();
        let headers = self.headers(if own_headers { &own } else { &all }, &overrides.headers);
        let [own, all] = names("TIMEOUT");
        let timeout = match overrides.timeout_ms {
            Some(millis) if millis > 0 => Duration::from_millis(millis.min(MOST_MILLIS)),
            _ if self.text(&own, &None).is_some() => self.millis(&own, 2_000),
            _ => self.millis(&all, 2_000),
        };
        let [own, all] = names("COMPRESSION");
        let gzip = self.gzip(&own).or_else(|| self.gzip(&all)).unwrap_or(false);
        Destination { endpoint, variable, protocol, headers, timeout, gzip }
    }
}
