//! Owns: which steps may run next, and enqueuing them.

use std::time::Duration;

use crate::clock::Micros;
use crate::error::Result;
use crate::graph::Graph;
use crate::state::{StepState, TaskState};

/// Positions of pending steps whose dependencies are all satisfied.
pub fn discover(graph: &Graph) -> Vec<usize> {
    let template = &graph.task.template;
    let satisfied = |position: &usize| graph.steps[*position].state.satisfies_dependents();
    (0..graph.steps.len())
        .filter(|&position| graph.steps[position].state == StepState::Pending)
        .filter(|&position| template.steps[position].dependencies.iter().all(satisfied))
        .collect()
}

/// Takes the task through `enqueuing_steps` to `steps_in_process`, enqueuing `ready` on the way.
pub(super) fn enqueue(graph: &mut Graph, ready: &[usize], began: Micros, now: Micros) -> Result<()> {
    graph.move_task(TaskState::EnqueuingSteps, began, now, ready.len())?;
    // After the task's move, as it happened.
    let enqueued = graph.task.state_since.after(Duration::from_micros(1));
    for &position in ready {
        graph.move_step(position, StepState::Enqueued, enqueued)?;
        graph.steps[position].due_at = None;
    }
    graph.move_task(TaskState::StepsInProcess, now, now, ready.len())
}
