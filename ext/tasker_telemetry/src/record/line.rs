//! Owns: log lines whose fields are known only at run time: those that Ruby writes. They take the way of
//! every other event, through the one subscriber and its filters, and are taken apart at its ends.
//! Refuses: deciding by level. Ruby does that before a line crosses the boundary, so the filters let every
//! line pass that comes here.
//!
//! The fields of a `tracing` event are fixed where it is written. So the event of a [`Line`] has none: while it
//! is under way the line lies in a thread-local, where the console and the OTLP logs find it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU8, Ordering};

use super::context::TraceContext;
use super::span::{Attributes, OwnName};

/// The target of every line.
pub const TARGET: &str = "tasker_core::ruby";
/// The severity that no line has: nothing is written.
pub(crate) const NONE: u8 = 6;

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

    pub(crate) fn text(self) -> &'static str {
        match self {
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Unknown => "ANY",
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
pub(crate) fn with_current(read: impl FnOnce(&Line)) {
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
pub(crate) fn set_level(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
}
