//! Owns: what is counted at the store's edge: how long the parts of a transaction take, and what memory spares.

use super::{names, Count, Measure, Meter};

/// Milliseconds of the parts of a transaction, by what they do.
pub struct Operations {
    /// Finding what may be claimed.
    pub claimable: Measure,
    /// Reading tasks.
    pub load: Measure,
    /// Writing changes.
    pub write: Measure,
    /// Making them durable.
    pub commit: Measure,
}

impl Operations {
    pub(super) fn new(meter: &dyn Meter) -> Operations {
        let operation = |name: &'static str| meter.measure(&names::STORE_OPERATION, &[("operation", name.into())]);
        Operations {
            claimable: operation("claimable"),
            load: operation("load"),
            write: operation("write"),
            commit: operation("commit"),
        }
    }
}

/// What was looked for in memory.
pub struct Cache {
    hits: Count,
    misses: Count,
}

impl Cache {
    pub(super) fn new(meter: &dyn Meter, name: &'static str) -> Cache {
        let label = [("cache", name.into())];
        Cache { hits: meter.count(&names::CACHE_HITS, &label), misses: meter.count(&names::CACHE_MISSES, &label) }
    }

    /// Counts looks: those that found something, and those that found nothing.
    pub fn looked(&self, found: bool) {
        if found { &self.hits } else { &self.misses }.add(1);
    }
}
