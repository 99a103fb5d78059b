//! Owns: what a committed transaction adds to the metrics. Every count is a transition that is in the store, so that
//! totals equal the store's own. Refuses: counting what was rolled back.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Micros;
use crate::graph::{Graph, StepTransition};
use crate::state::{StepState, TaskState};
use crate::template::Template;
use tasker_telemetry::record::metrics::{self, EngineHandle, StepSeries, TaskSeries};

use super::attempts::Attempts;
use super::transaction::Outcome;

/// Templates whose series are kept at hand; more than a process has, unless it makes them up.
const TEMPLATES: usize = 1_000;

/// The engine's hand on the metrics.
pub(super) struct Metrics {
    pub(super) engine: EngineHandle,
    templates: HashMap<usize, Known>,
}

/// A template's series, kept by its address. The template is held, so that its address stays its own.
struct Known {
    _template: Arc<Template>,
    task: Arc<TaskSeries>,
    steps: Vec<Arc<StepSeries>>,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        Metrics { engine: metrics::engine(), templates: HashMap::new() }
    }

    /// Counts what became durable at `now`.
    pub(super) fn committed(&mut self, outcome: &Outcome, attempts: &Attempts, now: Micros) {
        for graph in &outcome.graphs {
            if graph.task_transitions.is_empty() && graph.step_transitions.is_empty() {
                continue;
            }
            let known = self.known(&graph.task.template);
            task(known, graph);
            for transition in &graph.step_transitions {
                step(known, transition, attempts, now);
            }
        }
        for &created in &outcome.created {
            if let Some(graph) = outcome.graphs.get(created) {
                self.known(&graph.task.template).task.created.add(1);
            }
        }
    }

    fn known(&mut self, template: &Arc<Template>) -> &Known {
        let key = Arc::as_ptr(template) as usize;
        if self.templates.len() >= TEMPLATES && !self.templates.contains_key(&key) {
            self.templates.clear();
        }
        self.templates.entry(key).or_insert_with(|| {
            let task = metrics::task_series(&template.namespace, &template.name);
            let steps = template.steps.iter().map(|step| task.step(&step.handler)).collect();
            Known { _template: Arc::clone(template), task, steps }
        })
    }
}

fn task(known: &Known, graph: &Graph) {
    for transition in &graph.task_transitions {
        let count = match transition.to {
            TaskState::Initializing => {
                known.task.started.add(1);
                continue;
            }
            TaskState::Complete => &known.task.completed,
            TaskState::Error => &known.task.failed,
            TaskState::Cancelled => &known.task.cancelled,
            _ => continue,
        };
        count.add(1);
        known.task.duration.record(transition.at.millis_since(graph.task.created_at));
    }
}

fn step(known: &Known, transition: &StepTransition, attempts: &Attempts, now: Micros) {
    let Some(step) = known.steps.get(transition.position) else { return };
    match transition.to {
        StepState::Enqueued => known.task.enqueued.add(1),
        StepState::InProgress => {
            known.task.claimed.add(1);
            known.task.queue_wait.record(transition.duration_ms);
        }
        StepState::Complete => step.succeeded.add(1),
        StepState::Error => step.failed.add(1),
        StepState::WaitingForRetry => step.retried.add(1),
        _ => {}
    }
    match transition.reason {
        Some("timeout") => step.timed_out.add(1),
        Some("lease_expired") if transition.to == StepState::Enqueued => step.retried.add(1),
        _ => {}
    }
    let completion = transition.ended.as_ref().and_then(|ended| attempts.completion(ended.token));
    if let Some(completion) = completion {
        step.executed.add(1);
        known.task.settle.record(now.millis_since(completion.received_at));
        if let Some(ms) = completion.execution_time_ms {
            step.execution.record(ms);
        }
    }
}
