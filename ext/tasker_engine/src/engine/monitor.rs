//! Owns: how the engine is, for health checks, gauges and a person, from what its thread publishes. Refuses: blocking, and
//! asking the store.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::pulse::{BreakerState, Pulse};
use super::shared::{Shared, WorkerStatus};
use crate::channel::{Channel, Depth};
use crate::clock::Clock;
use crate::store::{Backlog, Queue, Reader};
use tasker_telemetry::record::metrics::{Look, Probe, QueueLook};

/// Looks at one engine.
pub(crate) struct Monitor {
    shared: Arc<Shared>,
    channel: Arc<Channel>,
    clock: Clock,
    location: String,
    reader: Arc<dyn Reader>,
    opened: Instant,
}

impl Monitor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        channel: Arc<Channel>,
        clock: Clock,
        location: String,
        reader: Arc<dyn Reader>,
    ) -> Monitor {
        Monitor { shared, channel, clock, location, reader, opened: Instant::now() }
    }

    pub(crate) fn worker(&self) -> WorkerStatus {
        self.shared.status()
    }

    pub(crate) fn channel(&self) -> Depth {
        self.channel.depth()
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.shared.pulse
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Since the engine was opened.
    pub(crate) fn uptime(&self) -> Duration {
        self.opened.elapsed()
    }

    /// What waited in the store at the last look.
    pub(crate) fn waiting(&self) -> Arc<Backlog> {
        self.pulse().waiting().map(|(backlog, _)| backlog).unwrap_or_default()
    }

    /// Queues that this process's worker takes steps from: those of its namespaces, or all there were at the last look.
    pub(crate) fn queues(&self) -> usize {
        match self.worker().namespaces {
            0 => self.waiting().queues.len(),
            named => named,
        }
    }

    /// How long ago the queues were last looked at; `None`: never yet.
    pub(crate) fn queues_seen(&self) -> Option<Duration> {
        self.pulse().waiting().map(|(_, at)| self.clock.now().since(at))
    }

    /// Seconds the longest waiting enqueued step had waited at the last look.
    pub(crate) fn lag_seconds(&self) -> f64 {
        let waiting = self.pulse().waiting();
        waiting.and_then(|(backlog, at)| Some(at.since(backlog.oldest()?).as_secs_f64())).unwrap_or(0.0)
    }

    /// The queues as of the last look.
    fn queue_looks(&self) -> Vec<QueueLook> {
        let Some((backlog, at)) = self.pulse().waiting() else { return Vec::new() };
        let look = |queue: &Queue| QueueLook {
            namespace: Arc::clone(&queue.namespace),
            depth: queue.steps,
            lag_seconds: queue.oldest.map_or(0.0, |oldest| at.since(oldest).as_secs_f64()),
        };
        backlog.queues.iter().map(look).collect()
    }

    /// Tasks that are left alone for a while, by number, and why.
    pub(crate) fn quarantined(&self) -> Vec<(i64, String)> {
        self.shared.quarantine()
    }

    /// Connections to the store: those in use, those that are there besides, and how many there may be.
    pub(crate) fn connections(&self) -> [usize; 3] {
        let found = self.reader.connections();
        let active = (found.reading + usize::from(self.pulse().in_transaction().is_some())).min(found.open);
        [active, found.open - active, found.max]
    }

    /// Everything, for a person.
    pub(crate) fn status(&self) -> serde_json::Value {
        let (worker, depth, counters) = (self.worker(), self.channel(), &self.shared.counters);
        let quarantined = self.quarantined();
        let quarantined: Vec<_> =
            quarantined.iter().map(|(number, why)| json!({ "task": number, "why": why })).collect();
        json!({
            "database": self.location,
            "worker": {
                "worker_id": worker.worker_id.as_deref(),
                "running": worker.running,
                "draining": worker.draining,
                "concurrency": worker.concurrency,
                "in_flight": worker.in_flight,
            },
            "channel": {
                "waiting": depth.waiting,
                "running": depth.running,
                "abandoned": depth.abandoned,
                "completions": depth.completions,
            },
            "engine": {
                "transaction_seconds": self.pulse().in_transaction().map(|since| since.as_secs_f64()),
            },
            "quarantined": quarantined,
            "totals": {
                "tasks_submitted": counters.submitted.load(Relaxed),
                "tasks_finalized": counters.finalized.load(Relaxed),
                "steps_claimed": counters.claimed.load(Relaxed),
                "steps_settled": counters.settled.load(Relaxed),
                "stale_completions": counters.stale_completions.load(Relaxed),
                "transactions": counters.transactions.load(Relaxed),
                "store_errors": counters.store_errors.load(Relaxed),
            },
        })
    }
}

impl Probe for Monitor {
    fn look(&self) -> Look {
        let (worker, depth, waiting) = (self.worker(), self.channel(), self.waiting());
        Look {
            channel_depth: depth.waiting,
            handlers_busy: depth.running,
            handlers_max: worker.concurrency,
            worker_state: match (worker.running, worker.draining) {
                (false, _) => 0,
                (true, true) => 1,
                (true, false) => 2,
            },
            tasks_active: waiting.tasks_active,
            workers_active: waiting.workers,
            queues: self.queue_looks(),
            breaker_state: self.pulse().breaker() as u8,
            connections: self.connections(),
        }
    }
}

impl BreakerState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half_open",
            BreakerState::Open => "open",
        }
    }
}
