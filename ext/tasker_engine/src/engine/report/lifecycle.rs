//! Owns: what listeners in this process hear of tasks and steps that moved, under the names of `Tasker::Constants`.

use std::sync::Arc;

use crate::clock::Micros;
use crate::engine::attempts::Attempts;
use crate::events::Lifecycle;
use crate::graph::{Graph, StepTransition, TaskTransition};
use crate::ids;
use crate::state::{StepState, TaskState};

/// Everything of one transaction about one task, in the order in which it happened.
pub(super) fn items(graph: &Graph, created: bool, attempts: &Attempts) -> Vec<Lifecycle> {
    let mut items = Vec::new();
    if created {
        items.push(of_task(graph, "task.initialize_requested", graph.task.created_at));
    }
    let mut steps = graph.step_transitions.iter().peekable();
    for moved in &graph.task_transitions {
        while let Some(step) = steps.next_if(|step| step.at <= moved.at) {
            step_moved(graph, step, attempts, &mut items);
        }
        task_moved(graph, moved, &mut items);
    }
    steps.for_each(|step| step_moved(graph, step, attempts, &mut items));
    items
}

fn task_moved(graph: &Graph, moved: &TaskTransition, items: &mut Vec<Lifecycle>) {
    let names: &[&'static str] = match (moved.from, moved.to) {
        (_, TaskState::Initializing) => &["task.start_requested", "workflow.task_started"],
        (from, TaskState::EnqueuingSteps) if from.is_final() => &["task.retry_requested"],
        (TaskState::EnqueuingSteps, TaskState::StepsInProcess) if moved.steps > 0 => {
            &["workflow.viable_steps_discovered"]
        }
        (_, TaskState::WaitingForDependencies | TaskState::WaitingForRetry) => &["workflow.no_viable_steps"],
        (_, TaskState::Complete | TaskState::ResolvedManually) => &["task.completed", "workflow.task_completed"],
        (_, TaskState::Error) => &["task.failed", "workflow.task_failed"],
        (_, TaskState::Cancelled) => &["task.cancelled"],
        _ => &[],
    };
    for name in names {
        let mut item = of_task(graph, name, moved.at);
        if moved.to.is_final() {
            let took = moved.at.since(graph.task.created_at);
            (item.completed_at, item.execution_duration) =
                (Some(Lifecycle::moment(moved.at)), Some(took.as_secs_f64()));
        }
        items.push(item);
    }
}

fn step_moved(graph: &Graph, moved: &StepTransition, attempts: &Attempts, items: &mut Vec<Lifecycle>) {
    let failed = moved.ended.as_ref().is_some_and(|ended| ended.error.is_some());
    let step = &graph.steps[moved.position];
    let names: &[&'static str] = match moved.to {
        StepState::Enqueued if failed => &["step.failed", "step.retry_requested"],
        StepState::Enqueued => &["step.execution_requested"],
        StepState::InProgress => &["step.before_handle"],
        StepState::Complete => &["step.handle", "step.completed", "workflow.step_completed"],
        StepState::WaitingForRetry => &["step.failed", "step.retry_requested"],
        StepState::Error if moved.attempt >= step.max_attempts => {
            &["step.failed", "step.max_retries_reached", "workflow.step_failed"]
        }
        StepState::Error => &["step.failed", "workflow.step_failed"],
        StepState::ResolvedManually => &["step.completed", "workflow.step_completed"],
        StepState::Cancelled => &["step.cancelled"],
        _ => &[],
    };
    for name in names {
        items.push(of_step(graph, moved, attempts, name));
    }
}

fn of_task(graph: &Graph, event: &'static str, at: Micros) -> Lifecycle {
    let (task, template) = (&graph.task, &graph.task.template);
    let count = |wanted: fn(StepState) -> bool| Some(graph.steps.iter().filter(|step| wanted(step.state)).count());
    Lifecycle {
        event,
        task_uuid: task.task_uuid,
        task_name: Arc::clone(&template.name),
        namespace: Arc::clone(&template.namespace),
        correlation_id: task.correlation_id,
        trace_id: format!("{:032x}", task.trace.trace_id),
        span_id: format!("{:016x}", task.trace.root_span_id),
        at: Lifecycle::moment(at),
        started_at: Some(Lifecycle::moment(task.created_at)),
        total_steps: Some(graph.steps.len()),
        completed_steps: count(StepState::satisfies_dependents),
        failed_steps: count(|state| state == StepState::Error),
        ..Lifecycle::default()
    }
}

fn of_step(graph: &Graph, moved: &StepTransition, attempts: &Attempts, event: &'static str) -> Lifecycle {
    let step = &graph.steps[moved.position];
    let ended = moved.ended.as_deref();
    let token = ended.and_then(|ended| ended.token);
    let claimed = (moved.to == StepState::InProgress).then_some(step.span_id).flatten();
    let handler = attempts.completion(token).and_then(|completion| completion.handler);
    let began = handler.map(|(began, _)| began).or(ended.map(|ended| ended.claimed_at));
    let took = handler.map(|(began, done)| done.since(began)).or(ended.map(|ended| moved.at.since(ended.claimed_at)));
    let error = ended.and_then(|ended| ended.error.as_ref());
    Lifecycle {
        step_uuid: Some(step.step_uuid),
        step_name: Some(Arc::clone(&graph.task.template.steps[moved.position].name)),
        span_id: format!("{:016x}", span(graph, token.or(claimed))),
        started_at: began.or((moved.to == StepState::InProgress).then_some(moved.at)).map(Lifecycle::moment),
        completed_at: ended.map(|_| Lifecycle::moment(moved.at)),
        attempt_number: Some(moved.attempt).filter(|attempt| *attempt > 0),
        retry_limit: Some(step.max_attempts),
        execution_duration: took.map(|took| took.as_secs_f64()),
        error_message: error.map(|error| error.shown().to_owned()),
        error_class: error.map(|error| error.class_name.clone()),
        backtrace: error.map(|error| error.backtrace.clone()),
        total_steps: None,
        completed_steps: None,
        failed_steps: None,
        ..of_task(graph, event, moved.at)
    }
}

/// The span it happened in: the handler's of the attempt, or the task's.
fn span(graph: &Graph, attempt: Option<u64>) -> u64 {
    attempt.map_or(graph.task.trace.root_span_id, ids::handler_span_id)
}
