//! Owns: step events out to Ruby and completions back in: the two calls every step makes, so both
//! are made for speed. Refuses: reading JSON. Contexts, configs and results cross as text, which is only
//! checked to be JSON; who wants one parses it.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use magnus::error::ErrorType;
use magnus::prelude::*;
use magnus::value::Opaque;
use magnus::{function, Error, IntoValue, RArray, RHash, RModule, RString, Ruby, StaticSymbol, TryConvert, Value};
use serde_json::value::RawValue;
use tasker_engine::channel::{Channel, StepCompletion, StepEvent};
use tasker_engine::clock::Micros;
use tasker_engine::error::Error as EngineError;
use tasker_engine::step::StepError;
use uuid::Uuid;

use crate::convert::{self, Keys};
use crate::errors::{guard, panic_message, Fault};
use crate::{events, gvl, runtime};

/// So that a deadline can always be computed.
const LONGEST_POLL: Duration = Duration::from_secs(3600);

static KEYS: OnceLock<Keys> = OnceLock::new();

fn keys(ruby: &Ruby) -> &'static Keys {
    KEYS.get_or_init(|| Keys::intern(ruby))
}

/// The next step event as a Hash; nil when none came within `timeout` seconds; false when the
/// channel is closed and empty. The GVL is released only when there is nothing to take and nothing
/// about to come: a thread that gives it up for a commit's time gets it back behind every handler
/// that computes, 100 ms later. The event is taken only with the GVL in hand: none is held by a
/// thread that waits for its turn.
fn poll_step_event(ruby: &Ruby, timeout: f64) -> Result<Value, Error> {
    guard(ruby, || {
        let engine = runtime::engine()?;
        let channel = engine.channel();
        ruby.thread_check_ints()?;
        if let Some(event) = channel.try_poll().or_else(|| channel.wait_briefly()) {
            return hand_over(ruby, channel, &event);
        }
        let until = Instant::now() + convert::seconds(timeout)?.min(LONGEST_POLL);
        let stretch = gvl::stretch(ruby);
        loop {
            let (came, woken) = gvl::without(ruby, |interrupt| {
                let left = until.saturating_duration_since(Instant::now());
                match channel.wait(left.min(stretch), interrupt) {
                    Err(EngineError::Interrupted) => None,
                    Ok(false) if left > stretch && !channel.is_closed() => None,
                    other => Some((other, Instant::now())),
                }
            })?;
            let came = came?;
            match channel.try_poll() {
                Some(event) => {
                    engine.metrics().gvl_wait.record(woken.elapsed().as_secs_f64() * 1e3);
                    return hand_over(ruby, channel, &event);
                }
                None if came => {} // another thread was faster
                None if channel.is_closed() => return Ok(ruby.qfalse().as_value()),
                None => return Ok(ruby.qnil().as_value()),
            }
        }
    })
}

/// The event as a Hash. One that cannot be made fails the attempt: it was taken, and nobody else can have it.
fn hand_over(ruby: &Ruby, channel: &Channel, event: &StepEvent) -> Result<Value, Fault> {
    let error = match catch_unwind(AssertUnwindSafe(|| event_hash(ruby, event))) {
        Ok(Ok(hash)) => return Ok(hash),
        Ok(Err(fault)) => fault,
        Err(panic) => Fault::Panic(panic_message(&*panic)),
    };
    let message = format!("the step event could not be handed to Ruby: {error}");
    channel.fail_event(event.event_id, lost("TaskerCore::InternalError", message));
    Err(error)
}

/// The error of an attempt that the border between Ruby and the engine lost.
fn lost(class_name: &str, message: String) -> StepError {
    StepError { class_name: class_name.into(), message, retryable: true, ..StepError::default() }
}

/// A Hash filled in one call; pairs whose value is `None` are left out.
struct Pairs<'a, const N: usize> {
    ruby: &'a Ruby,
    cells: [Value; N],
    used: usize,
}

impl<'a, const N: usize> Pairs<'a, N> {
    fn new(ruby: &'a Ruby) -> Self {
        Pairs { ruby, cells: [ruby.qnil().as_value(); N], used: 0 }
    }

    fn put(&mut self, key: Opaque<StaticSymbol>, value: impl IntoValue) {
        self.cells[self.used] = self.ruby.get_inner(key).as_value();
        self.cells[self.used + 1] = value.into_value_with(self.ruby);
        self.used += 2;
    }

    fn put_some(&mut self, key: Opaque<StaticSymbol>, text: Option<&str>) {
        if let Some(text) = text {
            self.put(key, self.ruby.str_new(text));
        }
    }

    fn hash(&self) -> Result<RHash, Error> {
        let hash = self.ruby.hash_new();
        hash.bulk_insert(&self.cells[..self.used])?;
        Ok(hash)
    }
}

fn event_hash(ruby: &Ruby, event: &StepEvent) -> Result<Value, Fault> {
    let keys = keys(ruby);
    // A name is the same for thousands of events: Ruby keeps one frozen String of it.
    let name = |text: &str| ruby.str_new(text).to_interned_str();

    let mut step = Pairs::<20>::new(ruby);
    step.put(keys.namespace, name(&event.namespace));
    step.put(keys.task_name, name(&event.task_name));
    step.put(keys.step_name, name(&event.step_name));
    step.put(keys.handler, name(&event.handler));
    step.put(keys.attempt, event.attempt);
    step.put(keys.max_attempts, event.max_attempts);
    if let Some(seconds) = event.timeout_seconds {
        step.put(keys.timeout_seconds, seconds);
    }
    step.put(keys.context, ruby.str_new(&event.context));
    if !event.dependency_results.is_empty() {
        let results = ruby.hash_new();
        for (step_name, json) in &event.dependency_results {
            results.aset(name(step_name), ruby.str_new(json))?;
        }
        step.put(keys.dependency_results, results);
    }
    step.put(keys.config, name(&event.config));

    let mut pairs = Pairs::<22>::new(ruby);
    pairs.put(keys.event_id, convert::uuid_string(ruby, event.event_id));
    pairs.put(keys.task_uuid, convert::uuid_string(ruby, event.task_uuid));
    pairs.put(keys.step_uuid, convert::uuid_string(ruby, event.step_uuid));
    pairs.put(keys.correlation_id, convert::uuid_string(ruby, event.correlation_id));
    if let Some(parent) = event.parent_correlation_id {
        pairs.put(keys.parent_correlation_id, convert::uuid_string(ruby, parent));
    }
    pairs.put_some(keys.trace_id, event.trace_id.as_deref());
    pairs.put_some(keys.span_id, event.span_id.as_deref());
    pairs.put_some(keys.traceparent, event.traceparent.as_deref());
    pairs.put(keys.dispatched_at_us, event.dispatched_at.0);
    if let Some(publishers) = &event.publishers {
        pairs.put(keys.publishers, events::publishers(ruby, publishers)?);
    }
    pairs.put(keys.task_sequence_step, step.hash()?);
    Ok(pairs.hash()?.as_value())
}

/// Takes a completion: a Hash with the event's ids and the outcome. Never blocks. One that cannot be read fails the
/// attempt; only without a readable event_id it is refused.
fn complete_step_event(ruby: &Ruby, payload: RHash) -> Result<(), Error> {
    guard(ruby, || {
        let event_id = convert::uuid_at(ruby, payload, keys(ruby).event_id)?;
        let engine = runtime::engine()?;
        let read = catch_unwind(AssertUnwindSafe(|| completion(ruby, event_id, payload)));
        let fault = match read {
            Ok(Ok(completion)) => {
                engine.channel().complete(completion);
                return Ok(());
            }
            Ok(Err(fault)) => fault,
            Err(panic) => Fault::Panic(panic_message(&*panic)),
        };
        let message = format!("the step's completion cannot be read: {fault}");
        engine.channel().complete(StepCompletion::failed(event_id, lost("TaskerCore::InvalidInputError", message)));
        match fault {
            // The thread is being killed, or jumps: that goes on.
            Fault::Ruby(error) if matches!(error.error_type(), ErrorType::Jump(_)) => Err(error.into()),
            _ => Ok(()),
        }
    })
}

/// Completes the event as failed, unless it was answered. Whether it was not.
fn fail_step_event(ruby: &Ruby, event_id: RString, class_name: String, message: String) -> Result<bool, Error> {
    guard(ruby, || {
        let event_id = convert::uuid(event_id)?;
        Ok(runtime::engine()?.channel().fail_event(event_id, lost(&class_name, message)))
    })
}

fn completion(ruby: &Ruby, event_id: Uuid, payload: RHash) -> Result<StepCompletion, Fault> {
    let keys = keys(ruby);
    let success: bool = convert::optional(ruby, payload, keys.success)?.unwrap_or(false);
    let outcome = if success {
        match convert::get(ruby, payload, keys.result) {
            Some(result) => result_text(result),
            None => Ok("null".to_owned()),
        }
    } else {
        Err(match convert::optional::<RHash>(ruby, payload, keys.error)? {
            Some(error) => step_error(ruby, error)?,
            None => StepError { message: "the handler failed without an error".into(), ..StepError::default() },
        })
    };
    let metadata: Option<RHash> = convert::optional(ruby, payload, keys.metadata)?;
    let measured = |key| metadata.and_then(|metadata| convert::get(ruby, metadata, key));
    Ok(StepCompletion {
        event_id,
        task_uuid: convert::uuid_at(ruby, payload, keys.task_uuid)?,
        step_uuid: convert::uuid_at(ruby, payload, keys.step_uuid)?,
        outcome,
        started_at: measured(keys.started_at_us).map(i64::try_convert).transpose()?.map(Micros),
        execution_time_ms: measured(keys.execution_time_ms).map(f64::try_convert).transpose()?,
        trace_id: convert::optional(ruby, payload, keys.trace_id)?,
        span_id: convert::optional(ruby, payload, keys.span_id)?,
        said: events::said(
            convert::optional(ruby, payload, keys.events)?,
            convert::optional(ruby, payload, keys.payloads)?,
        )?,
    })
}

/// The result's text, when it is JSON: what is not, no store and no step after this one could read. An object of the
/// application's may have written it.
fn result_text(result: Value) -> Result<String, StepError> {
    let unserializable = |reason: String| StepError {
        retryable: false,
        ..lost("TaskerCore::UnserializableResultError", format!("the result is not JSON: {reason}"))
    };
    let text = RString::from_value(result).ok_or_else(|| unserializable("it came as no String".into()))?;
    let checked = gvl::with_str(text, |text| match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(unserializable(error.to_string())),
    });
    checked.unwrap_or_else(|_| Err(unserializable("its text is not valid UTF-8".into())))
}

fn step_error(ruby: &Ruby, error: RHash) -> Result<StepError, Fault> {
    let keys = keys(ruby);
    let backtrace = match convert::optional::<RArray>(ruby, error, keys.backtrace)? {
        Some(lines) => lines.to_vec()?,
        None => Vec::new(),
    };
    Ok(StepError {
        class_name: convert::optional(ruby, error, keys.class)?.unwrap_or_default(),
        message: convert::optional(ruby, error, keys.message)?.unwrap_or_default(),
        masked: convert::optional(ruby, error, keys.masked)?,
        code: convert::optional(ruby, error, keys.code)?,
        field: convert::optional(ruby, error, keys.field)?,
        backtrace,
        attempt: 0,
        retryable: convert::optional(ruby, error, keys.retryable)?.unwrap_or(true),
        retry_after: convert::optional(ruby, error, keys.retry_after)?,
    })
}

/// Whether the event's step no longer needs an answer: cancelled, timed out, handed back.
fn step_cancelled(ruby: &Ruby, event_id: RString) -> Result<bool, Error> {
    guard(ruby, || {
        let event_id = convert::uuid(event_id)?;
        Ok(runtime::engine()?.channel().cancelled(event_id))
    })
}

/// Ends every poll: events that are left are still handed out, then polls return false.
fn close_channel(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || {
        if runtime::is_open() {
            runtime::engine()?.channel().close();
        }
        Ok(())
    })
}

#[cfg(feature = "test_hooks")]
/// Panics, with the GVL or without it: how the specs see that a panic ends as an `InternalError`.
fn simulate_panic(ruby: &Ruby, without_gvl: bool) -> Result<bool, Error> {
    let panic = || -> bool { std::panic::resume_unwind(Box::new("simulated")) };
    guard(ruby, || if without_gvl { gvl::without(ruby, |_| Some(panic())) } else { Ok(panic()) })
}

#[cfg(feature = "test_hooks")]
/// Makes the engine's thread panic: how the specs see what becomes of its worker.
fn simulate_engine_panic(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || {
        runtime::engine()?.simulate_panic();
        Ok(())
    })
}

/// Whether the engine's thread has died. Then nothing that this process's worker does is settled any more.
fn engine_failed(ruby: &Ruby) -> Result<bool, Error> {
    guard(ruby, || Ok(runtime::is_open() && runtime::engine()?.channel().has_failed()))
}

/// The longest, in milliseconds, that a poll has waited without releasing the GVL since the engine was opened.
fn longest_wait_with_gvl(ruby: &Ruby) -> Result<f64, Error> {
    guard(ruby, || Ok(runtime::engine()?.channel().longest_brief().as_secs_f64() * 1e3))
}

/// Defines the module's functions.
pub fn init(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    keys(ruby);
    native.define_singleton_method("poll_step_event", function!(poll_step_event, 1))?;
    native.define_singleton_method("complete_step_event", function!(complete_step_event, 1))?;
    native.define_singleton_method("fail_step_event", function!(fail_step_event, 3))?;
    native.define_singleton_method("step_cancelled?", function!(step_cancelled, 1))?;
    native.define_singleton_method("close_channel", function!(close_channel, 0))?;
    #[cfg(feature = "test_hooks")]
    {
        native.define_singleton_method("simulate_panic", function!(simulate_panic, 1))?;
        native.define_singleton_method("simulate_engine_panic", function!(simulate_engine_panic, 0))?;
    }
    native.define_singleton_method("engine_failed?", function!(engine_failed, 0))?;
    native.define_singleton_method("longest_wait_with_gvl", function!(longest_wait_with_gvl, 0))
}
