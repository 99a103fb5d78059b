//! Owns: what leaves next, and by which way: the engine's spans are encoded at once, the application's go through the exporter
//! as the SDK's spans do.

use bytes::Bytes;
use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope as ProtoScope;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::Resource;
use tokio::runtime::Handle;

use crate::config::{Destination, Protocol};
use crate::error::Result;
use crate::export::client::{Client, Encoded, Pending};
use crate::export::encode::Encoder;
use crate::export::span_data;
use crate::record::spans::{OwnName, SpanRecord};

/// Collectors refuse messages over 4 MiB; stay well below.
const MAX_REQUEST_BYTES: usize = 2 << 20;

/// Two requests in the making.
pub(in crate::export) struct Outgoing {
    /// `None`: the collector wants JSON, which the encoder does not write.
    encoded: Option<(Encoder, Client<Encoded>)>,
    exporter: Client<SpanExporter>,
    scope: InstrumentationScope,
    batch: Vec<SpanData>,
    /// Of the batch, in bytes, about.
    size: usize,
}

impl Outgoing {
    /// # Errors
    /// [`crate::error::Error::Configuration`] for a destination that cannot be used.
    pub(in crate::export) fn new(
        to: &Destination,
        runtime: &Handle,
        resource: &Resource,
        scope: InstrumentationScope,
    ) -> Result<Outgoing> {
        let encoded = if to.protocol == Protocol::HttpJson {
            None
        } else {
            let attributes = ResourceAttributesWithSchema::from(resource).attributes.0;
            let resource = ProtoResource { attributes, ..ProtoResource::default() };
            Some((Encoder::new(&resource, &ProtoScope::from((&scope, None))), Client::encoded_spans(to, runtime)?))
        };
        let exporter = Client::spans(to, runtime, resource.clone())?;
        Ok(Outgoing { encoded, exporter, scope, batch: Vec::new(), size: 0 })
    }

    /// As people may see it.
    pub(super) fn endpoint(&self) -> &str {
        self.exporter.endpoint()
    }

    pub(super) fn count(&self) -> usize {
        self.batch.len() + self.encoded.as_ref().map_or(0, |(encoder, _)| encoder.count())
    }

    pub(super) fn is_large(&self) -> bool {
        self.size >= MAX_REQUEST_BYTES
            || self.encoded.as_ref().is_some_and(|(encoder, _)| encoder.size() >= MAX_REQUEST_BYTES)
    }

    pub(super) fn record(&mut self, record: SpanRecord) {
        match &mut self.encoded {
            Some((encoder, _)) => encoder.push(&record),
            None => self.own(record.to_own()),
        }
    }

    pub(super) fn own(&mut self, record: SpanRecord<OwnName>) {
        self.sdk(span_data::convert(record, &self.scope));
    }

    pub(super) fn sdk(&mut self, span: SpanData) {
        self.size += span_data::size(&span);
        self.batch.push(span);
    }

    /// Gives up what was to leave. Says how many.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.count();
        self.batch.clear();
        self.size = 0;
        if let Some((encoder, _)) = &mut self.encoded {
            let _: (Bytes, usize) = encoder.take();
        }
        count
    }

    /// Sends it all: at most two requests, each with its number of spans.
    pub(super) fn send(&mut self) -> impl Iterator<Item = (Pending, usize)> {
        let encoded = self.encoded.as_mut().filter(|(encoder, _)| encoder.count() > 0).map(|(encoder, client)| {
            let (request, count) = encoder.take();
            (client.send(request), count)
        });
        self.size = 0;
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len();
        encoded.into_iter().chain((count > 0).then(|| (self.exporter.send(batch), count)))
    }
}
