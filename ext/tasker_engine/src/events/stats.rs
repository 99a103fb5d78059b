//! Owns: what was done with events since the process began, as `/metrics/events` tells it.

use serde::Serialize;

pub(super) use tasker_telemetry::record::metrics::domain_events::stats as now;
pub use tasker_telemetry::record::metrics::domain_events::{
    BusStats as InProcessEventBusStats, RouterStats as EventRouterStats,
};

/// Both, of one worker at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainEventStats {
    /// The router's.
    pub router: EventRouterStats,
    /// The bus's.
    pub in_process_bus: InProcessEventBusStats,
    /// When: RFC 3339, in UTC.
    pub captured_at: String,
    /// Whose; `None`: no worker runs in this process.
    pub worker_id: Option<String>,
}

impl DomainEventStats {
    /// As they are at `captured_at`.
    pub fn now(captured_at: String, worker_id: Option<&str>) -> DomainEventStats {
        let (router, in_process_bus) = now();
        DomainEventStats { router, in_process_bus, captured_at, worker_id: worker_id.map(str::to_owned) }
    }
}
