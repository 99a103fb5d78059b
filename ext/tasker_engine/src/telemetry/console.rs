//! Owns: the one global subscriber, installed in Phase 1: the console on standard error, and the two
//! layers that stay asleep until Phase 2.
//! Refuses: threads, a runtime, and every global of OpenTelemetry.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, Layer, Registry};

use super::complaints;
use super::config::{LogFormat, TelemetryConfig};
use super::gate::{self, Gate, Slot};
use super::late::{self, LateLogs};

static FILTER: Slot = Slot::const_empty();

/// Installs the subscriber. `false` when the process has one already: then it stays, and nothing of
/// ours reaches it beyond plain `tracing` events.
pub(super) fn install(config: &TelemetryConfig) -> bool {
    set_filter(&config.log_filter);
    let gate = Gate::new(&FILTER, |_| true, |meta| !complaints::is_complaint(meta) || complaints::may_print());
    Registry::default()
        .with(lines(config.log_format).with_filter(gate))
        .with(late::spans_layer())
        .with(LateLogs.with_filter(late::logs_gate()))
        .try_init()
        .is_ok()
}

/// What the console shows. Of the SDK only warnings, unless `directives` name it.
pub(super) fn set_filter(directives: &str) {
    gate::set(&[&FILTER], Some(&format!("opentelemetry=warn,{directives}")));
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(true);
    match format {
        LogFormat::Json => layer.with_ansi(false).json().boxed(),
        LogFormat::Text => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            layer.with_ansi(std::io::stderr().is_terminal() && !plain).boxed()
        }
    }
}
