//! Owns: what callers ask for, in a transaction.

use std::sync::Arc;

use uuid::Uuid;

use super::Working;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{self, NewTask};
use crate::store::{Existing, IdempotencyKey};
use crate::worker::inbox::{Reply, Work};

impl Working<'_> {
    pub(super) fn carry_out(&mut self, work: &Work) -> Result<Reply> {
        match work {
            Work::Submit(tasks) => {
                tasks.iter().map(|new| self.submit(new)).collect::<Result<_>>().map(Reply::Submitted)
            }
            Work::KeepTemplate(template) => {
                let id = self.transaction.keep_template(template, self.clock.now())?;
                self.templates.push((id, Arc::clone(template)));
                Ok(Reply::Done)
            }
            Work::Cancel(task) => self.operate(*task, plan::cancel),
            Work::RerunStep(task, step) => self.operate(*task, |graph, clock| {
                let position = graph.position(step)?;
                plan::rerun_step(graph, position, clock)
            }),
            Work::ResolveStep(task, step, result) => self.operate(*task, |graph, clock| {
                let position = graph.position(step)?;
                plan::resolve_step(graph, position, result.clone(), clock)
            }),
            Work::ResolveTask(task) => self.operate(*task, plan::resolve_task),
            Work::StartWorker(_) | Work::Drain | Work::StopWorker => Ok(Reply::Done),
        }
    }

    /// Does something to one task; a refusal leaves the task as it was.
    fn operate(&mut self, task: Uuid, act: impl FnOnce(&mut Graph, &Clock) -> Result<()>) -> Result<Reply> {
        let unknown = || Error::NotFound(format!("there is no task {task} in this database"));
        let at = self.named.get(&task).and_then(|&task_id| self.at(task_id)).ok_or_else(unknown)?;
        let before = self.loaded[at].graph.clone();
        match act(&mut self.loaded[at].graph, self.clock) {
            Ok(()) => Ok(Reply::State(self.loaded[at].graph.task.state)),
            Err(error) => {
                self.loaded[at].graph = before;
                Err(error)
            }
        }
    }

    fn submit(&mut self, new: &NewTask) -> Result<(Uuid, Uuid, u128, bool)> {
        if let Some(key) = key(new) {
            if let Some(task) = self.keyed.get(&key) {
                return Ok((task.task_uuid, task.correlation_id, task.trace_id, false));
            }
            let (task_uuid, correlation_id, trace_id) = (new.task_uuid, new.correlation_id, new.trace.trace_id);
            self.keyed.insert(key, Existing { task_uuid, correlation_id, trace_id });
        }
        let mut graph = plan::submit(new.clone(), self.clock);
        if new.run_at.is_none_or(|at| at <= graph.task.created_at) {
            plan::initialize(&mut graph, self.clock)?;
        }
        let task = &graph.task;
        let answer = (task.task_uuid, task.correlation_id, task.trace.trace_id, true);
        self.add(graph);
        Ok(answer)
    }
}

pub(super) fn key(new: &NewTask) -> Option<IdempotencyKey> {
    let key = new.idempotency_key.clone()?;
    Some(IdempotencyKey { namespace: Arc::clone(&new.template.namespace), name: Arc::clone(&new.template.name), key })
}
