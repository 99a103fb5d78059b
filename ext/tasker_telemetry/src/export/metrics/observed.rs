//! Owns: the numbers that are looked up when somebody asks for metrics: how the engine is, what became of spans,
//! what the process uses.

use opentelemetry::metrics::{AsyncInstrument, Meter};
use opentelemetry::KeyValue;

use crate::process;
use crate::record::counts;
use crate::record::metrics::domain_events::{self, RouterStats};
use crate::record::metrics::{by_queue, catalogue as names, look, Look, MetricInfo};

type Observer<T> = Box<dyn Fn(&dyn AsyncInstrument<T>) + Send + Sync>;

fn looked(read: impl Fn(&Look, &mut dyn FnMut(f64, &[KeyValue])) + Send + Sync + 'static) -> Observer<f64> {
    Box::new(move |instrument| {
        if let Some(look) = look() {
            read(&look, &mut |value, labels| instrument.observe(value, labels));
        }
    })
}

fn gauge(meter: &Meter, info: &MetricInfo, observe: Observer<f64>) {
    let builder = meter.f64_observable_gauge(info.instrument).with_unit(info.unit).with_description(info.meaning);
    let _ = builder.with_callback(observe).build();
}

fn total(meter: &Meter, info: &MetricInfo, read: impl Fn() -> u64 + Send + Sync + 'static) {
    let builder = meter.u64_observable_counter(info.instrument).with_unit(info.unit).with_description(info.meaning);
    let _ = builder.with_callback(move |instrument| instrument.observe(read(), &[])).build();
}

pub(super) fn register(meter: &Meter) {
    let queue = |name: &str| [KeyValue::new("namespace", name.to_owned())];
    gauge(meter, &names::TASKS_ACTIVE, looked(|look, put| put(look.tasks_active as f64, &[])));
    gauge(meter, &names::FFI_CHANNEL_DEPTH, looked(|look, put| put(look.channel_depth as f64, &[])));
    let depth = move |look: &Look, put: &mut dyn FnMut(f64, &[KeyValue])| {
        by_queue(look, |queue| queue.depth as f64, |one, other| one + other, |value, name| put(value, &queue(name)));
    };
    gauge(meter, &names::QUEUE_DEPTH, looked(depth));
    let lag = move |look: &Look, put: &mut dyn FnMut(f64, &[KeyValue])| {
        by_queue(look, |queue| queue.lag_seconds, f64::max, |value, name| put(value, &queue(name)));
    };
    gauge(meter, &names::QUEUE_LAG, looked(lag));
    gauge(meter, &names::WORKERS_ACTIVE, looked(|look, put| put(look.workers_active as f64, &[])));
    gauge(meter, &names::WORKER_STATE, looked(|look, put| put(f64::from(look.worker_state), &[])));
    gauge(meter, &names::HANDLERS_BUSY, looked(|look, put| put(look.handlers_busy as f64, &[])));
    gauge(meter, &names::HANDLERS_MAX, looked(|look, put| put(look.handlers_max as f64, &[])));
    let store = [KeyValue::new("name", "store")];
    gauge(meter, &names::BREAKER_STATE, looked(move |look, put| put(f64::from(look.breaker_state), &store)));
    let states = ["active", "idle", "max"].map(|state| [KeyValue::new("state", state)]);
    let connections = looked(move |look, put| {
        for (count, labels) in look.connections.iter().zip(&states) {
            put(*count as f64, labels);
        }
    });
    gauge(meter, &names::STORE_CONNECTIONS, connections);
    total(meter, &names::SPANS_EXPORTED, counts::spans_exported);
    total(meter, &names::SPANS_DROPPED, counts::spans_dropped);
    total(meter, &names::LOGS_EXPORTED, counts::logs_exported);
    total(meter, &names::LOGS_DROPPED, counts::logs_dropped);
    total(meter, &names::EXPORT_FAILURES, counts::export_failures);
    let router = |read: fn(RouterStats) -> u64| move || read(domain_events::stats().0);
    total(meter, &names::ROUTER_DURABLE, router(|stats| stats.durable_routed));
    total(meter, &names::ROUTER_FAST, router(|stats| stats.fast_routed));
    total(meter, &names::ROUTER_BROADCAST, router(|stats| stats.broadcast_routed));
    total(meter, &names::ROUTER_FAST_ERRORS, router(|stats| stats.fast_delivery_errors));
    total(meter, &names::ROUTER_ERRORS, router(|stats| stats.routing_errors));
    this_process(meter);
}

fn this_process(meter: &Meter) {
    let start = process::started_at();
    gauge(meter, &names::PROCESS_START, read_from(move || start));
    gauge(meter, &names::PROCESS_MEMORY, read_from(|| Some(process::status("VmRSS:")? * 1024.0)));
    gauge(meter, &names::PROCESS_THREADS, read_from(|| process::status("Threads:")));
    let cpu = meter.f64_observable_counter(names::PROCESS_CPU.instrument).with_unit(names::PROCESS_CPU.unit);
    let cpu = cpu.with_description(names::PROCESS_CPU.meaning).with_callback(|instrument| {
        if let Some(seconds) = process::cpu_seconds() {
            instrument.observe(seconds, &[]);
        }
    });
    let _ = cpu.build();
}

fn read_from(read: impl Fn() -> Option<f64> + Send + Sync + 'static) -> Observer<f64> {
    Box::new(move |instrument| {
        if let Some(value) = read() {
            instrument.observe(value, &[]);
        }
    })
}
