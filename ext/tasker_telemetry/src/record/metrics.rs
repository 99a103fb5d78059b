//! Owns: the numbers of this process as they are recorded: what there is to record (`catalogue`), handles that are bound to their
//! labels (`series`, `store`), and what is looked up when somebody asks (`look`).
//! Refuses: ids as labels, and more label sets than can be borne.
//!
//! Recording goes through a bound handle, so that it costs an atomic addition or a short lock and no look-up. Totals are those of
//! the process: they outlive the engine, and start again at zero in a forked child.

pub mod catalogue;
pub mod domain_events;
mod look;
mod series;
mod store;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::span::Value;
pub use catalogue::{Kind, MetricInfo, CATALOGUE};
pub(crate) use look::{by_queue, look};
pub use look::{watch, Look, Probe, QueueLook};
pub use series::{StepSeries, TaskSeries};
pub use store::{Cache, Operations};

use catalogue as names;

/// A label: its name, and its value, which is a text, a number or a truth.
pub(crate) type Label = (&'static str, Value);

/// Makes what numbers are recorded with. The same metric and labels give the same number.
pub(crate) trait Meter: Send + Sync {
    fn count(&self, info: &MetricInfo, labels: &[Label]) -> Count;
    fn measure(&self, info: &MetricInfo, labels: &[Label]) -> Measure;
}

/// A counter with its labels.
#[derive(Clone)]
pub struct Count(Arc<dyn Fn(u64) + Send + Sync>);

impl Count {
    /// Begins at zero: a series that is there is one whose first event a rate() sees.
    pub(crate) fn new(add: impl Fn(u64) + Send + Sync + 'static) -> Count {
        add(0);
        Count(Arc::new(add))
    }

    /// Adds `count`.
    pub fn add(&self, count: usize) {
        if count > 0 {
            (self.0)(count as u64);
        }
    }
}

/// A histogram with its labels.
#[derive(Clone)]
pub struct Measure(Arc<dyn Fn(f64) + Send + Sync>);

impl Measure {
    pub(crate) fn new(record: impl Fn(f64) + Send + Sync + 'static) -> Measure {
        Measure(Arc::new(record))
    }

    /// Takes one value, in the metric's unit.
    pub fn record(&self, value: f64) {
        (self.0)(value);
    }

    /// Does the work, and takes the milliseconds it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.record(began.elapsed().as_secs_f64() * 1e3);
        done
    }
}

/// Where nobody keeps numbers.
struct Nobody;

impl Meter for Nobody {
    fn count(&self, _: &MetricInfo, _: &[Label]) -> Count {
        Count::new(|_| {})
    }

    fn measure(&self, _: &MetricInfo, _: &[Label]) -> Measure {
        Measure::new(|_| {})
    }
}

static MAKE: OnceLock<fn() -> Arc<dyn Meter>> = OnceLock::new();
static CURRENT: ArcSwapOption<Recorders> = ArcSwapOption::const_empty();

/// Everything that was made from this process's meter.
struct Recorders {
    meter: Arc<dyn Meter>,
    series: series::Directory,
    events: domain_events::Directory,
    engine: EngineMetrics,
}

/// What the engine records without labels of a task.
pub struct EngineMetrics {
    /// Results refused.
    pub stale_completions: Count,
    /// Milliseconds from an event's dispatch to a handler thread taking it up.
    pub handoff: Measure,
    /// Milliseconds from a handler thread's wake-up to its event in hand.
    pub gvl_wait: Measure,
    /// Milliseconds of one transaction.
    pub transaction: Measure,
    /// Milliseconds of the parts of a transaction.
    pub operations: Operations,
    /// Templates that were looked for in memory.
    pub templates: Cache,
    /// Tasks that were looked for in memory.
    pub tasks: Cache,
    /// Milliseconds from sending a commit that notifies to hearing of it.
    pub notification: Measure,
    /// Items one transaction carried.
    pub batch: Measure,
    /// Tasks that were left alone, because this version could not read them or go on with them.
    pub quarantined: Count,
    /// Requests the store's breaker refused.
    pub breaker_rejected: Count,
}

impl EngineMetrics {
    fn new(meter: &dyn Meter) -> EngineMetrics {
        // There from the start, as other counters are: the first error must not be one that rate() misses.
        meter.count(&names::STORE_ERRORS, &[("kind", "store".into())]);
        EngineMetrics {
            stale_completions: meter.count(&names::STALE_COMPLETIONS, &[]),
            handoff: meter.measure(&names::FFI_HANDOFF, &[]),
            gvl_wait: meter.measure(&names::FFI_GVL_WAIT, &[]),
            transaction: meter.measure(&names::STORE_TRANSACTION, &[]),
            operations: Operations::new(meter),
            templates: Cache::new(meter, "templates"),
            tasks: Cache::new(meter, "tasks"),
            notification: meter.measure(&names::QUEUE_NOTIFICATION, &[]),
            batch: meter.measure(&names::STORE_BATCH, &[]),
            quarantined: meter.count(&names::QUARANTINED, &[]),
            breaker_rejected: meter.count(&names::BREAKER_REJECTED, &[("name", "store".into())]),
        }
    }
}

/// Keeps the process's [`EngineMetrics`] at hand.
#[derive(Clone)]
pub struct EngineHandle(Arc<Recorders>);

impl EngineHandle {
    /// Counts a transaction that failed; `kind` is the error's.
    pub fn store_error(&self, kind: &'static str) {
        self.0.meter.count(&names::STORE_ERRORS, &[("kind", kind.into())]).add(1);
    }

    /// Takes note of a request to the web server. `route` is the route, never the path that was asked for.
    pub fn web_request(&self, route: &'static str, status: u16, milliseconds: f64) {
        let labels = [("route", route.into()), ("status", i32::from(status).into())];
        self.0.meter.measure(&names::WEB_DURATION, &labels).record(milliseconds);
    }
}

impl std::ops::Deref for EngineHandle {
    type Target = EngineMetrics;

    fn deref(&self) -> &EngineMetrics {
        &self.0.engine
    }
}

/// From now on numbers are kept by what `make` gives; handles that were made before go on as they are.
pub(crate) fn keep(make: fn() -> Arc<dyn Meter>) {
    if MAKE.set(make).is_ok() {
        CURRENT.store(None);
    }
}

/// This process's recorders, made on first use.
fn current() -> Arc<Recorders> {
    if let Some(recorders) = CURRENT.load_full() {
        return recorders;
    }
    let meter = MAKE.get().map_or_else(|| Arc::new(Nobody) as Arc<dyn Meter>, |make| make());
    let (series, events) = (series::Directory::new(&meter), domain_events::Directory::default());
    let made = Arc::new(Recorders { series, events, engine: EngineMetrics::new(&*meter), meter });
    let before = CURRENT.compare_and_swap(&None::<Arc<Recorders>>, Some(Arc::clone(&made)));
    before.as_ref().map_or(made, Arc::clone)
}

/// What the engine records without labels of a task. Keep the handle: it is made for speed.
pub fn engine() -> EngineHandle {
    EngineHandle(current())
}

/// The series of one template's tasks. Ask once a template and keep the answer.
pub fn task_series(namespace: &str, task_name: &str) -> Arc<TaskSeries> {
    let recorders = current();
    let series = recorders.series.task(namespace, task_name);
    domain_events::at_zero(&*recorders.meter, series.namespace());
    series
}

/// In a forked child: what was inherited is left alone (its locks may be shut for ever), and the
/// numbers start at zero.
pub(crate) fn forget() {
    std::mem::forget(CURRENT.swap(None));
    look::forget();
    domain_events::forget();
}
