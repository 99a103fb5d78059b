//! Owns: what the passing of time brings into a transaction.

use std::collections::BTreeMap;

use super::Working;
use crate::clock::Now;
use crate::error::Result;
use crate::plan;
use crate::state::{StepState, TaskState};
use crate::store::Hold;

impl Working<'_> {
    /// Deals with what is due, at most `limit` of each kind. Gives whether there may be more of it.
    pub(super) fn due(&mut self, now: Now, limit: usize) -> Result<bool> {
        let due = self.transaction.due(now, limit, self.means.except)?;
        let steps = due.retries.iter().map(|&(task_id, _)| task_id);
        self.load(due.tasks.iter().copied().chain(steps).collect(), Hold::IfFree)?;
        for &task_id in &due.tasks {
            let Some(at) = self.at(task_id) else { continue };
            if self.graph(at).task.state == TaskState::Pending {
                let started = self.try_plan(at, |graph, now, _| plan::initialize(graph, now));
                self.left_alone(at, started);
            }
        }
        let mut retries: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for &(task_id, position) in &due.retries {
            retries.entry(task_id).or_default().push(position);
        }
        for (task_id, mut positions) in retries {
            let Some(at) = self.at(task_id) else { continue };
            let graph = self.graph(at);
            positions.retain(|&position| {
                graph.steps.get(position).is_some_and(|step| step.state == StepState::WaitingForRetry)
            });
            if !positions.is_empty() {
                let woken = self.try_plan(at, |graph, now, _| plan::wake(graph, &positions, now));
                self.left_alone(at, woken);
            }
        }
        Ok(due.tasks.len().max(due.retries.len()) >= limit)
    }

    /// A task about which nothing can be decided is left alone from now on.
    pub(super) fn left_alone<T>(&mut self, at: usize, decided: Result<T>) -> Option<T> {
        let task_id = self.graph(at).task.id;
        decided.map_err(|error| self.unreadable.push((task_id, error.to_string()))).ok()
    }
}
