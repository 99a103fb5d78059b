//! Owns: the log lines of a task's life. Lines about tasks have the target `tasker_orchestration`, lines about steps
//! `tasker_worker`, and each move `…::transition` of it: so a filter shows as much of them as somebody wants to see.

use crate::channel::StepEvent;
use crate::engine::attempts::Stale;
use crate::graph::{Graph, StepTransition, TaskTransition};
use crate::state::{StepState, TaskState};
use tasker_telemetry::record::context::{with_context, TraceContext};

const TASK: &str = "tasker_orchestration";
const TASK_MOVE: &str = "tasker_orchestration::transition";
const STEP: &str = "tasker_worker";
const STEP_MOVE: &str = "tasker_worker::transition";

fn context(graph: &Graph, span_id: Option<u64>) -> TraceContext {
    let trace = &graph.task.trace;
    TraceContext { trace_id: trace.trace_id, span_id: span_id.unwrap_or(trace.root_span_id), sampled: trace.sampled }
}

/// A line about the graph's task, with what every such line says.
macro_rules! task_line {
    ($level:ident, $target:expr, $graph:expr, $($field:tt)*) => {
        tracing::$level!(
            target: $target, task_uuid = %$graph.task.task_uuid, correlation_id = %$graph.task.correlation_id,
            namespace = %$graph.task.template.namespace, task_name = %$graph.task.template.name, $($field)*
        )
    };
}

/// A line about a step of the graph's task, with what every such line says.
macro_rules! step_line {
    ($level:ident, $target:expr, $graph:expr, $moved:expr, $($field:tt)*) => {
        tracing::$level!(
            target: $target, task_uuid = %$graph.task.task_uuid, correlation_id = %$graph.task.correlation_id,
            step_uuid = %$graph.steps[$moved.position].step_uuid,
            step_name = %$graph.task.template.steps[$moved.position].name,
            namespace = %$graph.task.template.namespace, attempt = $moved.attempt, $($field)*
        )
    };
}

/// A new task.
pub(super) fn created(graph: &Graph) {
    with_context(&context(graph, None), || {
        task_line!(info, TASK, graph, priority = graph.task.priority, total_steps = graph.steps.len(), "Task created");
    });
}

/// All moves of one transaction, in the order of their times.
pub(super) fn moves(graph: &Graph) {
    let mut steps = graph.step_transitions.iter().peekable();
    for moved in &graph.task_transitions {
        // At the same moment the step has moved first, and its task because of it.
        while let Some(step) = steps.next_if(|step| step.at <= moved.at) {
            step_moved(graph, step);
        }
        task_moved(graph, moved);
    }
    steps.for_each(|step| step_moved(graph, step));
}

fn task_moved(graph: &Graph, moved: &TaskTransition) {
    let elapsed_ms = moved.at.millis_since(graph.task.created_at);
    with_context(&context(graph, None), || {
        let (from_state, to_state) = (moved.from.as_str(), moved.to.as_str());
        task_line!(
            info,
            TASK_MOVE,
            graph,
            from_state,
            to_state,
            duration_ms = moved.duration_ms,
            "Task state transition"
        );
        match moved.to {
            TaskState::Initializing => task_line!(info, TASK, graph, "Task initialization started"),
            TaskState::Complete => task_line!(info, TASK, graph, elapsed_ms, "Task completed successfully"),
            TaskState::Error => {
                task_line!(error, TASK, graph, elapsed_ms, failed_steps = %failed(graph), "Task failed");
            }
            state if state.is_final() => task_line!(info, TASK, graph, elapsed_ms, state = %state, "Task ended"),
            _ => {}
        }
    });
}

fn failed(graph: &Graph) -> String {
    let steps = graph.steps.iter().zip(&graph.task.template.steps);
    let failed = steps.filter(|(step, _)| step.state == StepState::Error).map(|(_, template)| &*template.name);
    failed.collect::<Vec<_>>().join(",")
}

fn step_moved(graph: &Graph, moved: &StepTransition) {
    let ended = moved.ended.as_deref();
    let claimed = (moved.to == StepState::InProgress).then(|| graph.steps[moved.position].span_id).flatten();
    let context = context(graph, ended.and_then(|ended| ended.token).or(claimed));
    with_context(&context, || {
        let (from_state, to_state) = (moved.from.as_str(), moved.to.as_str());
        let (reason, worker_id) = (moved.reason, moved.worker_id.as_deref());
        step_line!(info, STEP_MOVE, graph, moved, from_state, to_state, reason, worker_id, "Step state transition");
        let Some(ended) = ended else { return };
        let next_attempt_in_ms = ended.wait.map(|wait| wait.as_secs_f64() * 1e3);
        match (&ended.error, moved.to) {
            (Some(error), StepState::WaitingForRetry | StepState::Enqueued) => step_line!(
                warn, STEP, graph, moved, state = %moved.to, error.class = %error.class_name,
                error.message = %error.shown(), next_attempt_in_ms, "Step execution failed, will retry"
            ),
            (Some(error), _) => step_line!(
                warn, STEP, graph, moved, state = %moved.to, error.class = %error.class_name,
                error.message = %error.shown(), "Step execution failed"
            ),
            (None, StepState::Complete) => step_line!(
                info,
                STEP,
                graph,
                moved,
                elapsed_ms = moved.duration_ms,
                "Step execution completed successfully"
            ),
            (None, _) => step_line!(
                info, STEP, graph, moved, state = %moved.to, elapsed_ms = moved.duration_ms, "Step execution ended"
            ),
        }
    });
}

/// An attempt's event goes to the handler threads. Its ids are said in full: they are what Ruby gets.
pub(super) fn fired(event: &StepEvent) {
    if !tracing::enabled!(target: STEP, tracing::Level::INFO) {
        return;
    }
    event.in_span(|| {
        tracing::info!(
            target: STEP, task_uuid = %event.task_uuid, correlation_id = %event.correlation_id, step_uuid = %event.step_uuid,
            step_name = %event.step_name,
            "Step execution event with trace context fired successfully to FFI handlers"
        );
    });
}

/// A result that was refused.
pub(super) fn stale(refused: &Stale) {
    let say = || {
        tracing::info!(
            target: STEP, task_uuid = %refused.task_uuid, step_uuid = %refused.step_uuid, event_id = %refused.event_id,
            success = refused.success,
            "A result was refused: its attempt was no longer current (its lease ran out, it timed out, or its task was cancelled)"
        );
    };
    match refused.handed_back {
        Some((trace_id, span_id)) => with_context(&TraceContext { trace_id, span_id, sampled: true }, say),
        None => say(),
    }
}
