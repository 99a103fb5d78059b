//! Owns: how what went wrong in Rust becomes a Ruby exception: each variant of the engine's error
//! has a class of its own under `TaskerCore`, and a panic is an `InternalError`. Refuses: panics
//! that cross into Ruby, where magnus would make an unrescuable `fatal` of them.

use std::any::Any;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};

use magnus::prelude::*;
use magnus::{kwargs, Error, Exception, ExceptionClass, RModule, Ruby};
use tasker_engine::error::Error as EngineError;

/// Why an entry point did not answer.
pub enum Fault {
    /// Ruby raised, or is unwinding for `Thread#kill` or `throw`.
    Ruby(Error),
    /// The engine refused.
    Engine(EngineError),
    /// Rust code panicked; the message.
    Panic(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Ruby(error)
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Fault::Engine(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Ruby(error) => error.fmt(f),
            Fault::Engine(error) => error.fmt(f),
            Fault::Panic(message) => write!(f, "panic: {message}"),
        }
    }
}

/// Every entry point's body runs in here.
pub fn guard<T>(ruby: &Ruby, body: impl FnOnce() -> Result<T, Fault>) -> Result<T, Error> {
    let fault = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(fault)) => fault,
        Err(panic) => Fault::Panic(panic_message(&*panic)),
    };
    Err(match fault {
        Fault::Ruby(error) => error,
        Fault::Engine(error) => exception(ruby, &error).map_or_else(|error| error, Error::from),
        Fault::Panic(message) => {
            let error = EngineError::Internal(format!("panic: {message}"));
            exception(ruby, &error).map_or_else(|error| error, Error::from)
        }
    })
}

/// The exception, not raised, that says what `error` says.
pub fn exception(ruby: &Ruby, error: &EngineError) -> Result<Exception, Error> {
    let name = match error {
        EngineError::Template { .. } => "TemplateError",
        EngineError::InvalidInput(_) => "InvalidInputError",
        EngineError::SchemaViolation { .. } => "SchemaViolationError",
        EngineError::NotFound(_) => "NotFoundError",
        EngineError::IllegalTransition(_) => "IllegalTransitionError",
        EngineError::Configuration(_) => "ConfigurationError",
        EngineError::Store(_)
        | EngineError::Contention(_)
        | EngineError::Refused(_)
        | EngineError::Unknown(_)
        | EngineError::LeaseLost(_) => "StoreError",
        EngineError::Stopped(_) | EngineError::Interrupted => "StoppedError",
        EngineError::Internal(_) => "InternalError",
    };
    let module: RModule = ruby.class_object().const_get("TaskerCore")?;
    let class: ExceptionClass = module.const_get(name)?;
    let message = error.to_string();
    match error {
        EngineError::SchemaViolation { field, .. } => {
            class.new_instance((message, kwargs!(ruby, "field" => field.as_str())))
        }
        _ => class.new_instance((message,)),
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
