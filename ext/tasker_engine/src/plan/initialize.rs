//! Owns: how a task and its steps come to be.

use std::sync::Arc;

use uuid::Uuid;

use super::discover::{discover, enqueue};
use super::evaluate::evaluate;
use crate::clock::Micros;
use crate::error::Result;
use crate::graph::Graph;
use crate::ids::Dice;
use crate::state::{StepState, TaskState};
use crate::step::Step;
use crate::task::{Task, TaskTrace};
use crate::template::Template;

/// A request that has been checked against its template.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The task's identity, fixed before it is stored.
    pub task_uuid: Uuid,
    /// What it is made from.
    pub template: Arc<Template>,
    /// The store's number for it.
    pub template_id: i64,
    /// The context, a JSON object.
    pub context: Arc<str>,
    /// Higher is claimed first.
    pub priority: i32,
    /// Given or made.
    pub correlation_id: Uuid,
    /// The workflow that starts it.
    pub parent_correlation_id: Option<Uuid>,
    /// At most one task of the template has it.
    pub idempotency_key: Option<String>,
    /// Its trace.
    pub trace: TaskTrace,
    /// When its first steps may run.
    pub run_at: Option<Micros>,
}

/// A pending task with pending steps.
pub fn submit(new: &NewTask, now: Micros, dice: &mut Dice) -> Graph {
    let steps: Vec<Step> =
        new.template.steps.iter().map(|template| pending(template.retry.max_attempts, now, dice)).collect();
    let task = Task {
        id: 0,
        task_uuid: new.task_uuid,
        template: Arc::clone(&new.template),
        template_id: new.template_id,
        state: TaskState::Pending,
        state_since: now,
        priority: new.priority,
        correlation_id: new.correlation_id,
        parent_correlation_id: new.parent_correlation_id,
        idempotency_key: new.idempotency_key.clone(),
        trace: new.trace,
        created_at: now,
        run_at: new.run_at,
        completed_at: None,
        journal: 0,
        context: Some(Arc::clone(&new.context)),
    };
    Graph { is_new: true, ..Graph::loaded(task, steps) }
}

fn pending(max_attempts: u32, now: Micros, dice: &mut Dice) -> Step {
    Step {
        step_uuid: dice.uuid_v7(now),
        state: StepState::Pending,
        state_since: now,
        attempts: 0,
        max_attempts,
        due_at: None,
        worker_id: None,
        span_id: None,
        message_id: None,
        result: None,
        error: None,
        settled: false,
        changed: true,
    }
}

/// Starts a pending task whose time has come: its first steps are enqueued. One whose steps were all
/// resolved before it began ends here.
pub fn initialize(graph: &mut Graph, now: Micros) -> Result<()> {
    graph.move_task(TaskState::Initializing, now, now, graph.steps.len())?;
    let ready = discover(graph);
    enqueue(graph, &ready, now, now)?;
    if ready.is_empty() {
        evaluate(graph, now, 0, now)?;
    }
    Ok(())
}
