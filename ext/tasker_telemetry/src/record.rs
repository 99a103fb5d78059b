//! Owns: what happened, as facts: spans ([`spans`]), log lines ([`line`]), numbers ([`metrics`]), and the context they happened
//! in ([`context`]). This is all of telemetry that the engine sees. Cheap: nothing here waits, sends, or starts a thread.
//! Refuses: OpenTelemetry. What becomes of a fact is the affair of whoever listens: `export` and `console`.

pub mod context;
pub mod counts;
pub mod line;
pub mod metrics;
pub mod sampling;
mod span;
pub mod spans;
pub mod tap;
