//! Owns: the settings of one signal as `opentelemetry-otlp` wants them. The crate does the rest: HTTP, gRPC, TLS, gzip, retries.

use std::collections::HashMap;

use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol as OtlpProtocol, RetryPolicy, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{Destination, Protocol};
use crate::error::{Error, Result};

macro_rules! exporter {
    ($name:ident, $exporter:ty) => {
        pub(super) fn $name(to: &Destination) -> Result<$exporter> {
            check(to)?;
            let built = match to.protocol {
                Protocol::Grpc => grpc(<$exporter>::builder().with_tonic(), to)?.build(),
                Protocol::HttpProtobuf => {
                    http(<$exporter>::builder().with_http(), OtlpProtocol::HttpBinary, to)?.build()
                }
                Protocol::HttpJson => http(<$exporter>::builder().with_http(), OtlpProtocol::HttpJson, to)?.build(),
            };
            built.map_err(|error| refused(to, error))
        }
    };
}

exporter!(spans, SpanExporter);
exporter!(logs, LogExporter);
exporter!(metrics, MetricExporter);

fn grpc<B: WithExportConfig + WithTonicConfig>(builder: B, to: &Destination) -> Result<B> {
    let builder = builder.with_endpoint(&to.endpoint).with_timeout(to.timeout);
    let builder =
        builder.with_metadata(MetadataMap::from_headers(headers(to)?)).with_retry_policy(RetryPolicy::recommended());
    let builder = if to.gzip { builder.with_compression(Compression::Gzip) } else { builder };
    Ok(if to.is_https() { builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots()) } else { builder })
}

fn http<B: WithExportConfig + WithHttpConfig>(builder: B, protocol: OtlpProtocol, to: &Destination) -> Result<B> {
    let builder = builder.with_endpoint(&to.endpoint).with_protocol(protocol).with_timeout(to.timeout);
    let builder = builder.with_http_client(client(to)?);
    let builder = builder.with_headers(to.headers.iter().cloned().collect::<HashMap<_, _>>());
    let builder = builder.with_retry_policy(RetryPolicy::recommended());
    Ok(if to.gzip { builder.with_compression(Compression::Gzip) } else { builder })
}

pub(super) fn client(to: &Destination) -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().timeout(to.timeout);
    // reqwest takes what the process has chosen. Somebody may have chosen before: that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = if to.is_https() {
        client
    } else {
        // Reading the system's certificates takes milliseconds: only for those who need them.
        client.tls_certs_only([])
    };
    client.build().map_err(|error| refused(to, error))
}

/// # Errors
/// [`Error::Configuration`] for an endpoint without `http://` or `https://`, or not a URL.
pub(super) fn check(to: &Destination) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::Configuration(format!(
            "{}={:?} {why}; write it like http://localhost:4317",
            to.variable,
            to.shown()
        )))
    };
    if !to.endpoint.starts_with("http://") && !to.endpoint.starts_with("https://") {
        return refuse("does not begin with http:// or https://");
    }
    match reqwest::Url::parse(&to.endpoint) {
        Ok(url) if url.has_host() => Ok(()),
        Ok(_) => refuse("names no host"),
        Err(error) => refuse(&format!("is not a URL ({error})")),
    }
}

pub(super) fn refused(to: &Destination, error: impl std::error::Error) -> Error {
    let hint = if to.is_https() {
        "; if it is about certificates, install the system's root certificates, or name a file of them in SSL_CERT_FILE"
    } else {
        ""
    };
    Error::Configuration(format!("{}={:?} cannot be used ({error}){hint}", to.variable, to.shown()))
}

pub(super) fn headers(to: &Destination) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &to.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) else {
            return Err(Error::Configuration(format!(
                "OTEL_EXPORTER_OTLP_HEADERS: {name:?} or its value is not allowed in an HTTP header"
            )));
        };
        headers.append(name, value);
    }
    Ok(headers)
}
