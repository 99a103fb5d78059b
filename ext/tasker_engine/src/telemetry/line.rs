//! Owns: log lines whose fields are known only at run time: those that Ruby writes. They take the way of
//! every other event, through the one subscriber and its filters, and are taken apart at its ends.
//! Refuses: deciding by level. Ruby does that before a line crosses the boundary, so the filters let every
//! line pass that comes here.
//!
//! The fields of a `tracing` event are fixed where it is written. So the event of a [`Line`] has none: while it
//! is under way the line lies in a thread-local, where the console and the OTLP logs find it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU8, Ordering};

use opentelemetry::logs::Severity as Number;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::EnvFilter;

use super::context::TraceContext;
use super::spans::{Attributes, OwnName};

/// The target of every line.
pub const TARGET: &str = "tasker_core::ruby";
/// The severity that no line has: nothing is written.
const NONE: u8 = 6;

/// Ruby's levels, by Ruby's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 0
    Debug,
    /// 1
    Info,
    /// 2
    Warn,
    /// 3
    Error,
    /// 4
    Fatal,
    /// 5: always written.
    Unknown,
}

impl Severity {
    /// The severity of that number; a number Ruby does not know is `Unknown`.
    pub fn from_number(number: u8) -> Severity {
        match number {
            0 => Severity::Debug,
            1 => Severity::Info,
            2 => Severity::Warn,
            3 => Severity::Error,
            4 => Severity::Fatal,
            _ => Severity::Unknown,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Unknown => "ANY",
        }
    }

    pub(super) fn number(self) -> Number {
        match self {
            Severity::Debug => Number::Debug,
            Severity::Info | Severity::Unknown => Number::Info,
            Severity::Warn => Number::Warn,
            Severity::Error => Number::Error,
            Severity::Fatal => Number::Fatal,
        }
    }
}

/// One log line.
#[derive(Debug, Clone)]
pub struct Line {
    /// How grave it is.
    pub severity: Severity,
    /// What happened.
    pub message: String,
    /// What is known about it, filtered already.
    pub fields: Attributes<OwnName>,
    /// The span it was written in.
    pub context: Option<TraceContext>,
    /// The task it belongs to.
    pub correlation_id: Option<String>,
}

thread_local! {
    static CURRENT: RefCell<Option<Line>> = const { RefCell::new(None) };
}
static LEVEL: AtomicU8 = AtomicU8::new(1);

/// Writes a line: to the console, and to OTLP logs when they are exported.
pub fn write(line: Line) {
    let severity = line.severity;
    CURRENT.set(Some(line));
    match severity {
        Severity::Debug => tracing::debug!(target: TARGET, ruby = true),
        Severity::Info | Severity::Unknown => tracing::info!(target: TARGET, ruby = true),
        Severity::Warn => tracing::warn!(target: TARGET, ruby = true),
        Severity::Error | Severity::Fatal => tracing::error!(target: TARGET, ruby = true),
    }
    CURRENT.set(None);
}

/// Calls `read` with the line that this thread is writing.
pub(super) fn with_current(read: impl FnOnce(&Line)) {
    CURRENT.with_borrow(|line| {
        if let Some(line) = line {
            read(line);
        }
    });
}

/// The lowest of Ruby's levels that `RUST_LOG` or `LOG_LEVEL` ask for; 6 when they ask for silence.
pub fn level() -> u8 {
    LEVEL.load(Ordering::Relaxed)
}

/// Takes note of what the console is to show.
pub(super) fn set_level(directives: &str) {
    LEVEL.store(level_of(directives), Ordering::Relaxed);
}

/// The directives, and the way free for every line: Ruby has decided before.
pub(super) fn opened(directives: &str) -> String {
    format!("{directives},{TARGET}=trace")
}

fn level_of(directives: &str) -> u8 {
    const LEVELS: [(Level, u8); 4] = [(Level::DEBUG, 0), (Level::INFO, 1), (Level::WARN, 2), (Level::ERROR, 3)];
    let shows: Box<dyn Fn(&Level) -> bool> = match directives.parse::<Targets>() {
        Ok(targets) => Box::new(move |level| targets.would_enable(TARGET, level)),
        // Directives about spans: only their most talkative one can be told.
        Err(_) => {
            let most = EnvFilter::new(directives).max_level_hint();
            Box::new(move |level| most.is_none_or(|most| *level <= most))
        }
    };
    LEVELS.iter().find(|(level, _)| shows(level)).map_or(NONE, |(_, number)| *number)
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
            ("off", NONE),
            ("warn,tasker_core=debug", 0),
            ("debug,tasker_core::ruby=error", 3),
            ("tasker_engine=debug", NONE),
            ("info,[span{field}]=warn", 1),
        ] {
            assert_eq!(level_of(directives), level, "{directives}");
        }
    }
}
