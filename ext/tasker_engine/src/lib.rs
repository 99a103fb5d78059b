//! The engine of tasker_core: durable, traced workflows. Pure Rust, no Ruby.
//!
//! # Layout
//! In the order in which a task moves through them:
//!
//! - nouns: [`task`], [`step`], [`graph`], [`template`], [`event`], [`state`], [`ids`], [`clock`], [`config`], [`error`]
//! - [`submission`]: a request becomes a task that fits its template
//! - [`plan`]: every decision, pure
//! - [`store`]: every durable read and write
//! - [`events`]: domain events to this process, after their commit
//! - [`channel`]: step events out to handler threads, completions in
//! - `engine`: the one thread that carries all of it, a transaction at a time
//! - [`tasker_telemetry::record`]: where all of it reports what happened
//! - `web`: health and metrics over HTTP
//! - [`bootstrap`]: puts it together; [`bootstrap::Engine`] is the handle

pub mod bell;
pub mod bootstrap;
pub mod channel;
pub mod clock;
pub mod config;
mod engine;
pub mod error;
pub mod event;
pub mod events;
pub mod graph;
pub mod interrupt;
pub mod plan;
#[doc(hidden)]
pub mod simulation;
pub mod state;
pub mod step;
pub mod store;
pub mod submission;
mod sync;
pub mod task;
pub mod template;
mod watchdog;
mod web;

pub use tasker_telemetry::ids;
