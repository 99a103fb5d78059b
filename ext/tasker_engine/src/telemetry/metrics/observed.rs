//! Owns: the numbers that are looked up when somebody asks for metrics: how the engine is, what became of spans,
//! what the process uses. Refuses: blocking on a store or a collector.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use opentelemetry::KeyValue;

use super::{names, series, MetricInfo};
use crate::telemetry::{logs, spans};

/// How an engine is at this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Step events that no handler thread has taken up.
    pub channel_depth: usize,
    /// Handler threads that run a step.
    pub handlers_busy: usize,
    /// Handler threads there are.
    pub handlers_max: usize,
    /// 0 no worker, 1 draining, 2 running.
    pub worker_state: u8,
    /// Tasks that are not over, as of the last look into the store.
    pub tasks_active: usize,
    /// Workers of all processes whose lease had not run out, as of that look.
    pub workers_active: usize,
    /// The queues, as of that look.
    pub queues: Vec<QueueLook>,
    /// 0 closed, 1 half-open, 2 open.
    pub breaker_state: u8,
    /// Connections to the store: active, idle, and at most.
    pub connections: [usize; 3],
}

/// How a namespace's queue was at the last look into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueLook {
    /// The namespace.
    pub namespace: Arc<str>,
    /// Enqueued steps.
    pub depth: usize,
    /// Seconds the longest waiting of them had waited.
    pub lag_seconds: f64,
}

/// Queues that get series of their own; the others share `other`.
const QUEUES: usize = 200;

/// A value for each queue; those that share a series give it what `join` makes of theirs.
fn by_queue(
    look: &Look,
    value: impl Fn(&QueueLook) -> f64,
    join: impl Fn(f64, f64) -> f64,
    put: &mut dyn FnMut(f64, &[KeyValue]),
) {
    let (own, others) = look.queues.split_at(look.queues.len().min(QUEUES));
    for queue in own {
        put(value(queue), &[KeyValue::new("namespace", queue.namespace.to_string())]);
    }
    if let Some(together) = others.iter().map(value).reduce(join) {
        put(together, &[KeyValue::new("namespace", series::OTHER)]);
    }
}

/// Who can be asked for a [`Look`]. Must not block.
pub trait Probe: Send + Sync {
    /// How it is now.
    fn look(&self) -> Look;
}

struct Watched(Weak<dyn Probe>);

static WATCHED: ArcSwapOption<Watched> = ArcSwapOption::const_empty();

/// From now on this engine is the one whose gauges are shown; the one opened last wins.
pub fn watch(probe: &Arc<impl Probe + 'static>) {
    let weak: Weak<dyn Probe> = Arc::<_>::downgrade(probe) as Weak<dyn Probe>;
    WATCHED.store(Some(Arc::new(Watched(weak))));
}

pub(super) fn forget() {
    std::mem::forget(WATCHED.swap(None));
}

type Observer<T> = Box<dyn Fn(&dyn AsyncInstrument<T>) + Send + Sync>;

fn looked(read: impl Fn(&Look, &mut dyn FnMut(f64, &[KeyValue])) + Send + Sync + 'static) -> Observer<f64> {
    Box::new(move |instrument| {
        let look = WATCHED.load().as_ref().and_then(|watched| watched.0.upgrade()).map(|probe| probe.look());
        if let Some(look) = look {
            read(&look, &mut |value, labels| instrument.observe(value, labels));
        }
    })
}

fn gauge(meter: &Meter, info: &MetricInfo, observe: Observer<f64>) {
    let builder = meter.f64_observable_gauge(info.instrument).with_unit(info.unit).with_description(info.meaning);
    let _ = builder.with_callback(observe).build();
}

pub(super) fn total(meter: &Meter, info: &MetricInfo, read: impl Fn() -> u64 + Send + Sync + 'static) {
    let builder = meter.u64_observable_counter(info.instrument).with_unit(info.unit).with_description(info.meaning);
    let _ = builder.with_callback(move |instrument| instrument.observe(read(), &[])).build();
}

pub(super) fn register(meter: &Meter) {
    gauge(meter, &names::TASKS_ACTIVE, looked(|look, put| put(look.tasks_active as f64, &[])));
    gauge(meter, &names::FFI_CHANNEL_DEPTH, looked(|look, put| put(look.channel_depth as f64, &[])));
    let depth = |look: &Look, put: &mut dyn FnMut(f64, &[KeyValue])| {
        by_queue(look, |queue| queue.depth as f64, |one, other| one + other, put);
    };
    gauge(meter, &names::QUEUE_DEPTH, looked(depth));
    let lag = |look: &Look, put: &mut dyn FnMut(f64, &[KeyValue])| {
        by_queue(look, |queue| queue.lag_seconds, f64::max, put);
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
    total(meter, &names::SPANS_EXPORTED, spans::exported);
    total(meter, &names::SPANS_DROPPED, spans::dropped);
    total(meter, &names::LOGS_EXPORTED, logs::exported);
    total(meter, &names::LOGS_DROPPED, logs::dropped);
    total(meter, &names::EXPORT_FAILURES, spans::export_failures);
    process(meter);
}

fn process(meter: &Meter) {
    let start = started_at();
    gauge(meter, &names::PROCESS_START, read_from(move || start));
    gauge(meter, &names::PROCESS_MEMORY, read_from(|| Some(status("VmRSS:")? * 1024.0)));
    gauge(meter, &names::PROCESS_THREADS, read_from(|| status("Threads:")));
    let cpu = meter.f64_observable_counter(names::PROCESS_CPU.instrument).with_unit(names::PROCESS_CPU.unit);
    let cpu = cpu.with_description(names::PROCESS_CPU.meaning).with_callback(|instrument| {
        if let Some(seconds) = cpu_seconds() {
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

/// Linux counts a process's times in hundredths of a second, on every architecture it shows them to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A number from /proc/self/status; `None` where there is none.
fn status(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Field `at` of /proc/self/stat, counted from the state, which is 0.
fn stat(at: usize) -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(at)?.parse().ok()
}

/// Bytes of memory that the process has, and its threads; `None` where the system does not say.
pub fn resources() -> (Option<u64>, Option<u64>) {
    let number = |field, unit: u64| status(field).map(|count| count as u64 * unit);
    (number("VmRSS:", 1024), number("Threads:", 1))
}

fn cpu_seconds() -> Option<f64> {
    Some((stat(11)? + stat(12)?) / TICKS_PER_SECOND)
}

fn started_at() -> Option<f64> {
    let stat_file = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = stat_file.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat(19)? / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_beyond_the_bound_share_a_series() {
        let queue = |n: usize| QueueLook { namespace: format!("q{n}").into(), depth: 1, lag_seconds: n as f64 };
        let look = Look { queues: (0..QUEUES + 3).map(queue).collect(), ..Look::default() };
        let mut shown = Vec::new();
        let mut put = |value: f64, labels: &[KeyValue]| shown.push((labels[0].value.to_string(), value));
        by_queue(&look, |queue| queue.depth as f64, |one, other| one + other, &mut put);
        by_queue(&look, |queue| queue.lag_seconds, f64::max, &mut put);
        assert_eq!(shown.len(), 2 * (QUEUES + 1));
        assert_eq!(shown[QUEUES], ("other".into(), 3.0));
        assert_eq!(shown[QUEUES + 1..][QUEUES], ("other".into(), (QUEUES + 2) as f64));
        assert_eq!(shown[QUEUES - 1], (format!("q{}", QUEUES - 1), 1.0));
    }
}
