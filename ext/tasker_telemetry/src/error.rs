//! Owns: what telemetry refuses. It never fails a worker: errors come from settings that somebody just asked for.

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used; says which, and what to write.
    #[error("{0}")]
    Configuration(String),
    /// The system refused, a thread perhaps.
    #[error("{0}")]
    Internal(String),
}

/// With [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
