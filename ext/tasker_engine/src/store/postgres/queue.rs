//! Owns: the messages in PGMQ, called in the transaction that changes the state they stand for. A step has a message
//! in `{namespace}_steps` exactly while it is enqueued, in_progress or waiting_for_retry; it is visible when the
//! step may be claimed. Refuses: deciding by what a message says: the steps do.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::Row;

use super::rows::time;
use crate::clock::Micros;
use crate::graph::Graph;
use crate::state::StepState;
use crate::step::Step;

/// The queue of a namespace's steps.
pub(super) fn steps(namespace: &str) -> String {
    format!("{namespace}_steps")
}

/// Makes a namespace's queue, unless it is there.
pub(super) async fn create(connection: &mut PgConnection, namespace: &str) -> sqlx::Result<()> {
    let queue = steps(namespace);
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pgmq.meta WHERE queue_name = $1)")
        .bind(&queue)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        sqlx::query("SELECT pgmq.create($1)").bind(queue).execute(connection).await?;
    }
    Ok(())
}

/// When a step's message may be seen; `None` when there is to be none. In whole seconds: messages of one transaction
/// then mostly share their time, and go with one call.
pub(super) fn visible_at(step: &Step) -> Option<Micros> {
    let until = step.due_at.unwrap_or(step.state_since).0;
    match step.state {
        StepState::Enqueued => Some(Micros(until - until.rem_euclid(SECOND))),
        StepState::InProgress | StepState::WaitingForRetry => Some(Micros(until + (-until).rem_euclid(SECOND))),
        _ => None,
    }
}

const SECOND: i64 = 1_000_000;

/// Messages to be sent.
#[derive(Default)]
pub(super) struct Outgoing {
    queues: Vec<String>,
    visible_at: Vec<DateTime<Utc>>,
    messages: Vec<String>,
    headers: Vec<String>,
    /// Whose they are: a graph and a position.
    of: Vec<(usize, usize)>,
}

// One send for each queue and time. The answer names each message's place in the arrays.
pub(super) const SEND: &str = "SELECT g.numbers[s.ordinality] AS n, s.msg_id FROM ( \
      SELECT queue, visible_at, array_agg(n ORDER BY n) AS numbers, array_agg(message::jsonb ORDER BY n) AS messages, \
        array_agg(header::jsonb ORDER BY n) AS headers \
      FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[]) WITH ORDINALITY \
        AS u (queue, visible_at, message, header, n) GROUP BY queue, visible_at) g \
    CROSS JOIN LATERAL pgmq.send_batch(g.queue, g.messages, g.headers, g.visible_at) WITH ORDINALITY \
      AS s (msg_id, ordinality)";

impl Outgoing {
    /// A message for a step of a graph. What it says is for whoever looks into the queue.
    pub(super) fn push(&mut self, graph: &Graph, at: usize, position: usize, visible_at: Micros) {
        let task = &graph.task;
        let step = &task.template.steps[position];
        self.queues.push(steps(&task.template.namespace));
        self.visible_at.push(time(visible_at));
        self.messages.push(
            serde_json::json!({
                "task_uuid": task.task_uuid,
                "step_uuid": graph.steps[position].step_uuid,
                "task_name": &*task.template.name,
                "step_name": &*step.name,
                "handler": &*step.handler,
                "priority": task.priority,
            })
            .to_string(),
        );
        let (trace_id, span_id) = (task.trace.trace_id, task.trace.root_span_id);
        let flags = u8::from(task.trace.sampled);
        self.headers.push(format!(
            r#"{{"traceparent":"00-{trace_id:032x}-{span_id:016x}-{flags:02x}","correlation_id":"{}"}}"#,
            task.correlation_id
        ));
        self.of.push((at, position));
    }

    /// Sends them and gives their numbers to their steps.
    pub(super) async fn send(self, connection: &mut PgConnection, graphs: &mut [Graph]) -> sqlx::Result<()> {
        if self.of.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(SEND)
            .bind(&self.queues)
            .bind(&self.visible_at)
            .bind(&self.messages)
            .bind(&self.headers)
            .fetch_all(connection)
            .await?;
        for row in rows {
            let number: i64 = row.try_get("n")?;
            let owner = usize::try_from(number - 1).ok().and_then(|number| self.of.get(number));
            if let Some(&(at, position)) = owner {
                graphs[at].steps[position].message_id = Some(row.try_get("msg_id")?);
            }
        }
        Ok(())
    }
}

/// Messages of which something is to be done, by the namespace of their queue.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) queues: Vec<String>,
    pub(super) ids: Vec<i64>,
}

impl Messages {
    pub(super) fn push(&mut self, namespace: &str, id: i64) {
        self.queues.push(steps(namespace));
        self.ids.push(id);
    }
}

/// Messages not to be seen before a time.
#[derive(Default)]
pub(super) struct Hidden {
    until: HashMap<i64, Messages>,
}

pub(super) const HIDE: &str =
    "SELECT count(*) FROM (SELECT queue, array_agg(id) AS ids FROM unnest($1::text[], $2::bigint[]) \
      AS u (queue, id) GROUP BY queue) g CROSS JOIN LATERAL pgmq.set_vt(g.queue, g.ids, $3::timestamptz) s";

impl Hidden {
    pub(super) fn push(&mut self, namespace: &str, id: Option<i64>, until: Micros) {
        if let Some(id) = id {
            self.until.entry(until.0).or_default().push(namespace, id);
        }
    }

    pub(super) async fn apply(self, connection: &mut PgConnection) -> sqlx::Result<()> {
        for (until, messages) in self.until {
            sqlx::query(HIDE)
                .bind(messages.queues)
                .bind(messages.ids)
                .bind(time(Micros(until)))
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}
