//! The FFI layer between Ruby and `tasker_engine`: the only crate that knows Ruby. It makes no decision.
//!
//! # Layout
//!
//! * `runtime` - what belongs to this process (engine, Tokio runtime), the pid stamp, the fork rules
//! * `bootstrap` - `bootstrap_worker`, `stop_worker`, `close`
//! * `client` - submit, look, wait, cancel, and what an operator does
//! * `event_bridge` - step events out, completions in
//! * `events` - domain events that Ruby publishes, and what it hears of the bus
//! * `telemetry` - when Phase 2 begins in this process, with which settings, and its end
//! * `logging`, `recorder` - log lines and spans from Ruby; `fields` - what both say about themselves
//! * `metrics` - metrics that Ruby records, and the table of the gem's own
//! * `spans` - the spans this process recorded lately
//! * `convert`, `errors`, `gvl` - Hashes and ids, exceptions and panics, and the one `unsafe` file

// The one public item is what `magnus::init` exports to Ruby.
#![allow(missing_docs)]

mod bootstrap;
mod client;
mod convert;
mod errors;
mod event_bridge;
mod events;
mod fields;
mod gvl;
mod logging;
mod metrics;
mod recorder;
mod runtime;
mod spans;
mod telemetry;

use magnus::{Error, Module, Ruby};

// Ruby calls this when it loads the library: Phase 1 of telemetry, then the functions.
#[magnus::init]
fn init(ruby: &Ruby) -> Result<(), Error> {
    tasker_telemetry::init_console_only();
    let native = ruby.define_module("TaskerCore")?.define_module("Native")?;
    runtime::init(native)?;
    bootstrap::init(native)?;
    client::init(native)?;
    event_bridge::init(ruby, native)?;
    events::init(native)?;
    telemetry::init(native)?;
    logging::init(native)?;
    metrics::init(native)?;
    recorder::init(native)?;
    spans::init(native)
}
