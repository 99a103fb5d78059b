//! Owns: recorders bound to the labels of a task or a step, and the bound on how many label sets there are.
//! Refuses: label values nobody wrote into a template.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{names, Count, Label, Measure, Meter};

/// Pairs of namespace and task name that get series of their own; later ones share `other`.
const TASKS: usize = 200;
/// Handlers (of such a pair) that get series of their own, over all pairs; later ones share `other`.
const STEPS: usize = 1_000;
pub(super) const OTHER: &str = "other";

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
    /// Namespace and task name.
    names: [Arc<str>; 2],
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
        &self.names[0]
    }

    /// The series of a handler of this template. Ask once and keep the answer.
    pub fn step(&self, handler: &str) -> Arc<StepSeries> {
        let [namespace, task_name] = &self.names;
        let key = |handler: &str| [Arc::clone(namespace), Arc::clone(task_name), handler.into()];
        known(&self.steps.known, STEPS, key(handler), key(OTHER), |[namespace, task_name, handler]| {
            let labels: [Label; 3] = [
                ("handler", Arc::clone(handler).into()),
                ("namespace", Arc::clone(namespace).into()),
                ("task_name", Arc::clone(task_name).into()),
            ];
            let count = |info| self.steps.meter.count(info, &labels);
            StepSeries {
                executed: count(&names::STEPS_EXECUTED),
                succeeded: count(&names::STEPS_SUCCEEDED),
                failed: count(&names::STEPS_FAILED),
                retried: count(&names::STEPS_RETRIED),
                timed_out: count(&names::STEPS_TIMED_OUT),
                execution: self.steps.meter.measure(&names::STEP_EXECUTION, &labels),
            }
        })
    }
}

type Known<const N: usize, S> = Mutex<HashMap<[Arc<str>; N], Arc<S>>>;

struct Steps {
    meter: Arc<dyn Meter>,
    known: Known<3, StepSeries>,
}

/// All series there are.
pub(super) struct Directory {
    steps: Arc<Steps>,
    known: Known<2, TaskSeries>,
}

impl Directory {
    pub(super) fn new(meter: &Arc<dyn Meter>) -> Directory {
        let steps = Steps { meter: Arc::clone(meter), known: Mutex::default() };
        Directory { steps: Arc::new(steps), known: Mutex::default() }
    }

    pub(super) fn task(&self, namespace: &str, task_name: &str) -> Arc<TaskSeries> {
        let key = [namespace.into(), task_name.into()];
        known(&self.known, TASKS, key, [OTHER.into(), OTHER.into()], |key| {
            let labels: [Label; 2] =
                [("namespace", Arc::clone(&key[0]).into()), ("task_name", Arc::clone(&key[1]).into())];
            let count = |info| self.steps.meter.count(info, &labels);
            let measure = |info| self.steps.meter.measure(info, &labels);
            TaskSeries {
                created: count(&names::TASKS_CREATED),
                started: count(&names::TASKS_STARTED),
                completed: count(&names::TASKS_COMPLETED),
                failed: count(&names::TASKS_FAILED),
                cancelled: count(&names::TASKS_CANCELLED),
                duration: measure(&names::TASK_DURATION),
                enqueued: count(&names::STEPS_ENQUEUED),
                claimed: count(&names::STEPS_CLAIMED),
                queue_wait: measure(&names::STEP_QUEUE_WAIT),
                settle: measure(&names::STEP_SETTLE),
                names: key.clone(),
                steps: Arc::clone(&self.steps),
            }
        })
    }
}

/// What is known under a key, made if there is room for it; under `other` if there is none.
fn known<const N: usize, S>(
    all: &Known<N, S>,
    most: usize,
    key: [Arc<str>; N],
    other: [Arc<str>; N],
    make: impl FnOnce(&[Arc<str>; N]) -> S,
) -> Arc<S> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let key = if all.len() >= most && !all.contains_key(&key) { other } else { key };
    if let Some(series) = all.get(&key) {
        return Arc::clone(series);
    }
    let series = Arc::new(make(&key));
    all.insert(key, Arc::clone(&series));
    series
}
