//! Owns: what is counted at the store's edge: how long the parts of a transaction take, and what memory spares.

use std::time::Instant;

use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry::KeyValue;

use super::{counter, names, Count, Measure};

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
    pub(super) fn new(histogram: &Histogram<f64>) -> Operations {
        let operation = |name: &'static str| Measure::new(histogram, &[KeyValue::new("operation", name)]);
        Operations {
            claimable: operation("claimable"),
            load: operation("load"),
            write: operation("write"),
            commit: operation("commit"),
        }
    }
}

impl Measure {
    /// Does the work, and takes the milliseconds it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.record(began.elapsed().as_secs_f64() * 1e3);
        done
    }
}

/// What was looked for in memory.
pub struct Cache {
    hits: Count,
    misses: Count,
}

impl Cache {
    pub(super) fn new(meter: &Meter, name: &'static str) -> Cache {
        let label = [KeyValue::new("cache", name)];
        Cache {
            hits: Count::new(&counter(meter, &names::CACHE_HITS), &label),
            misses: Count::new(&counter(meter, &names::CACHE_MISSES), &label),
        }
    }

    /// Counts a look that found something, or nothing.
    pub fn looked(&self, found: bool) {
        if found { &self.hits } else { &self.misses }.add(1);
    }
}
