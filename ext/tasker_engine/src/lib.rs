//! The engine of tasker_core: durable, traced workflows. Pure Rust, no Ruby.

pub mod clock;
pub mod error;
pub mod ids;
pub mod template;
