//! Owns: what is fuzzed: one function for each kind of text that comes from outside, and what must hold of it besides that
//! nothing panics. For libFuzzer (`fuzz_targets`) and for `tests/fuzz.rs`.

use serde_json::value::RawValue;
use serde_json::Value;
use tasker_engine::config::Config;
use tasker_engine::error::Error;
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::template::Template;
use tasker_telemetry::record::context::{parse_ids, TraceContext};
use uuid::Uuid;

/// What is fuzzed under a name.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("template", template),
    ("traceparent", traceparent),
    ("connection_string", connection_string),
    ("completion", completion),
];

/// A template's document, as YAML and as JSON: what is accepted comes back the same from its own text, and what is
/// refused is refused with words.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for read in [Template::from_yaml, Template::from_json] {
        match read("fuzz", text) {
            Ok(template) => {
                let json = template.to_json();
                let again = Template::from_json("fuzz", &json).expect("its own text is accepted");
                assert_eq!((&again, again.to_json()), (&template, json));
                let order = template.topological_order();
                assert_eq!(order.len(), template.steps.len());
                let _ = template.validate_context(&Value::Object(serde_json::Map::new()));
            }
            Err(Error::Template { message, .. }) => assert!(!message.is_empty()),
            Err(other) => panic!("refused as something else: {other}"),
        }
    }
}

/// A `traceparent` header: what is accepted is written again as the same context, in the standard's shape.
pub fn traceparent(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(context) = TraceContext::parse_traceparent(text) else { return };
    assert!(context.trace_id != 0 && context.span_id != 0, "an id of zeros is none");
    let written = context.to_traceparent();
    assert_eq!((written.len(), TraceContext::parse_traceparent(&written)), (55, Some(context)));
    let ids = parse_ids(&context.trace_id_hex(), &context.span_id_hex());
    assert_eq!(ids, Some((context.trace_id, context.span_id)));
}

/// A PostgreSQL URL in `config.database`: what is said of it, good or bad, never shows the password.
pub fn connection_string(data: &[u8]) {
    const PASSWORD: &str = "hush-hush";
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = text.replace("PASSWORD", PASSWORD);
    let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    let secret = password.is_some_and(|(_, password)| password.contains(PASSWORD));
    let said = match PostgresStore::describe_url(&Config { database: text.clone(), ..Config::default() }) {
        Ok(described) => described,
        Err(Error::Configuration(message)) => message,
        Err(other) => panic!("refused as something else: {other}"),
    };
    if secret && text.matches(PASSWORD).count() == 1 {
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

/// What comes back with a completion, a line each: three UUIDs, the ids of the trace and of the span, and the result.
pub fn completion(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(6, '\n');
    for uuid in lines.by_ref().take(3).filter_map(|line| Uuid::try_parse(line).ok()) {
        assert_eq!(Uuid::try_parse(&uuid.to_string()), Ok(uuid));
    }
    let (trace_id, span_id) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if let Some((trace, span)) = parse_ids(trace_id, span_id) {
        assert_eq!((format!("{trace:032x}"), format!("{span:016x}")), (trace_id.to_owned(), span_id.to_owned()));
    }
    let result = lines.next().unwrap_or_default();
    if let Ok(raw) = serde_json::from_str::<&RawValue>(result) {
        assert_eq!(raw.get(), result.trim_matches([' ', '\t', '\r', '\n']), "kept as it came");
    }
}
