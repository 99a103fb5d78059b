//! Owns: what became of spans and log records in this process. Refuses: to reach over a fork: a child counts for itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Spans.
pub(crate) static SPANS: Fate = Fate::new();
/// Log records.
pub(crate) static LOGS: Fate = Fate::new();
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Totals of one kind since the process began.
pub(crate) struct Fate {
    dropped: AtomicU64,
    exported: AtomicU64,
}

impl Fate {
    const fn new() -> Fate {
        Fate { dropped: AtomicU64::new(0), exported: AtomicU64::new(0) }
    }

    pub(crate) fn drop(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn export(&self, count: usize) {
        self.exported.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }
}

/// Spans lost since the process began: the queue was full, or the collector did not take them.
pub fn spans_dropped() -> u64 {
    SPANS.dropped()
}

/// Spans the collector has taken since the process began.
pub fn spans_exported() -> u64 {
    SPANS.exported()
}

/// Log records lost since the process began: the queue was full, or the collector did not take them.
pub fn logs_dropped() -> u64 {
    LOGS.dropped()
}

/// Log records the collector has taken since the process began.
pub fn logs_exported() -> u64 {
    LOGS.exported()
}

/// Requests of any signal that the collector did not take, since the process began.
pub fn export_failures() -> u64 {
    FAILURES.load(Ordering::Relaxed)
}

pub(crate) fn export_failed() {
    FAILURES.fetch_add(1, Ordering::Relaxed);
}

/// A forked child counts for itself.
pub(crate) fn forget() {
    for count in [&SPANS.dropped, &SPANS.exported, &LOGS.dropped, &LOGS.exported, &FAILURES] {
        count.store(0, Ordering::Relaxed);
    }
}
