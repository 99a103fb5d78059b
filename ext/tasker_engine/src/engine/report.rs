//! Owns: telling people what a committed transaction did: log lines, spans, counts.

use super::attempts::Attempts;
use super::shared::Counters;
use super::trace;
use crate::graph::{Graph, StepTransition};
use crate::state::{StepState, TaskState};
use crate::telemetry::context::{with_context, TraceContext};
use crate::telemetry::spans as recorder;

/// Reports every change in `graphs`.
pub(super) fn report(graphs: &[Graph], attempts: &Attempts, counters: &Counters) {
    let mut spans = Vec::new();
    let record = recorder::enabled();
    for graph in graphs {
        if graph.task_transitions.iter().any(|transition| transition.to.is_final()) {
            Counters::add(&counters.finalized, 1);
            log_task(graph);
        }
        for transition in &graph.step_transitions {
            log_step(graph, transition);
        }
        if record {
            trace::spans(graph, attempts, &mut spans);
        }
    }
    if !spans.is_empty() {
        recorder::record_all(spans);
    }
}

fn context(graph: &Graph, span_id: Option<u64>) -> TraceContext {
    let trace = &graph.task.trace;
    TraceContext { trace_id: trace.trace_id, span_id: span_id.unwrap_or(trace.root_span_id), sampled: trace.sampled }
}

fn log_task(graph: &Graph) {
    let task = &graph.task;
    let duration_ms = task.state_since.millis_since(task.created_at);
    with_context(&context(graph, None), || match task.state {
        TaskState::Error => tracing::error!(
            task_uuid = %task.task_uuid, correlation_id = %task.correlation_id,
            namespace = %task.template.namespace, task_name = %task.template.name, duration_ms,
            failed_steps = %names(graph, StepState::Error),
            "Task failed"
        ),
        state => tracing::info!(
            task_uuid = %task.task_uuid, correlation_id = %task.correlation_id,
            namespace = %task.template.namespace, task_name = %task.template.name, duration_ms, state = %state,
            "Task ended"
        ),
    });
}

fn names(graph: &Graph, state: StepState) -> String {
    let steps = graph.steps.iter().zip(&graph.task.template.steps);
    let names: Vec<&str> = steps.filter(|(step, _)| step.state == state).map(|(_, template)| &*template.name).collect();
    names.join(",")
}

fn log_step(graph: &Graph, transition: &StepTransition) {
    let task = &graph.task;
    let step_name = &graph.task.template.steps[transition.position].name;
    let Some(ended) = &transition.ended else { return };
    let context = context(graph, ended.token);
    match &ended.error {
        Some(error) => with_context(&context, || {
            let next_attempt_in_ms = ended.wait.map(|wait| wait.as_secs_f64() * 1e3);
            tracing::warn!(
                task_uuid = %task.task_uuid, correlation_id = %task.correlation_id, step_name = %step_name,
                namespace = %task.template.namespace, attempt = transition.attempt, state = %transition.to,
                error.class = %error.class_name, error.message = %error.shown(), next_attempt_in_ms,
                "Step failed"
            );
        }),
        None if tracing::enabled!(tracing::Level::DEBUG) => with_context(&context, || {
            tracing::debug!(
                task_uuid = %task.task_uuid, correlation_id = %task.correlation_id, step_name = %step_name,
                namespace = %task.template.namespace, attempt = transition.attempt, state = %transition.to,
                duration_ms = transition.duration_ms,
                "Step settled"
            );
        }),
        None => {}
    }
}
