//! Owns: Phase 2 of telemetry in this process: when it begins, with which settings, and its end. It
//! begins with the engine, with the first line, span or number that Ruby writes, and again by itself in the child of
//! a fork. Refuses: knowing what is exported.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use magnus::{function, Error, Object, RModule, Ruby};
use tasker_engine::error::Error as EngineError;
use tasker_telemetry::{self as telemetry, Overrides};

use crate::errors::{guard, Fault};
use crate::{convert, gvl, runtime};

/// The process in which telemetry has its settings; 0: none.
static READY: AtomicU32 = AtomicU32::new(0);
/// These settings. Held under the GVL only, and for moments.
static SETTINGS: Mutex<String> = Mutex::new(String::new());

fn settings() -> MutexGuard<'static, String> {
    SETTINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(overrides: &str) -> Result<Overrides, Fault> {
    serde_json::from_str(overrides).map_err(|error| EngineError::Configuration(format!("telemetry: {error}")).into())
}

/// Whether the process `pid`, which is this one, has its settings.
pub fn is_ready(pid: u32) -> bool {
    READY.load(Ordering::Relaxed) == pid
}

fn remember(overrides: String) {
    *settings() = overrides;
    READY.store(std::process::id(), Ordering::Relaxed);
}

/// Forgets the settings: telemetry was shut down with everything else, and the next use begins afresh.
pub fn forget() {
    READY.store(0, Ordering::Relaxed);
}

/// Whether this process has its telemetry; asked before each line, span and number, so that a forked child, which
/// has not, gets it.
fn telemetry_ready(_: &Ruby) -> bool {
    is_ready(std::process::id())
}

/// Phase 2, if the environment and `overrides` (JSON; they win) want it: exports from here on. With the
/// settings that are in force already it does nothing. Needs the GVL: no other thread of Ruby's can write a
/// line between a fork and this.
pub fn arm(ruby: &Ruby, overrides: String) -> Result<(), Fault> {
    let ready = is_ready(std::process::id());
    if ready && *settings() == overrides {
        return Ok(());
    }
    runtime::enter_process();
    let parsed = read(&overrides)?;
    if !telemetry::exports(&parsed) {
        gvl::without(ruby, |_| Some(telemetry::shutdown(telemetry::MAX_SHUTDOWN)))?;
        telemetry::apply(&parsed);
    } else if telemetry::exporting() {
        let handle = runtime::tokio()?;
        gvl::without(ruby, |_| Some(telemetry::upgrade(&handle, &parsed, telemetry::MAX_SHUTDOWN)))?
            .map_err(EngineError::from)?;
    } else {
        telemetry::init_tracing(&runtime::tokio()?, parsed);
    }
    remember(overrides);
    Ok(())
}

fn arm_telemetry(ruby: &Ruby, overrides: String) -> Result<(), Error> {
    guard(ruby, || arm(ruby, overrides))
}

/// Exports from here on, with these settings, whatever was before; see [`telemetry::upgrade`].
fn upgrade_telemetry(ruby: &Ruby, overrides: String, timeout: f64) -> Result<bool, Error> {
    guard(ruby, || {
        let (parsed, timeout) = (read(&overrides)?, convert::seconds(timeout)?);
        runtime::enter_process();
        let handle = runtime::tokio()?;
        let complete =
            gvl::without(ruby, |_| Some(telemetry::upgrade(&handle, &parsed, timeout)))?.map_err(EngineError::from)?;
        remember(overrides);
        Ok(complete)
    })
}

/// Exports what telemetry holds, for at most `timeout` seconds. False: not all of it.
fn flush_telemetry(ruby: &Ruby, timeout: f64) -> Result<bool, Error> {
    guard(ruby, || {
        let timeout = convert::seconds(timeout)?;
        gvl::without(ruby, |_| Some(telemetry::flush(timeout)))
    })
}

/// Exports what telemetry holds, for at most `timeout` seconds, and ends exporting; the console goes on.
/// False: not all of it.
fn shutdown_telemetry(ruby: &Ruby, timeout: f64) -> Result<bool, Error> {
    guard(ruby, || {
        let timeout = convert::seconds(timeout)?;
        gvl::without(ruby, |_| Some(telemetry::shutdown(timeout)))
    })
}

/// Whether this process exports.
fn telemetry_exporting(_: &Ruby) -> bool {
    telemetry::exporting()
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("telemetry_ready?", function!(telemetry_ready, 0))?;
    native.define_singleton_method("telemetry_exporting?", function!(telemetry_exporting, 0))?;
    native.define_singleton_method("arm_telemetry", function!(arm_telemetry, 1))?;
    native.define_singleton_method("upgrade_telemetry", function!(upgrade_telemetry, 2))?;
    native.define_singleton_method("flush_telemetry", function!(flush_telemetry, 1))?;
    native.define_singleton_method("shutdown_telemetry", function!(shutdown_telemetry, 1))
}
