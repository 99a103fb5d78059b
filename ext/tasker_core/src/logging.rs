//! Owns: log lines that Ruby writes, through the same subscriber as the engine's own. Refuses:
//! deciding what is worth a line.

use magnus::{function, Error, Object, RModule, Ruby};

use crate::errors::guard;

/// The target that tells Ruby's lines from the engine's.
const TARGET: &str = "tasker_core::ruby";

/// Writes a line. `level` is error, warn, info, debug or trace; `fields` a JSON object.
fn log(ruby: &Ruby, level: String, message: String, fields: String) -> Result<(), Error> {
    guard(ruby, || {
        match level.as_str() {
            "error" => tracing::error!(target: TARGET, fields, "{message}"),
            "warn" => tracing::warn!(target: TARGET, fields, "{message}"),
            "info" => tracing::info!(target: TARGET, fields, "{message}"),
            "debug" => tracing::debug!(target: TARGET, fields, "{message}"),
            _ => tracing::trace!(target: TARGET, fields, "{message}"),
        }
        Ok(())
    })
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("log", function!(log, 3))
}
