//! Owns: what the passing of time brings into a transaction.

use std::collections::HashMap;

use super::{Working, DUE_LIMIT};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan;
use crate::state::{StepState, TaskState};

impl Working<'_> {
    /// Deals with what is due. Gives whether there may be more of it.
    pub(super) fn due(&mut self, now: Micros) -> Result<bool> {
        let due = self.transaction.due(now, DUE_LIMIT)?;
        let steps = due.retries.iter().chain(&due.leases).map(|&(task_id, _)| task_id);
        self.load(due.tasks.iter().copied().chain(steps).collect())?;
        for &task_id in &due.tasks {
            let Some(at) = self.at(task_id) else { continue };
            if self.loaded[at].graph.task.state == TaskState::Pending {
                plan::initialize(&mut self.loaded[at].graph, self.clock)?;
            }
        }
        let mut retries: HashMap<i64, Vec<usize>> = HashMap::new();
        for &(task_id, position) in &due.retries {
            retries.entry(task_id).or_default().push(position);
        }
        for (task_id, mut positions) in retries {
            let Some(at) = self.at(task_id) else { continue };
            let graph = &mut self.loaded[at].graph;
            positions.retain(|&position| graph.steps[position].state == StepState::WaitingForRetry);
            if !positions.is_empty() {
                plan::wake(graph, &positions, self.clock)?;
            }
        }
        for &(task_id, position) in &due.leases {
            let Some(at) = self.at(task_id) else { continue };
            let loaded = &mut self.loaded[at];
            let step = &loaded.graph.steps[position];
            // Renewed or settled since the list was made.
            if step.state != StepState::InProgress || step.due_at.is_none_or(|due_at| due_at > now) {
                continue;
            }
            let holder = step.worker_id.clone();
            let why = format!("{} died or did not renew its lease", holder.as_deref().unwrap_or("its worker"));
            plan::expire(&mut loaded.graph, position, &why, self.clock)?;
            if loaded.graph.steps[position].state == StepState::Error {
                loaded.settled += 1;
            }
        }
        Ok(due.tasks.len() + due.retries.len() + due.leases.len() >= DUE_LIMIT)
    }
}
