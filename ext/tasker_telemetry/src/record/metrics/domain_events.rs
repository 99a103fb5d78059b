//! Owns: what is counted of domain events, for `/metrics` and for `/metrics/events`. Refuses: the events themselves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::{current, names, Count, Label, Measure, Meter};

/// How an event travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Through the store.
    Durable,
    /// Inside this process.
    Fast,
    /// Both ways.
    Broadcast,
}

impl Delivery {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::Durable => "durable",
            Delivery::Fast => "fast",
            Delivery::Broadcast => "broadcast",
        }
    }
}

/// What was published of a namespace that has tasks is known, and is zero until an event comes: a query then
/// finds that instead of nothing. No event's name is known yet, and to Prometheus an empty label is none.
pub(super) fn at_zero(meter: &dyn Meter, namespace: &str) {
    for delivery in [Delivery::Durable, Delivery::Fast, Delivery::Broadcast] {
        meter.count(&names::EVENTS_PUBLISHED, &labels("", namespace, delivery));
        meter.count(&names::EVENTS_FAILED, &labels("", namespace, delivery));
        meter.measure(&names::EVENTS_DURATION, &timed(namespace, delivery));
    }
}

struct Routed {
    durable: AtomicU64,
    fast: AtomicU64,
    broadcast: AtomicU64,
    fast_errors: AtomicU64,
    errors: AtomicU64,
    to_rust: AtomicU64,
    to_ffi: AtomicU64,
}

static ROUTED: Routed = Routed {
    durable: AtomicU64::new(0),
    fast: AtomicU64::new(0),
    broadcast: AtomicU64::new(0),
    fast_errors: AtomicU64::new(0),
    errors: AtomicU64::new(0),
    to_rust: AtomicU64::new(0),
    to_ffi: AtomicU64::new(0),
};

/// The series of one event: to make them costs more than to count.
struct Series {
    published: Count,
    failed: Count,
    duration: Measure,
}

/// Events whose series are kept at hand. The names are the application's: those of others are made anew each time.
const KNOWN: usize = 1_000;

/// The series, by the event's name; then by namespace and delivery.
#[derive(Default)]
pub(super) struct Directory(Mutex<HashMap<String, OfName>>);

type OfName = Vec<(String, Delivery, Arc<Series>)>;

impl Directory {
    fn series(&self, meter: &dyn Meter, event_name: &str, namespace: &str, delivery: Delivery) -> Arc<Series> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_name = known.get(event_name).map_or(&[][..], Vec::as_slice);
        let found = of_name.iter().find(|(space, way, _)| space == namespace && *way == delivery);
        if let Some((_, _, series)) = found {
            return Arc::clone(series);
        }
        let labels = labels(event_name, namespace, delivery);
        // Both are there from the start: `failed / published` must find the same series on either side.
        let series = Arc::new(Series {
            published: meter.count(&names::EVENTS_PUBLISHED, &labels),
            failed: meter.count(&names::EVENTS_FAILED, &labels),
            duration: meter.measure(&names::EVENTS_DURATION, &timed(namespace, delivery)),
        });
        if known.len() < KNOWN && of_name.len() < KNOWN {
            let of_name = known.entry(event_name.to_owned()).or_default();
            of_name.push((namespace.to_owned(), delivery, Arc::clone(&series)));
        }
        series
    }
}

fn series(event_name: &str, namespace: &str, delivery: Delivery) -> Arc<Series> {
    let recorders = current();
    recorders.events.series(&*recorders.meter, event_name, namespace, delivery)
}

/// An event was published, which took so long.
pub fn published(event_name: &str, namespace: &str, delivery: Delivery, milliseconds: f64) {
    let series = series(event_name, namespace, delivery);
    series.published.add(1);
    series.duration.record(milliseconds);
}

/// An event could not be published.
pub fn failed(event_name: &str, namespace: &str, delivery: Delivery) {
    series(event_name, namespace, delivery).failed.add(1);
}

/// The router sent an event this way.
pub fn routed(delivery: Delivery) {
    let count = match delivery {
        Delivery::Durable => &ROUTED.durable,
        Delivery::Fast => &ROUTED.fast,
        Delivery::Broadcast => &ROUTED.broadcast,
    };
    count.fetch_add(1, Relaxed);
}

/// The fast half of a broadcast failed.
pub fn fast_delivery_error() {
    ROUTED.fast_errors.fetch_add(1, Relaxed);
}

/// A durable delivery failed.
pub fn routing_error() {
    ROUTED.errors.fetch_add(1, Relaxed);
}

/// The in-process bus gave an event to so many subscribers in Rust and to the channel to Ruby so often.
pub fn dispatched(to_rust: usize, to_ffi: usize) {
    ROUTED.to_rust.fetch_add(to_rust as u64, Relaxed);
    ROUTED.to_ffi.fetch_add(to_ffi as u64, Relaxed);
}

// Event names are the application's: the SDK's bound of label sets (2000 an instrument) holds them.
fn labels(event_name: &str, namespace: &str, delivery: Delivery) -> [Label; 3] {
    [
        ("delivery_mode", delivery.as_str().into()),
        ("event_name", event_name.to_owned().into()),
        ("namespace", namespace.to_owned().into()),
    ]
}

fn timed(namespace: &str, delivery: Delivery) -> [Label; 2] {
    [("delivery_mode", delivery.as_str().into()), ("namespace", namespace.to_owned().into())]
}

/// What the router did since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RouterStats {
    /// Events routed, whichever way.
    pub total_routed: u64,
    /// Events sent via the durable path.
    pub durable_routed: u64,
    /// Events sent via the fast path.
    pub fast_routed: u64,
    /// Events sent via both.
    pub broadcast_routed: u64,
    /// Fast halves of a broadcast that failed.
    pub fast_delivery_errors: u64,
    /// Durable deliveries that failed.
    pub routing_errors: u64,
}

/// What the in-process bus did since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BusStats {
    /// Deliveries, to whomever.
    pub total_events_dispatched: u64,
    /// Deliveries to subscribers in Rust.
    pub rust_handler_dispatches: u64,
    /// Deliveries to the channel to Ruby.
    pub ffi_channel_dispatches: u64,
}

/// The counts of `/metrics/events`.
pub fn stats() -> (RouterStats, BusStats) {
    let (durable, fast) = (ROUTED.durable.load(Relaxed), ROUTED.fast.load(Relaxed));
    let (broadcast, rust) = (ROUTED.broadcast.load(Relaxed), ROUTED.to_rust.load(Relaxed));
    let ffi = ROUTED.to_ffi.load(Relaxed);
    let router = RouterStats {
        total_routed: durable + fast + broadcast,
        durable_routed: durable,
        fast_routed: fast,
        broadcast_routed: broadcast,
        fast_delivery_errors: ROUTED.fast_errors.load(Relaxed),
        routing_errors: ROUTED.errors.load(Relaxed),
    };
    let bus =
        BusStats { total_events_dispatched: rust + ffi, rust_handler_dispatches: rust, ffi_channel_dispatches: ffi };
    (router, bus)
}

/// A forked child counts for itself.
pub(super) fn forget() {
    let Routed { durable, fast, broadcast, fast_errors, errors, to_rust, to_ffi } = &ROUTED;
    for count in [durable, fast, broadcast, fast_errors, errors, to_rust, to_ffi] {
        count.store(0, Relaxed);
    }
}
