//! The bytes must decode, with prost's own messages, into exactly what was recorded.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use uuid::Uuid;

use super::*;

fn record() -> SpanRecord {
    SpanRecord {
        name: "worker.step_execution",
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        span_id: 0xb7ad_6b71_6920_3331,
        parent_span_id: Some(7),
        parent_is_remote: true,
        kind: SpanKind::Consumer,
        start: Micros(1_700_000_000_000_001),
        end: Micros(1_700_000_000_000_002),
        common: None,
        attributes: vec![
            ("static", "a".into()),
            ("shared", Value::Shared("b".repeat(300).into())),
            ("string", String::new().into()),
            ("uuid", Uuid::nil().into()),
            ("int", (-5i64).into()),
            ("float", 0.5.into()),
            ("bool", false.into()),
        ],
        events: vec![SpanEvent { name: "happened", at: Micros(5), attributes: vec![("n", 1i64.into())] }],
        links: vec![(1, 2)],
        error: Some("boom".into()),
    }
}

fn decode(bytes: Bytes) -> (Resource, InstrumentationScope, Vec<Span>) {
    let mut request = ExportTraceServiceRequest::decode(bytes).unwrap();
    let mut resource_spans = request.resource_spans.remove(0);
    let scope_spans = resource_spans.scope_spans.remove(0);
    assert!(request.resource_spans.is_empty() && resource_spans.scope_spans.is_empty());
    (resource_spans.resource.unwrap(), scope_spans.scope.unwrap(), scope_spans.spans)
}

#[test]
fn what_was_recorded_is_what_decodes() {
    let scope = InstrumentationScope { name: "tasker_core".into(), ..Default::default() };
    let mut encoder = Encoder::new(&Resource::default(), &scope);
    let plain = SpanRecord {
        parent_span_id: None,
        parent_is_remote: false,
        common: None,
        attributes: vec![],
        events: vec![],
        links: vec![],
        error: None,
        ..record()
    };
    encoder.push(&record());
    encoder.push(&plain);
    let (bytes, count) = encoder.take();
    assert_eq!((count, encoder.count(), encoder.size()), (2, 0, 0));
    let (resource, got_scope, spans) = decode(bytes);
    assert_eq!((resource, got_scope), (Resource::default(), scope));

    let span = &spans[0];
    assert_eq!(span.trace_id, record().trace_id.to_be_bytes());
    assert_eq!(span.span_id, record().span_id.to_be_bytes());
    assert_eq!(span.parent_span_id, 7u64.to_be_bytes());
    assert_eq!((span.name.as_str(), span.kind, span.flags), ("worker.step_execution", 5, 0x301));
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_001_000);
    assert_eq!(span.end_time_unix_nano, 1_700_000_000_000_002_000);
    let values: Vec<Any> = span.attributes.iter().map(|pair| pair.value.clone().unwrap().value.unwrap()).collect();
    assert_eq!(
        values,
        [
            Any::StringValue("a".into()),
            Any::StringValue("b".repeat(300)),
            Any::StringValue(String::new()),
            Any::StringValue("00000000-0000-0000-0000-000000000000".into()),
            Any::IntValue(-5),
            Any::DoubleValue(0.5),
            Any::BoolValue(false),
        ]
    );
    assert_eq!(span.attributes[1].key, "shared");
    assert_eq!((span.events[0].name.as_str(), span.events[0].time_unix_nano), ("happened", 5_000));
    assert_eq!(span.events[0].attributes[0].key, "n");
    assert_eq!(span.links[0].trace_id, 1u128.to_be_bytes());
    assert_eq!(span.links[0].span_id, 2u64.to_be_bytes());
    let status = span.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "boom"));

    let span = &spans[1];
    assert!(span.parent_span_id.is_empty() && span.status.is_none() && span.attributes.is_empty());
    assert_eq!(span.flags, 0x101);
}

#[test]
fn what_spans_share_is_in_each_of_them() {
    let shared = |text: &'static str| Some(Arc::new(vec![("shared", Value::Static(text))]));
    let (first, second) = (shared("first"), shared("second"));
    let ids = vec![("trace", Value::TraceId(Uuid::from_u128(0x1f))), ("span", Value::SpanId(0x2f))];
    let mut encoder = Encoder::new(&Resource::default(), &InstrumentationScope::default());
    for common in [&first, &first, &second, &None, &first] {
        encoder.push(&SpanRecord { common: common.clone(), attributes: ids.clone(), ..record() });
    }
    let (_, _, spans) = decode(encoder.take().0);
    let said = |span: &Span| {
        let text = |value: &Any| if let Any::StringValue(text) = value { text.clone() } else { unreachable!() };
        let values = span.attributes.iter().map(|pair| text(pair.value.as_ref().unwrap().value.as_ref().unwrap()));
        values.collect::<Vec<_>>().join(" ")
    };
    let own = "0000000000000000000000000000001f 000000000000002f";
    let expected = ["first ", "first ", "second ", "", "first "].map(|shared| format!("{shared}{own}"));
    assert_eq!(spans.iter().map(said).collect::<Vec<_>>(), expected);
}
