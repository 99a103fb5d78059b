//! Owns: recording spans after the fact, with ids, start and end that the caller knows. This is how
//! the engine reports: its spans outlive the process that began them.
//! Refuses: to wait. A full queue drops, and counts what it dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;

use super::counts::SPANS;
pub use super::span::{Attributes, OwnName, SpanEvent, SpanKind, SpanRecord, Value};
use super::tap;

/// What is recorded on its way to whoever exports.
pub(crate) enum Recorded {
    /// The engine's spans, as many as one transaction made.
    Records(Vec<SpanRecord>),
    /// A span of the application's own.
    Own(Box<SpanRecord<OwnName>>),
}

impl Recorded {
    pub(crate) fn len(&self) -> usize {
        match self {
            Recorded::Records(records) => records.len(),
            Recorded::Own(_) => 1,
        }
    }
}

static RECORDING: AtomicBool = AtomicBool::new(false);
static SINK: OnceLock<fn(Recorded)> = OnceLock::new();

/// Whether recording is worth the work: Phase 2 is done and traces are exported, or the tap is on.
pub fn enabled() -> bool {
    RECORDING.load(Ordering::Relaxed) || tap::is_open()
}

/// Records one finished span.
pub fn record(span: SpanRecord) {
    record_all(vec![span]);
}

/// Records finished spans: one lock for all of them, and nothing is copied. Never waits.
pub fn record_all(spans: Vec<SpanRecord>) {
    if spans.is_empty() {
        return;
    }
    if tap::is_open() {
        tap::keep(spans.iter().map(SpanRecord::to_own));
    }
    pass_on(Recorded::Records(spans));
}

/// Records one finished span of the application's own. Never waits.
pub fn record_own(span: SpanRecord<OwnName>) {
    if tap::is_open() {
        tap::keep(std::iter::once(span.clone()));
    }
    pass_on(Recorded::Own(Box::new(span)));
}

fn pass_on(recorded: Recorded) {
    if !RECORDING.load(Ordering::Relaxed) {
        return;
    }
    match SINK.get() {
        Some(sink) => sink(recorded),
        None => SPANS.drop(recorded.len()),
    }
}

/// From now on spans go to `sink`, which must not wait; `None`: nowhere.
pub(crate) fn listen(sink: Option<fn(Recorded)>) {
    if let Some(sink) = sink {
        // There is one sink in a process: setting it again changes nothing.
        let _ = SINK.set(sink);
    }
    RECORDING.store(sink.is_some(), Ordering::Relaxed);
}
