//! Owns: the words both sides use for the keys of an event and of a completion, and reading values
//! out of a Hash. Refuses: building any particular Hash.

use std::time::Duration;

use magnus::prelude::*;
use magnus::value::Opaque;
use magnus::{RHash, RString, Ruby, StaticSymbol, TryConvert, Value};
use tasker_engine::error::Error as EngineError;
use uuid::Uuid;

use crate::errors::Fault;
use crate::gvl;

macro_rules! keys {
    ($($name:ident),+ $(,)?) => {
        /// The Symbols of every key, interned once: making a Symbol from text for each key of each
        /// event would cost more than the rest of the event.
        #[derive(Clone, Copy)]
        pub struct Keys { $(pub $name: Opaque<StaticSymbol>),+ }

        impl Keys {
            /// Interns them all.
            pub fn intern(ruby: &Ruby) -> Keys {
                Keys { $($name: ruby.sym_new(stringify!($name)).into()),+ }
            }
        }
    };
}

keys!(
    event_id,
    task_uuid,
    step_uuid,
    correlation_id,
    parent_correlation_id,
    trace_id,
    span_id,
    traceparent,
    dispatched_at_us,
    task_sequence_step,
    namespace,
    task_name,
    step_name,
    handler,
    attempt,
    max_attempts,
    timeout_seconds,
    context,
    dependency_results,
    config,
    success,
    result,
    error,
    metadata,
    class,
    message,
    masked,
    code,
    field,
    backtrace,
    retryable,
    retry_after,
    started_at_us,
    execution_time_ms,
    events,
    payloads,
    publishers,
);

/// What the Hash has for the key; `None` for nil and for no such key.
pub fn get(ruby: &Ruby, hash: RHash, key: Opaque<StaticSymbol>) -> Option<Value> {
    hash.get(ruby.get_inner(key)).filter(|value| !value.is_nil())
}

/// The value as a Rust type; `None` for nil and for no such key.
pub fn optional<T: TryConvert>(ruby: &Ruby, hash: RHash, key: Opaque<StaticSymbol>) -> Result<Option<T>, Fault> {
    get(ruby, hash, key).map(T::try_convert).transpose().map_err(Fault::from)
}

/// The value as a UUID, which must be there.
pub fn uuid_at(ruby: &Ruby, hash: RHash, key: Opaque<StaticSymbol>) -> Result<Uuid, Fault> {
    let string: Option<RString> = optional(ruby, hash, key)?;
    let Some(string) = string else {
        let name = ruby.get_inner(key);
        return Err(EngineError::InvalidInput(format!("{name} is missing; bring back the event's own")).into());
    };
    uuid(string)
}

/// A UUID in its hyphenated form.
pub fn uuid(string: RString) -> Result<Uuid, Fault> {
    let refuse =
        |shown: &str| EngineError::InvalidInput(format!("{shown} is not a UUID; pass the task_uuid as it came"));
    match gvl::with_str(string, |text| Uuid::try_parse(text).map_err(|_| refuse(&format!("{text:?}")))) {
        Ok(uuid) => Ok(uuid?),
        Err(_) => Err(refuse("what is not UTF-8").into()),
    }
}

/// The UUID as a Ruby String.
pub fn uuid_string(ruby: &Ruby, uuid: Uuid) -> RString {
    ruby.str_new(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// Seconds from Ruby as a duration; what is negative or not a number is refused.
pub fn seconds(value: f64) -> Result<Duration, Fault> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| EngineError::InvalidInput(format!("{value} is not a number of seconds; use zero or more")).into())
}
