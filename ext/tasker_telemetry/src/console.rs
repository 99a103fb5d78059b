//! Owns: the console, on standard error: which lines it shows, and how (`format`).
//! Refuses: threads, a runtime, and every global of OpenTelemetry.

mod format;

use std::io::{self, IsTerminal, Write};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{fmt, EnvFilter, Layer};

use crate::config::{every_line, LogFormat, TelemetryConfig, QUIET};
use crate::gate::{self, Gate, Slot};
use crate::record::line;
use format::Lines;

static FILTER: Slot = Slot::const_empty();

/// The layer that writes; `passes` is asked for every line that the filter lets through.
pub(crate) fn layer<S>(config: &TelemetryConfig, passes: fn(&Event<'_>) -> bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    set_filter(&config.log_filter);
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = config.log_format == LogFormat::Text && io::stderr().is_terminal() && !plain;
    let layer = fmt::layer().with_writer(|| StandardError).with_ansi(ansi).event_format(Lines(config.log_format));
    layer.with_filter(Gate::new(&FILTER, |_| true, passes))
}

/// What the console shows. Of the SDK only warnings, unless `directives` name it or want even less.
pub(crate) fn set_filter(directives: &str) {
    line::set_level(level_of(directives));
    let quieter = |part: &&str| part.eq_ignore_ascii_case("error") || part.eq_ignore_ascii_case("off");
    let sdk = directives.split(',').map(str::trim).find(quieter).unwrap_or("warn");
    gate::set(&[&FILTER], Some(&every_line(&format!("opentelemetry={sdk},{QUIET},{directives}"))));
}

/// The lowest of Ruby's levels that the directives show.
fn level_of(directives: &str) -> u8 {
    const LEVELS: [(Level, u8); 4] = [(Level::DEBUG, 0), (Level::INFO, 1), (Level::WARN, 2), (Level::ERROR, 3)];
    let shows: Box<dyn Fn(&Level) -> bool> = match directives.parse::<Targets>() {
        Ok(targets) => Box::new(move |level| targets.would_enable(line::TARGET, level)),
        // Directives about spans: only their most talkative one can be told.
        Err(_) => {
            let most = EnvFilter::new(directives).max_level_hint();
            Box::new(move |level| most.is_none_or(|most| *level <= most))
        }
    };
    LEVELS.iter().find(|(level, _)| shows(level)).map_or(line::NONE, |(_, number)| *number)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_what_the_filter_says_about_ruby() {
        for (directives, level) in [
            ("info", 1),
            ("debug", 0),
            ("trace", 0),
            ("off", line::NONE),
            ("warn,tasker_core=debug", 0),
            ("debug,tasker_core::ruby=error", 3),
            ("tasker_engine=debug", line::NONE),
            ("info,[span{field}]=warn", 1),
        ] {
            assert_eq!(level_of(directives), level, "{directives}");
        }
    }
}
