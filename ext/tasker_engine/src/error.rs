//! Owns: the one error type of the engine. Each variant says what happened, where, and what to do.

use thiserror::Error;

/// What can go wrong in the engine. The FFI layer turns each variant into a Ruby exception of its own.
#[derive(Debug, Error)]
pub enum Error {
    /// A template that cannot be used. `source_name` is the file, or `DSL`.
    #[error("{source_name}: {message}")]
    Template {
        /// The file the template came from, or what else names it.
        source_name: String,
        /// What is wrong, in which step, and the hint.
        message: String,
    },
    /// A request that cannot be taken as it stands; nothing was changed.
    #[error("{0}")]
    InvalidInput(String),
    /// The context does not fit the template's `input_schema`.
    #[error("{message}")]
    SchemaViolation {
        /// JSON pointer of the first value that does not fit; empty for the whole context.
        field: String,
        /// Every violation, one a line.
        message: String,
    },
    /// No such task, step or template.
    #[error("{0}")]
    NotFound(String),
    /// The state does not allow what was asked.
    #[error("{0}")]
    IllegalTransition(String),
    /// A setting that cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The database refused, or is gone.
    #[error("store: {0}")]
    Store(String),
    /// The database made this transaction give way to another one; nothing of it happened, and it may be tried again.
    #[error("store: {0}")]
    Contention(String),
    /// The database refused what a transaction wrote, or holds what makes no sense to this version: it will be so again.
    /// Nothing of the transaction happened.
    #[error("store: {0}")]
    Refused(String),
    /// The answer to a commit was lost, and whether it happened could not be found out.
    #[error("store: {0}")]
    Unknown(String),
    /// This worker's lease ran out, and others have taken over its claims; nothing of the transaction happened.
    #[error("the worker's lease has run out: {0}")]
    LeaseLost(String),
    /// The engine is stopped or stopping.
    #[error("{0}")]
    Stopped(String),
    /// The caller asked to stop waiting (a signal, `Thread#kill`).
    #[error("interrupted while waiting")]
    Interrupted,
    /// A fault of the engine's own.
    #[error("internal error: {0}; please report it with the log lines around it")]
    Internal(String),
}

impl From<tasker_telemetry::Error> for Error {
    fn from(error: tasker_telemetry::Error) -> Error {
        match error {
            tasker_telemetry::Error::Configuration(message) => Error::Configuration(message),
            tasker_telemetry::Error::Internal(message) => Error::Internal(message),
        }
    }
}

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether a whole transaction failed with it, not one request alone.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(
            self,
            Error::Store(_) | Error::Contention(_) | Error::Unknown(_) | Error::LeaseLost(_) | Error::Internal(_)
        )
    }

    /// The system did not give what `what` needs.
    pub fn cannot_start(what: &str, error: &std::io::Error) -> Error {
        let message = format!("cannot start {what}: {error}");
        match error.raw_os_error() {
            // EMFILE, ENFILE
            Some(24 | 23) => Error::Configuration(format!(
                "{message}: too many open files: raise RLIMIT_NOFILE (ulimit -n; LimitNOFILE= of a systemd unit)"
            )),
            // EAGAIN
            Some(11 | 35) => Error::Configuration(format!(
                "{message}: too many threads: raise RLIMIT_NPROC (ulimit -u; TasksMax= of a systemd unit)"
            )),
            _ => Error::Internal(message),
        }
    }

    /// A stable name for the variant, for logs and for the skin's exception classes.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Template { .. } => "template",
            Error::InvalidInput(_) => "invalid_input",
            Error::SchemaViolation { .. } => "schema_violation",
            Error::NotFound(_) => "not_found",
            Error::IllegalTransition(_) => "illegal_transition",
            Error::Configuration(_) => "configuration",
            Error::Store(_) => "store",
            Error::Contention(_) => "contention",
            Error::Refused(_) => "refused",
            Error::Unknown(_) => "unknown",
            Error::LeaseLost(_) => "lease_lost",
            Error::Stopped(_) => "stopped",
            Error::Interrupted => "interrupted",
            Error::Internal(_) => "internal",
        }
    }
}
