//! Owns: instruments bound to the labels of a task or a step, and the bound on how many label sets there are.
//! Refuses: label values nobody wrote into a template.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};
use opentelemetry::{KeyValue, Value};

use super::{counter, histogram, names};

/// Pairs of namespace and task name that get series of their own; later ones share `other`.
const TASKS: usize = 200;
/// Handlers (of such a pair) that get series of their own, over all pairs; later ones share `other`.
const STEPS: usize = 1_000;
pub(super) const OTHER: &str = "other";

/// A counter with its labels.
#[derive(Clone)]
pub struct Count(BoundCounter<u64>);

impl Count {
    pub(super) fn new(counter: &Counter<u64>, labels: &[KeyValue]) -> Count {
        let bound = counter.bind(labels);
        // A series that begins at zero is one whose first event a rate() sees.
        bound.add(0);
        Count(bound)
    }

    /// Adds `count`.
    pub fn add(&self, count: usize) {
        if count > 0 {
            self.0.add(count as u64);
        }
    }
}

/// A histogram with its labels.
#[derive(Clone)]
pub struct Measure(BoundHistogram<f64>);

impl Measure {
    pub(super) fn new(histogram: &Histogram<f64>, labels: &[KeyValue]) -> Measure {
        Measure(histogram.bind(labels))
    }

    /// Takes one value, in the metric's unit.
    pub fn record(&self, value: f64) {
        self.0.record(value);
    }
}

/// The series of one template's tasks: labels `namespace` and `task_name`. Durations are milliseconds.
#[allow(missing_docs)] // each is described in the catalogue
pub struct TaskSeries {
    pub created: Count,
    pub started: Count,
    pub completed: Count,
    pub failed: Count,
    pub cancelled: Count,
    pub duration: Measure,
    pub enqueued: Count,
    pub claimed: Count,
    pub queue_wait: Measure,
    pub settle: Measure,
    labels: [KeyValue; 2],
    steps: Arc<Steps>,
}

/// The series of one handler in one template: label `handler` besides the task's. Durations are
/// milliseconds.
#[allow(missing_docs)] // each is described in the catalogue
pub struct StepSeries {
    pub executed: Count,
    pub succeeded: Count,
    pub failed: Count,
    pub retried: Count,
    pub timed_out: Count,
    pub execution: Measure,
}

impl TaskSeries {
    /// The label: the namespace, or `other`.
    pub(super) fn namespace(&self) -> &str {
        match &self.labels[0].value {
            Value::String(namespace) => namespace.as_str(),
            _ => OTHER,
        }
    }

    /// The series of a handler of this template. Ask once and keep the answer.
    pub fn step(&self, handler: &str) -> Arc<StepSeries> {
        self.steps.get(&self.labels, handler)
    }
}

struct Steps {
    executed: Counter<u64>,
    succeeded: Counter<u64>,
    failed: Counter<u64>,
    retried: Counter<u64>,
    timed_out: Counter<u64>,
    execution: Histogram<f64>,
    known: Mutex<HashMap<[String; 3], Arc<StepSeries>>>,
}

impl Steps {
    fn get(&self, task: &[KeyValue; 2], handler: &str) -> Arc<StepSeries> {
        let key = |handler: &str| [task[0].value.to_string(), task[1].value.to_string(), handler.to_owned()];
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = key(handler);
        if known.len() >= STEPS && !known.contains_key(&wanted) {
            wanted = key(OTHER);
        }
        let labels = [KeyValue::new("handler", wanted[2].clone()), task[0].clone(), task[1].clone()];
        let make = || StepSeries {
            executed: Count::new(&self.executed, &labels),
            succeeded: Count::new(&self.succeeded, &labels),
            failed: Count::new(&self.failed, &labels),
            retried: Count::new(&self.retried, &labels),
            timed_out: Count::new(&self.timed_out, &labels),
            execution: Measure::new(&self.execution, &labels),
        };
        Arc::clone(known.entry(wanted).or_insert_with(|| Arc::new(make())))
    }
}

/// All series there are.
pub(super) struct Directory {
    created: Counter<u64>,
    started: Counter<u64>,
    completed: Counter<u64>,
    failed: Counter<u64>,
    cancelled: Counter<u64>,
    duration: Histogram<f64>,
    enqueued: Counter<u64>,
    claimed: Counter<u64>,
    queue_wait: Histogram<f64>,
    settle: Histogram<f64>,
    steps: Arc<Steps>,
    known: Mutex<HashMap<[String; 2], Arc<TaskSeries>>>,
}

impl Directory {
    pub(super) fn new(meter: &Meter) -> Directory {
        Directory {
            created: counter(meter, &names::TASKS_CREATED),
            started: counter(meter, &names::TASKS_STARTED),
            completed: counter(meter, &names::TASKS_COMPLETED),
            failed: counter(meter, &names::TASKS_FAILED),
            cancelled: counter(meter, &names::TASKS_CANCELLED),
            duration: histogram(meter, &names::TASK_DURATION),
            enqueued: counter(meter, &names::STEPS_ENQUEUED),
            claimed: counter(meter, &names::STEPS_CLAIMED),
            queue_wait: histogram(meter, &names::STEP_QUEUE_WAIT),
            settle: histogram(meter, &names::STEP_SETTLE),
            steps: Arc::new(Steps {
                executed: counter(meter, &names::STEPS_EXECUTED),
                succeeded: counter(meter, &names::STEPS_SUCCEEDED),
                failed: counter(meter, &names::STEPS_FAILED),
                retried: counter(meter, &names::STEPS_RETRIED),
                timed_out: counter(meter, &names::STEPS_TIMED_OUT),
                execution: histogram(meter, &names::STEP_EXECUTION),
                known: Mutex::default(),
            }),
            known: Mutex::default(),
        }
    }

    pub(super) fn task(&self, namespace: &str, task_name: &str) -> Arc<TaskSeries> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = [namespace.to_owned(), task_name.to_owned()];
        if known.len() >= TASKS && !known.contains_key(&wanted) {
            wanted = [OTHER.to_owned(), OTHER.to_owned()];
        }
        let labels = [KeyValue::new("namespace", wanted[0].clone()), KeyValue::new("task_name", wanted[1].clone())];
        let make = || TaskSeries {
            created: Count::new(&self.created, &labels),
            started: Count::new(&self.started, &labels),
            completed: Count::new(&self.completed, &labels),
            failed: Count::new(&self.failed, &labels),
            cancelled: Count::new(&self.cancelled, &labels),
            duration: Measure::new(&self.duration, &labels),
            enqueued: Count::new(&self.enqueued, &labels),
            claimed: Count::new(&self.claimed, &labels),
            queue_wait: Measure::new(&self.queue_wait, &labels),
            settle: Measure::new(&self.settle, &labels),
            steps: Arc::clone(&self.steps),
            labels: labels.clone(),
        };
        Arc::clone(known.entry(wanted).or_insert_with(|| Arc::new(make())))
    }
}
