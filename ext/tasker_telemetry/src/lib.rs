//! Telemetry of tasker_core: what the engine reports, and how it reaches whoever watches.
//!
//! # Layout
//!
//! Three rooms. [`record`] is what the engine sees: spans, log lines and numbers as facts, without OpenTelemetry. `console`
//! writes lines to standard error. `export` is everything OpenTelemetry. Neither of the two knows the other, and [`record`]
//! knows neither: they register with it what is to become of a fact.
//!
//! Two phases, because Ruby loads the extension before there is a runtime:
//!
//! - [`init_console_only`], **Phase 1**, in the extension's init hook, installs the one global `tracing` subscriber. No thread, no
//!   runtime, no global of OpenTelemetry. The layers of `export::deferred` sleep in it.
//! - [`init_tracing`], **Phase 2**, once the runtime exists, builds the clients, the span queue, the log provider and the pump of
//!   metrics, and wakes `deferred` by opening its `gate`s.
//!
//! `config` reads the environment. Numbers need no phase: [`keep_numbers`].

pub mod config;
mod console;
mod error;
mod export;
mod gate;
pub mod ids;
mod process;
pub mod record;
pub mod time;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use config::{Overrides, TelemetryConfig};
pub use error::{Error, Result};
pub use export::metrics::{app, prometheus_text};
use export::{complaints, deferred, resource, Exporting};
pub use process::resources;
use record::{counts, metrics, sampling};

/// No flush or shutdown takes longer than this, whatever it is asked.
pub const MAX_SHUTDOWN: Duration = Duration::from_secs(3);

/// What Phase 1 read from the environment.
static PHASE_1: OnceLock<TelemetryConfig> = OnceLock::new();
static EXPORTING: ArcSwapOption<Exporting> = ArcSwapOption::const_empty();
/// Somebody is in Phase 2 now. Not a lock: a forked child could inherit it locked.
static ARMING: AtomicBool = AtomicBool::new(false);

/// Phase 1: console logging, from this call to the end of the process. Idempotent, under 1 ms; starts no
/// thread and needs no runtime.
pub fn init_console_only() {
    PHASE_1.get_or_init(|| {
        let config = TelemetryConfig::from_env(&Overrides::default());
        keep_numbers();
        sampling::set(config.sampling.clone());
        let installed = tracing_subscriber::registry()
            .with(console::layer(&config, complaints::passes))
            .with(deferred::spans_layer())
            .with(deferred::logs_layer())
            .try_init()
            .is_ok();
        if !installed {
            tracing::debug!(
                "Global tracing subscriber already initialized: this library's lines go to it, and are not exported"
            );
        }
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        if config.enabled {
            tracing::info!(
                environment = %config.environment,
                context = "ffi_initialization",
                "Telemetry enabled - deferring logging init to runtime context"
            );
        } else if installed {
            tracing::info!(
                environment = %config.environment,
                opentelemetry_enabled = false,
                context = "ffi_initialization",
                "Console-only logging initialized (FFI-safe mode)"
            );
        }
        config
    });
}

/// From now on the numbers of this process are kept, for [`prometheus_text`] and for OTLP. Idempotent; starts no thread. Phase 1
/// does it; a Rust program that opens an engine without any phase gets it from the engine.
pub fn keep_numbers() {
    export::metrics::keep();
}

/// Phase 2: with telemetry enabled, spans and logs are exported from now on; without, nothing changes.
/// Idempotent. Never fails: what cannot be used is one log line, and the console stays.
///
/// `runtime` carries the connections; requests are spawned on it, so it needs a worker thread.
pub fn init_tracing(runtime: &Handle, overrides: Overrides) {
    init_console_only();
    let running = EXPORTING.load_full();
    if running.as_ref().is_some_and(|exporting| exporting.inherited()) {
        drop_nothing(running);
        forget_after_fork();
    } else if running.is_some() {
        return;
    }
    if ARMING.swap(true, Ordering::SeqCst) {
        return;
    }
    // Whoever was in Phase 2 between the look and the swap has left it done.
    if EXPORTING.load().is_none() {
        arm(runtime, &overrides);
    }
    ARMING.store(false, Ordering::SeqCst);
}

/// Whether Phase 2 would export, with these settings: who does not need a runtime otherwise need not
/// make one.
pub fn exports(overrides: &Overrides) -> bool {
    TelemetryConfig::from_env(overrides).enabled
}

/// Whether this process exports.
pub fn exporting() -> bool {
    EXPORTING.load().as_ref().is_some_and(|exporting| !exporting.inherited())
}

/// Log filter and sampling from the environment with `overrides` on top; nothing is exported.
pub fn apply(overrides: &Overrides) -> TelemetryConfig {
    init_console_only();
    let config = TelemetryConfig::from_env(overrides);
    let known = PHASE_1.get().map_or(&[][..], |phase_1| &phase_1.warnings);
    for warning in config.warnings.iter().filter(|warning| !known.contains(warning)) {
        tracing::warn!("{warning}");
    }
    console::set_filter(&config.log_filter);
    sampling::set(config.sampling.clone());
    export::metrics::set_resource(resource(&config));
    config
}

/// Phase 2 again, with other settings, while the process runs: exports from now on to where they say.
/// What waits for the exporter of before is sent to where it was meant to go, for at most `timeout` (at
/// most [`MAX_SHUTDOWN`]); no span is lost between the two or goes to both. `true` when nothing was given up.
///
/// Blocks: a Ruby thread must have let the GVL go.
///
/// # Errors
/// [`Error::Configuration`] when the settings do not export, or cannot be used: then nothing changed.
pub fn upgrade(runtime: &Handle, overrides: &Overrides, timeout: Duration) -> Result<bool> {
    if EXPORTING.load().as_ref().is_some_and(|exporting| exporting.inherited()) {
        forget_after_fork();
    }
    let config = TelemetryConfig::from_env(overrides);
    if !config.enabled {
        return Err(Error::Configuration(
            "telemetry: nothing would be exported: OTEL_SDK_DISABLED is set, or enabled is false".into(),
        ));
    }
    if ARMING.swap(true, Ordering::SeqCst) {
        return Err(Error::Configuration("telemetry: another thread is changing the exporter; try again".into()));
    }
    let replaced =
        Exporting::start(&config, runtime.clone()).map(|exporting| EXPORTING.swap(Some(Arc::new(exporting))));
    ARMING.store(false, Ordering::SeqCst);
    let replaced = replaced?;
    export::metrics::set_global();
    apply(overrides);
    tracing::info!(
        otlp_endpoint = %config.shown_endpoint(),
        service_name = %config.service_name,
        traces_enabled = config.traces.is_some(),
        logs_enabled = config.logs.is_some(),
        "Telemetry is exported from here on"
    );
    Ok(replaced.is_none_or(|replaced| replaced.drain(timeout.min(MAX_SHUTDOWN))))
}

fn arm(runtime: &Handle, overrides: &Overrides) {
    let config = apply(overrides);
    if !config.enabled {
        return;
    }
    match Exporting::start(&config, runtime.clone()) {
        Ok(exporting) => {
            EXPORTING.store(Some(Arc::new(exporting)));
            tracing::info!(
                environment = %config.environment,
                opentelemetry_enabled = true,
                traces_enabled = config.traces.is_some(),
                logs_enabled = config.logs.is_some(),
                metrics_enabled = config.metrics.is_some(),
                otlp_endpoint = %config.shown_endpoint(),
                service_name = %config.service_name,
                "Console logging with OpenTelemetry initialized"
            );
            export::metrics::set_global();
            tracing::info!("Global tracer and meter providers are set");
        }
        Err(error) => tracing::error!(
            environment = %config.environment,
            opentelemetry_enabled = false,
            error = %error,
            "OpenTelemetry is not exported; console logging goes on"
        ),
    }
}

/// Sends everything that waits, now. `true` when nothing waits any more and nothing was lost within
/// `timeout` (at most [`MAX_SHUTDOWN`]); also when nothing is exported, and in a forked child.
///
/// Blocks: a Ruby thread must have let the GVL go.
pub fn flush(timeout: Duration) -> bool {
    match EXPORTING.load_full() {
        Some(exporting) if exporting.inherited() => drop_nothing(Some(exporting)),
        Some(exporting) => exporting.flush(timeout.min(MAX_SHUTDOWN)),
        None => true,
    }
}

/// Sends what waits, gives up at `timeout` (at most [`MAX_SHUTDOWN`]), and returns to Phase 1: the console
/// goes on, and [`init_tracing`] may be called again. `true` when nothing was given up; does nothing
/// in a forked child, or when nothing is exported.
///
/// Blocks: a Ruby thread must have let the GVL go.
pub fn shutdown(timeout: Duration) -> bool {
    let Some(exporting) = EXPORTING.load_full() else { return true };
    if exporting.inherited() {
        return drop_nothing(Some(exporting));
    }
    match EXPORTING.swap(None) {
        Some(exporting) => exporting.shutdown(timeout.min(MAX_SHUTDOWN)),
        None => true,
    }
}

/// In a forked child: forgets what was inherited without touching it (its threads are not here, its
/// locks may be shut for ever) and returns to Phase 1. Then [`init_tracing`] may be called with a runtime
/// of the child's own.
pub fn forget_after_fork() {
    drop_nothing(EXPORTING.swap(None));
    export::forget();
    counts::forget();
    metrics::forget();
    ARMING.store(false, Ordering::SeqCst);
}

// To drop an inherited exporter would shut it down, and wait for threads that are not in this process.
fn drop_nothing(inherited: Option<Arc<Exporting>>) -> bool {
    std::mem::forget(inherited);
    true
}
