//! Owns: how many log records wait for their export, so that each one that is lost is counted: the SDK's processor drops
//! what its queue has no room for and tells nobody. Our bound stands before it and is as large, and a record counts until its
//! export is over, so its queue is never full. Refuses: to make anybody wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{LogRecord, Severity};
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::Resource;

use crate::record::counts::LOGS;

/// The bit of [`Bound::state`] that says that no record is taken any more.
const ENDED: usize = 1 << (usize::BITS - 1);

/// Records that were taken and whose export is not over.
#[derive(Debug)]
pub(super) struct Bound {
    /// How many, and [`ENDED`]: in one number, so that a record is either counted before the end or refused.
    state: AtomicUsize,
    most: usize,
}

impl Bound {
    pub(super) fn new(most: usize) -> Bound {
        Bound { state: AtomicUsize::new(0), most: most.min(ENDED - 1) }
    }

    /// Counts a record in, unless there is no room for it.
    fn enter(&self) -> bool {
        let one_more = |state: usize| (state < self.most).then(|| state + 1);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// The export of these records is over.
    pub(super) fn leave(&self, count: usize) {
        self.state.fetch_sub(count, Ordering::AcqRel);
    }

    fn end(&self) {
        self.state.fetch_or(ENDED, Ordering::AcqRel);
    }

    /// Gives how many are still counted, and counts none from here on.
    pub(super) fn clear(&self) -> usize {
        self.state.swap(ENDED, Ordering::AcqRel) & !ENDED
    }
}

/// The SDK's processor behind the bound.
#[derive(Debug)]
pub(super) struct Bounded {
    processor: BatchLogProcessor,
    bound: Arc<Bound>,
}

impl Bounded {
    pub(super) fn new(processor: BatchLogProcessor, bound: Arc<Bound>) -> Bounded {
        Bounded { processor, bound }
    }
}

impl LogProcessor for Bounded {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if !self.bound.enter() {
            return LOGS.drop(1);
        }
        // The bridge of `tracing` sets only when it saw the event, which is when it happened.
        if record.timestamp().is_none() {
            record.set_timestamp(record.observed_timestamp().unwrap_or_else(SystemTime::now));
        }
        self.processor.emit(record, scope);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.bound.end();
        self.processor.shutdown_with_timeout(timeout)
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.processor.event_enabled(level, target, name)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_is_counted_once_however_they_race_with_the_end() {
        for _ in 0..200 {
            let bound = Bound::new(50);
            let (entered, refused) = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..2)
                    .map(|_| {
                        scope.spawn(|| {
                            let entered = (0..100).filter(|_| bound.enter()).count();
                            (entered, 100 - entered)
                        })
                    })
                    .collect();
                bound.end();
                let sums = writers.into_iter().map(|writer| writer.join().unwrap_or_default());
                sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            });
            assert_eq!(entered + refused, 200);
            assert!(entered <= 50 && bound.clear() == entered, "{entered}");
            assert!(!bound.enter() && bound.clear() == 0, "nothing enters after the end");
        }
    }

    #[test]
    fn what_has_left_makes_room() {
        let bound = Bound::new(2);
        assert!(bound.enter() && bound.enter() && !bound.enter());
        bound.leave(1);
        assert!(bound.enter() && !bound.enter());
    }
}
