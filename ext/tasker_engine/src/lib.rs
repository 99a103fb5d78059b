//! The engine of tasker_core: durable, traced workflows, without Ruby.

pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
pub mod telemetry;
