//! Owns: few rows as one message.

use super::literal::{Script, Values};
use super::{hex, is_queued, message, message_id, Change, Message};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::step::Step;
use crate::store::journal::json_text;
use crate::store::postgres::queue;
use crate::store::postgres::queue_statements::QueueStatements;

/// Adds what writes the changes; `unlocked` are tasks that must be locked for it.
pub(in super::super) fn write(
    script: &mut Script,
    queues: &mut QueueStatements,
    changes: &[Change<'_>],
    unlocked: &[i64],
) -> Result<()> {
    if !unlocked.is_empty() {
        script.execute("tasker_lock_now", |values| {
            values.ints(unlocked);
        });
    }
    // In this order: whoever has some of the same tasks in hand waits here, and not half way through.
    for change in changes.iter().filter(|change| change.task && !change.graph.is_new) {
        task(script, change);
    }
    for change in changes {
        let Change { graph, row, .. } = change;
        script.execute("tasker_journal", |values| {
            values.int(graph.task.id).int(row.seq.into()).time(row.at).time(graph.task.state_since).text(&row.moves);
        });
    }
    for change in changes {
        if change.graph.is_new {
            new_task(script, change)?;
        }
        for (position, step) in change.steps() {
            write_step(script, queues, change, position, step)?;
        }
    }
    Ok(())
}

fn task(script: &mut Script, change: &Change<'_>) {
    let task = &change.graph.task;
    script.execute("tasker_task", |values| {
        values.int(task.id).text(task.state.as_str()).optional_time(change.waits_until());
        values.optional_time(task.completed_at).bool(task.trace.root_recorded);
    });
}

fn new_task(script: &mut Script, change: &Change<'_>) -> Result<()> {
    let (task, template) = (&change.graph.task, &change.graph.task.template);
    let context = task.context.as_deref().ok_or_else(|| Error::Internal("a new task has no context".into()))?;
    script.execute("tasker_new_task", |values| {
        values.int(task.id).text(&task.task_uuid.to_string()).int(task.template_id);
        values.text(&template.namespace).text(&template.name).text(&template.version).text(task.state.as_str());
        values.int(task.priority.into()).text(&task.correlation_id.to_string());
        values.optional(task.parent_correlation_id.map(|id| id.to_string()).as_deref());
        values.optional(task.idempotency_key.as_deref()).text(&format!("{:032x}", task.trace.trace_id));
        values.text(&hex(task.trace.root_span_id)).optional(task.trace.parent_span_id.map(hex).as_deref());
        values.bool(task.trace.sampled).bool(task.trace.root_recorded).time(task.created_at).optional_time(task.run_at);
        values.optional_time(change.waits_until()).optional_time(task.completed_at).text(context);
    });
    Ok(())
}

fn write_step(
    script: &mut Script,
    queues: &mut QueueStatements,
    change: &Change<'_>,
    position: usize,
    step: &Step,
) -> Result<()> {
    let task = &change.graph.task;
    let number = i64::try_from(position).unwrap_or(i64::MAX);
    let error = step.error.as_ref().filter(|_| step.settled).map(json_text).transpose()?;
    let result = step.result.as_deref().filter(|_| step.settled);
    if change.graph.is_new {
        new_step(script, queues, change.graph, position, step);
        return Ok(());
    }
    if step.settled {
        script.execute("tasker_settle", |values| {
            moved(values.int(task.id).int(number), step).optional_int(message_id(step));
            values.optional(error.as_deref()).optional(result);
        });
    } else {
        script.execute("tasker_step", |values| {
            moved(values.int(task.id).int(number), step).optional_int(message_id(step));
        });
    }
    let namespace = &task.template.namespace;
    match message(step) {
        Message::Keep => {}
        Message::Send(at) => {
            let prepared = queues.suffix(namespace);
            script.execute(&named("tasker_message", prepared), |values| {
                send(values.int(task.id).int(number), change.graph, position, at, prepared);
            });
        }
        Message::Delete(id) => match queues.suffix(namespace) {
            Some(name) => script.execute(&named("tasker_delete", Some(name)), |values| {
                values.int(id);
            }),
            None => script.statement(&format!("SELECT pgmq.delete('{}', {id})", queue::steps(namespace))),
        },
    }
    Ok(())
}

fn moved<'v, 't>(values: &'v mut Values<'t>, step: &Step) -> &'v mut Values<'t> {
    values.text(step.state.as_str()).bool(is_queued(step)).time(step.state_since);
    values.int(step.attempts.into()).int(step.max_attempts.into()).optional_time(step.due_at);
    values.optional(step.worker_id.as_deref()).optional(step.span_id.map(hex).as_deref())
}

fn new_step(script: &mut Script, queues: &mut QueueStatements, graph: &Graph, position: usize, step: &Step) {
    let (task, template) = (&graph.task, &graph.task.template);
    let number = i64::try_from(position).unwrap_or(i64::MAX);
    let sent = match message(step) {
        Message::Send(at) => Some((at, queues.suffix(&template.namespace))),
        Message::Keep | Message::Delete(_) => None,
    };
    let statement = sent.map_or_else(|| "tasker_new_step".into(), |(_, name)| named("tasker_new_step_sent", name));
    script.execute(&statement, |values| {
        values.int(task.id).int(number).text(&step.step_uuid.to_string()).text(&template.steps[position].name);
        values.text(&template.namespace).int(task.priority.into());
        moved(values, step);
        if let Some((at, prepared)) = sent {
            send(values, graph, position, at, prepared);
        }
    });
}

/// The statement of a queue, or the one for all of them.
fn named(statement: &str, queue: Option<usize>) -> String {
    queue.map_or_else(|| statement.to_owned(), |queue| format!("{statement}_{queue}"))
}

/// What a message says; where the statement is for all queues, which one.
fn send(values: &mut Values<'_>, graph: &Graph, position: usize, at: Micros, prepared: Option<usize>) {
    let (message, headers) = queue::message(graph, position);
    if prepared.is_none() {
        values.text(&queue::steps(&graph.task.template.namespace));
    }
    values.text(&message).text(&headers).time(at);
}
