//! Owns: what was done with events since the process began, as `/metrics/events` tells it.

use serde::Serialize;

use tasker_telemetry::record::metrics::domain_events as counts;

/// What the router did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EventRouterStats {
    /// Events routed, whichever way.
    pub total_routed: u64,
    /// Events sent via the durable path.
    pub durable_routed: u64,
    /// Events sent via the fast path.
    pub fast_routed: u64,
    /// Events sent via both.
    pub broadcast_routed: u64,
    /// Fast halves of a broadcast that failed: a subscriber's queue was full.
    pub fast_delivery_errors: u64,
    /// Durable deliveries that failed.
    pub routing_errors: u64,
}

/// What the in-process bus did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InProcessEventBusStats {
    /// Deliveries, to whomever.
    pub total_events_dispatched: u64,
    /// Deliveries to subscribers in Rust.
    pub rust_handler_dispatches: u64,
    /// Deliveries to the channel to Ruby.
    pub ffi_channel_dispatches: u64,
}

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

impl EventRouterStats {
    /// As they are now.
    pub fn now() -> EventRouterStats {
        let (router, _) = counts::stats();
        EventRouterStats {
            total_routed: router.total_routed,
            durable_routed: router.durable_routed,
            fast_routed: router.fast_routed,
            broadcast_routed: router.broadcast_routed,
            fast_delivery_errors: router.fast_delivery_errors,
            routing_errors: router.routing_errors,
        }
    }
}

impl InProcessEventBusStats {
    /// As they are now.
    pub fn now() -> InProcessEventBusStats {
        let (_, bus) = counts::stats();
        InProcessEventBusStats {
            total_events_dispatched: bus.total_events_dispatched,
            rust_handler_dispatches: bus.rust_handler_dispatches,
            ffi_channel_dispatches: bus.ffi_channel_dispatches,
        }
    }
}

impl DomainEventStats {
    /// As they are at `captured_at`.
    pub fn now(captured_at: String, worker_id: Option<&str>) -> DomainEventStats {
        let (router, in_process_bus) = (EventRouterStats::now(), InProcessEventBusStats::now());
        DomainEventStats { router, in_process_bus, captured_at, worker_id: worker_id.map(str::to_owned) }
    }
}
