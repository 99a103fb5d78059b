//! Owns: what callers ask for, in a transaction.

use std::sync::Arc;

use uuid::Uuid;

use super::Working;
use crate::clock::Micros;
use crate::engine::inbox::{Reply, Work};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{self, NewTask};
use crate::store::{Existing, IdempotencyKey};

impl Working<'_> {
    pub(super) fn carry_out_request(&mut self, work: &Work) -> Result<Reply> {
        match work {
            Work::Submit(tasks) => {
                tasks.iter().map(|new| self.submit(new)).collect::<Result<_>>().map(Reply::Submitted)
            }
            Work::KeepTemplate(template) => {
                let id = self.transaction.keep_template(template, self.means.clock.now())?;
                self.templates.push((id, Arc::clone(template)));
                Ok(Reply::Done)
            }
            Work::Cancel(task) => self.operate(*task, plan::cancel),
            Work::RerunStep(task, step) => self.operate(*task, |graph, now| {
                let position = graph.position(step)?;
                plan::rerun_step(graph, position, now)
            }),
            Work::ResolveStep(task, step, result) => self.operate(*task, |graph, now| {
                let position = graph.position(step)?;
                plan::resolve_step(graph, position, result.clone(), now)
            }),
            Work::ResolveTask(task) => self.operate(*task, plan::resolve_task),
            Work::Publish(events) => {
                self.publish(events);
                Ok(Reply::Done)
            }
            Work::StartWorker(_) | Work::Drain | Work::StopWorker => Ok(Reply::Done),
        }
    }

    /// Does something to one task; a refusal leaves the task as it was.
    fn operate(&mut self, task: Uuid, act: impl FnOnce(&mut Graph, Micros) -> Result<()>) -> Result<Reply> {
        let Some(&task_id) = self.named.get(&task) else {
            return Err(Error::NotFound(format!("there is no task {task} in this database")));
        };
        let Some(at) = self.at(task_id) else {
            return Err(Error::Refused(format!(
                "task {task} cannot be read by this version and is left alone; the log and TaskerCore.status say why"
            )));
        };
        self.try_plan(at, |graph, now, _| act(graph, now))?;
        Ok(Reply::State(self.graph(at).task.state))
    }

    fn submit(&mut self, new: &NewTask) -> Result<(Uuid, Uuid, u128, bool)> {
        if let Some(key) = key(new) {
            if let Some(task) = self.keyed.get(&key) {
                return Ok((task.task_uuid, task.correlation_id, task.trace_id, false));
            }
            let (task_uuid, correlation_id, trace_id) = (new.task_uuid, new.correlation_id, new.trace.trace_id);
            self.keyed.insert(key, Existing { task_uuid, correlation_id, trace_id });
        }
        let now = self.means.clock.now();
        let mut graph = plan::submit(new, now, self.means.dice);
        if new.run_at.is_none_or(|at| at <= now) {
            plan::initialize(&mut graph, now)?;
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
