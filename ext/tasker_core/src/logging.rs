//! Owns: log lines that Ruby writes, through the same subscriber as the engine's own. Refuses:
//! deciding what is worth a line: Ruby has done that.

use magnus::{function, Error, Object, RHash, RModule, RString, Ruby};
use tasker_telemetry::record::context::TraceContext;
use tasker_telemetry::record::line::{self, Line, Severity};

use crate::errors::guard;
use crate::{fields, gvl};

/// Writes a line. `severity` is Ruby's number; `values` a Hash as [`fields::attributes`] reads it;
/// `traceparent` the span it is written in, `correlation_id` the task, each if there is one.
fn log(
    ruby: &Ruby,
    severity: u8,
    message: RString,
    values: Option<RHash>,
    traceparent: Option<RString>,
    correlation_id: Option<RString>,
) -> Result<(), Error> {
    guard(ruby, || {
        let context = traceparent.map(|text| gvl::with_str(text, TraceContext::parse_traceparent)).transpose()?;
        line::write(Line {
            severity: Severity::from_number(severity),
            message: fields::text(message)?,
            fields: fields::attributes(values)?,
            context: context.flatten(),
            correlation_id: correlation_id.map(fields::text).transpose()?,
        });
        Ok(())
    })
}

/// The lowest severity that the environment, or Ruby's settings, ask for; 6 for none.
fn log_level(_: &Ruby) -> u8 {
    line::level()
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("log", function!(log, 5))?;
    native.define_singleton_method("log_level", function!(log_level, 0))
}
