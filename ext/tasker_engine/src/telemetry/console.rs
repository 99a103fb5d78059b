//! Owns: the one global subscriber, installed in Phase 1: the console on standard error, and the two
//! layers that stay asleep until Phase 2.
//! Refuses: threads, a runtime, and every global of OpenTelemetry.

mod format;

use std::io::{self, IsTerminal, Write};

use tracing::Event;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, Layer, Registry};

use super::complaints;
use super::config::{LogFormat, TelemetryConfig};
use super::gate::{self, Gate, Slot};
use super::late::{self, LateLogs};
use super::line;
use format::Lines;

static FILTER: Slot = Slot::const_empty();

/// Installs the subscriber. `false` when the process has one already: then it stays, and nothing of
/// ours reaches it beyond plain `tracing` events.
pub(super) fn install(config: &TelemetryConfig) -> bool {
    set_filter(&config.log_filter);
    let gate = Gate::new(&FILTER, |_| true, passes);
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = config.log_format == LogFormat::Text && io::stderr().is_terminal() && !plain;
    let layer = fmt::layer().with_writer(|| StandardError).with_ansi(ansi).event_format(Lines(config.log_format));
    Registry::default()
        .with(layer.with_filter(gate))
        .with(late::spans_layer())
        .with(LateLogs.with_filter(late::logs_gate()))
        .try_init()
        .is_ok()
}

/// The SDK and the exporters read variables too, and have their own opinion of what we have warned of already. What became of an export
/// `complaints` says, with its reason.
fn passes(event: &Event<'_>) -> bool {
    let meta = event.metadata();
    complaints::read(event);
    let opinion = meta.target().starts_with("opentelemetry") && meta.name().contains(".Config.");
    !opinion && !complaints::is_said_better(meta) && (!complaints::is_complaint(meta) || complaints::may_print())
}

/// The PostgreSQL client says what its errors say, and those are told of where they matter.
pub(super) const QUIET: &str = "sqlx=off";

/// What the console shows. Of the SDK only warnings, unless `directives` name it or want even less.
pub(super) fn set_filter(directives: &str) {
    line::set_level(directives);
    let quieter = |part: &&str| part.eq_ignore_ascii_case("error") || part.eq_ignore_ascii_case("off");
    let sdk = directives.split(',').map(str::trim).find(quieter).unwrap_or("warn");
    gate::set(&[&FILTER], Some(&line::opened(&format!("opentelemetry={sdk},{QUIET},{directives}"))));
}

/// Standard error without the lock that `std` has for it: a fork while another thread writes would leave
/// it locked for ever in the child. A line is one write, and the system keeps those apart.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
