//! Owns: the bytes of an OTLP `ExportTraceServiceRequest` (opentelemetry-proto 1.x, `trace.proto`),
//! written straight from span records with prost's own wire helpers: no message tree in between.
//! Refuses: anything about sending them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::encoding::{encode_key, encode_varint, encoded_len_varint, WireType};
use prost::Message;

use crate::record::spans::{Attributes, SpanEvent, SpanKind, SpanRecord, Value};
use crate::time::Micros;

// SpanFlags: the sampled flag, and whether the parent's remoteness is known and true.
const FLAGS_SAMPLED: u32 = 0x1;
const FLAGS_HAS_IS_REMOTE: u32 = 0x100;
const FLAGS_IS_REMOTE: u32 = 0x200;
const STATUS_ERROR: u64 = 2;
/// The field of a span's attributes. Fields may come in any order.
const ATTRIBUTES: u32 = 9;
/// Room for what precedes the spans in a request: one key and one length, four times over.
const PREFIX_ROOM: usize = 64;

/// Collects spans into one request.
pub(super) struct Encoder {
    resource: Vec<u8>,
    scope: Vec<u8>,
    spans: Vec<u8>,
    scratch: Vec<u8>,
    inner: Vec<u8>,
    /// The attributes that the last span shared with others, and their bytes.
    common: Option<Arc<Attributes>>,
    common_bytes: Vec<u8>,
    count: usize,
}

impl Encoder {
    pub(super) fn new(resource: &Resource, scope: &InstrumentationScope) -> Encoder {
        Encoder {
            resource: resource.encode_to_vec(),
            scope: scope.encode_to_vec(),
            spans: Vec::new(),
            scratch: Vec::new(),
            inner: Vec::new(),
            common: None,
            common_bytes: Vec::new(),
            count: 0,
        }
    }

    /// Spans since the last [`Encoder::take`].
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of these spans.
    pub(super) fn size(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn push(&mut self, record: &SpanRecord) {
        self.scratch.clear();
        if let Some(common) = &record.common {
            if !self.common.as_ref().is_some_and(|known| Arc::ptr_eq(known, common)) {
                self.common_bytes.clear();
                put_attributes(&mut self.common_bytes, ATTRIBUTES, common);
                self.common = Some(Arc::clone(common));
            }
            self.scratch.extend_from_slice(&self.common_bytes);
        }
        put_span(&mut self.scratch, &mut self.inner, record);
        put_bytes(&mut self.spans, 2, &self.scratch);
        self.count += 1;
    }

    /// The request with all spans so far, and how many they are; empties the encoder.
    pub(super) fn take(&mut self) -> (Bytes, usize) {
        let scope_spans = len_field(self.scope.len()) + self.spans.len();
        let resource_spans = len_field(self.resource.len()) + len_field(scope_spans);
        let room = PREFIX_ROOM + self.resource.len() + self.scope.len() + self.spans.len();
        let mut request = BytesMut::with_capacity(room);
        encode_key(1, WireType::LengthDelimited, &mut request);
        encode_varint(resource_spans as u64, &mut request);
        put_bytes(&mut request, 1, &self.resource);
        encode_key(2, WireType::LengthDelimited, &mut request);
        encode_varint(scope_spans as u64, &mut request);
        put_bytes(&mut request, 1, &self.scope);
        request.put_slice(&self.spans);
        self.spans.clear();
        (request.freeze(), std::mem::take(&mut self.count))
    }
}

/// The length of a length-delimited field whose number is below 16.
fn len_field(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

/// The key of a field. Those below 16, which are nearly all, take a byte.
#[inline]
fn put_key(buf: &mut impl BufMut, tag: u32, wire_type: WireType) {
    if tag < 16 {
        buf.put_u8((tag << 3) as u8 | wire_type as u8);
    } else {
        encode_key(tag, wire_type, buf);
    }
}

/// A number, which is small nearly always.
#[inline]
fn put_varint(buf: &mut impl BufMut, number: u64) {
    if number < 0x80 {
        buf.put_u8(number as u8);
    } else {
        encode_varint(number, buf);
    }
}

fn put_bytes(buf: &mut impl BufMut, tag: u32, bytes: &[u8]) {
    put_key(buf, tag, WireType::LengthDelimited);
    put_varint(buf, bytes.len() as u64);
    buf.put_slice(bytes);
}

fn put_uint(buf: &mut impl BufMut, tag: u32, value: u64) {
    put_key(buf, tag, WireType::Varint);
    put_varint(buf, value);
}

fn put_time(buf: &mut impl BufMut, tag: u32, at: Micros) {
    put_key(buf, tag, WireType::SixtyFourBit);
    buf.put_u64_le(u64::try_from(at.0).unwrap_or(0).saturating_mul(1000));
}

fn put_span(buf: &mut Vec<u8>, inner: &mut Vec<u8>, record: &SpanRecord) {
    put_bytes(buf, 1, &record.trace_id.to_be_bytes());
    put_bytes(buf, 2, &record.span_id.to_be_bytes());
    if let Some(parent) = record.parent_span_id {
        put_bytes(buf, 4, &parent.to_be_bytes());
    }
    put_bytes(buf, 5, record.name.as_bytes());
    put_uint(buf, 6, kind_number(record.kind));
    put_time(buf, 7, record.start);
    put_time(buf, 8, record.end);
    put_attributes(buf, ATTRIBUTES, &record.attributes);
    for event in &record.events {
        inner.clear();
        put_event(inner, event);
        put_bytes(buf, 11, inner);
    }
    for (trace_id, span_id) in &record.links {
        inner.clear();
        put_bytes(inner, 1, &trace_id.to_be_bytes());
        put_bytes(inner, 2, &span_id.to_be_bytes());
        put_flags(inner, 6, false);
        put_bytes(buf, 13, inner);
    }
    if let Some(message) = &record.error {
        inner.clear();
        put_bytes(inner, 2, message.as_bytes());
        put_uint(inner, 3, STATUS_ERROR);
        put_bytes(buf, 15, inner);
    }
    put_flags(buf, 16, record.parent_is_remote);
}

fn put_flags(buf: &mut Vec<u8>, tag: u32, remote: bool) {
    put_key(buf, tag, WireType::ThirtyTwoBit);
    let remote = if remote { FLAGS_IS_REMOTE } else { 0 };
    buf.put_u32_le(FLAGS_SAMPLED | FLAGS_HAS_IS_REMOTE | remote);
}

fn put_event(buf: &mut Vec<u8>, event: &SpanEvent) {
    put_time(buf, 1, event.at);
    put_bytes(buf, 2, event.name.as_bytes());
    put_attributes(buf, 3, &event.attributes);
}

fn kind_number(kind: SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn put_attributes(buf: &mut Vec<u8>, tag: u32, attributes: &Attributes) {
    for (key, value) in attributes {
        let any_value = any_value_len(value);
        put_key(buf, tag, WireType::LengthDelimited);
        put_varint(buf, (len_field(key.len()) + len_field(any_value)) as u64);
        put_bytes(buf, 1, key.as_bytes());
        put_key(buf, 2, WireType::LengthDelimited);
        put_varint(buf, any_value as u64);
        put_any_value(buf, value);
    }
}

const UUID_TEXT: usize = uuid::fmt::Hyphenated::LENGTH;

fn any_value_len(value: &Value) -> usize {
    match value {
        Value::Static(text) => len_field(text.len()),
        Value::Shared(text) => len_field(text.len()),
        Value::String(text) | Value::Json(text) => len_field(text.len()),
        Value::Uuid(_) => len_field(UUID_TEXT),
        Value::TraceId(_) => len_field(32),
        Value::SpanId(_) => len_field(16),
        Value::Bool(_) => 2,
        Value::I64(number) => 1 + encoded_len_varint(*number as u64),
        Value::F64(_) => 9,
        Value::Null => 0,
    }
}

fn put_any_value(buf: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Static(text) => put_bytes(buf, 1, text.as_bytes()),
        Value::Shared(text) => put_bytes(buf, 1, text.as_bytes()),
        Value::String(text) | Value::Json(text) => put_bytes(buf, 1, text.as_bytes()),
        Value::Uuid(id) => {
            let mut text = [0u8; UUID_TEXT];
            put_bytes(buf, 1, id.hyphenated().encode_lower(&mut text).as_bytes());
        }
        Value::TraceId(id) => put_bytes(buf, 1, id.simple().encode_lower(&mut [0u8; 32]).as_bytes()),
        Value::SpanId(id) => put_bytes(buf, 1, format!("{id:016x}").as_bytes()),
        Value::Bool(truth) => put_uint(buf, 2, u64::from(*truth)),
        Value::I64(number) => put_uint(buf, 3, *number as u64),
        Value::F64(number) => {
            put_key(buf, 4, WireType::SixtyFourBit);
            buf.put_f64_le(*number);
        }
        Value::Null => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
