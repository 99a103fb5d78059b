//! Owns: opening the engine, starting and stopping the worker, closing everything. Refuses: handler
//! threads, which are Ruby's.

use std::time::Duration;

use magnus::{function, Error, Object, RModule, Ruby};
use tasker_engine::bootstrap::Engine;
use tasker_engine::config::Config;

use crate::client::{ask, wait_for};
use crate::errors::{guard, Fault};
use crate::{convert, gvl, runtime, telemetry};

/// Opens the engine of this process, if it is not open yet: enough to submit and to look. No
/// Tokio runtime, no worker. `config` is the engine's configuration as JSON.
fn open(ruby: &Ruby, config: String) -> Result<(), Error> {
    guard(ruby, || open_engine(ruby, Config::from_json(&config)?))
}

fn open_engine(ruby: &Ruby, config: Config) -> Result<(), Fault> {
    if !runtime::is_open() {
        let engine = wait_for(ruby, || Ok(Engine::opening(config)))?;
        runtime::keep(engine);
    }
    Ok(())
}

/// Brings the schema of the configured database up to date; `[version before, version after]`.
fn migrate(ruby: &Ruby, config: String) -> Result<(usize, usize), Error> {
    guard(ruby, || {
        let config = Config::from_json(&config)?;
        wait_for(ruby, || Ok(tasker_engine::bootstrap::migrating(config)))
    })
}

/// The SQL that brings an empty PostgreSQL database to this version, for a person to run.
fn migration_sql() -> String {
    tasker_engine::bootstrap::migration_sql()
}

/// Starts the worker: Tokio runtime, Phase 2 of telemetry, engine, web server, claims. `overrides` are the
/// telemetry settings that win over the environment, as JSON.
fn bootstrap_worker(ruby: &Ruby, config: String, overrides: String) -> Result<(), Error> {
    guard(ruby, || {
        let config = Config::from_json(&config)?;
        let handle = runtime::tokio()?;
        telemetry::arm(ruby, overrides)?;
        let (worker, web) = (config.worker.clone(), config.web.clone());
        open_engine(ruby, config)?;
        ask(ruby, |engine| {
            engine.start_web(&handle, &web);
            engine.starting_worker(worker)
        })
    })
}

/// Stops claiming, lets handlers finish for `timeout` seconds, hands the rest back. Returns
/// `[whether all finished in time, how many claims were handed back]`. Nothing to stop is fine. What
/// interrupts the calling thread ends the waiting for handlers.
fn stop_worker(ruby: &Ruby, timeout: f64) -> Result<(bool, usize), Error> {
    guard(ruby, || {
        let timeout = convert::seconds(timeout)?;
        if !runtime::is_open() {
            return Ok((true, 0));
        }
        let engine = runtime::engine()?;
        let report = gvl::without(ruby, |interrupt| Some(engine.stop_worker(timeout, interrupt)))??;
        Ok((report.completed_in_time, report.handed_back))
    })
}

/// Closes the engine and shuts telemetry and the Tokio runtime down, the latter two for at most
/// `timeout` seconds. The next use opens a new engine. Nothing open is fine.
fn close(ruby: &Ruby, timeout: f64) -> Result<(), Error> {
    guard(ruby, || {
        let timeout = convert::seconds(timeout)?;
        let mut owned = Some(runtime::take());
        telemetry::forget();
        gvl::without(ruby, |_| {
            if let Some((engine, tokio)) = owned.take() {
                if let Some(engine) = engine {
                    engine.close();
                }
                if let Some(tokio) = tokio {
                    tasker_telemetry::shutdown(timeout);
                    runtime::close(tokio, Duration::from_millis(200));
                }
            }
            Some(())
        })
    })
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("open", function!(open, 1))?;
    native.define_singleton_method("migrate", function!(migrate, 1))?;
    native.define_singleton_method("migration_sql", function!(migration_sql, 0))?;
    native.define_singleton_method("bootstrap_worker", function!(bootstrap_worker, 2))?;
    native.define_singleton_method("stop_worker", function!(stop_worker, 1))?;
    native.define_singleton_method("close", function!(close, 1))
}
