//! Owns: the messages in PGMQ, called in the transaction that changes the state they stand for. A step has a message
//! in `{namespace}_steps` exactly while it is enqueued, in_progress or waiting_for_retry; it is visible when the
//! step may be claimed. Refuses: deciding by what a message says: the steps do.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::Row;

use super::rows::time;
use crate::clock::Micros;
use crate::graph::Graph;
use crate::state::StepState;
use crate::step::Step;

// What follows is sent alone, and as a part of a larger statement, with other numbers for its parameters.

/// One send for each queue and time. The answer names each message's place in the arrays.
macro_rules! sending {
    ($queues:literal, $visible_at:literal, $messages:literal, $headers:literal) => {
        concat!(
            "SELECT g.numbers[s.ordinality] AS n, s.msg_id FROM ( \
               SELECT queue, visible_at, array_agg(n ORDER BY n) AS numbers, \
                 array_agg(message::jsonb ORDER BY n) AS messages, array_agg(header::jsonb ORDER BY n) AS headers \
               FROM unnest(",
            $queues,
            "::text[], ",
            $visible_at,
            "::timestamptz[], ",
            $messages,
            "::text[], ",
            $headers,
            "::text[]) \
                 WITH ORDINALITY AS u (queue, visible_at, message, header, n) GROUP BY queue, visible_at) g \
             CROSS JOIN LATERAL pgmq.send_batch(g.queue, g.messages, g.headers, g.visible_at) \
               WITH ORDINALITY AS s (msg_id, ordinality)"
        )
    };
}

/// One call for each queue and time.
macro_rules! hiding {
    ($queues:literal, $ids:literal, $visible_at:literal) => {
        concat!(
            "SELECT h.msg_id FROM (SELECT queue, visible_at, array_agg(id) AS ids \
               FROM unnest(",
            $queues,
            "::text[], ",
            $ids,
            "::bigint[], ",
            $visible_at,
            "::timestamptz[]) \
                 AS u (queue, id, visible_at) GROUP BY queue, visible_at) g \
             CROSS JOIN LATERAL pgmq.set_vt(g.queue, g.ids, g.visible_at) h"
        )
    };
}

pub(super) use {hiding, sending};

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

pub(super) type Query = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Messages to be sent.
#[derive(Default)]
pub(super) struct Outgoing {
    queues: Vec<String>,
    visible_at: Vec<DateTime<Utc>>,
    messages: Vec<String>,
    headers: Vec<String>,
}

pub(super) const SEND: &str = sending!("$1", "$2", "$3", "$4");

impl Outgoing {
    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// A message for a step of a graph. What it says is for whoever looks into the queue.
    pub(super) fn push(&mut self, graph: &Graph, position: usize, visible_at: Micros) {
        let task = &graph.task;
        let step = &task.template.steps[position];
        self.queues.push(steps(&task.template.namespace));
        self.visible_at.push(time(visible_at));
        // No name in it needs quoting: they are checked where the template is read.
        self.messages.push(format!(
            r#"{{"task_uuid":"{}","step_uuid":"{}","task_name":"{}","step_name":"{}","handler":"{}","priority":{}}}"#,
            task.task_uuid, graph.steps[position].step_uuid, task.template.name, step.name, step.handler, task.priority
        ));
        let (trace_id, span_id) = (task.trace.trace_id, task.trace.root_span_id);
        let flags = u8::from(task.trace.sampled);
        self.headers.push(format!(
            r#"{{"traceparent":"00-{trace_id:032x}-{span_id:016x}-{flags:02x}","correlation_id":"{}"}}"#,
            task.correlation_id
        ));
    }

    pub(super) fn bind(self, query: Query) -> Query {
        query.bind(self.queues).bind(self.visible_at).bind(self.messages).bind(self.headers)
    }

    /// Sends them; gives the number of each, beside its place among them.
    pub(super) async fn send(self, connection: &mut PgConnection) -> sqlx::Result<Vec<(usize, i64)>> {
        if self.queues.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.bind(sqlx::query(SEND)).fetch_all(connection).await?;
        let numbered = |row: &PgRow| {
            let number: i64 = row.try_get("n")?;
            Ok((usize::try_from(number - 1).unwrap_or(usize::MAX), row.try_get("msg_id")?))
        };
        rows.iter().map(numbered).collect()
    }
}

/// Messages of which something is to be done, and their queues.
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
    messages: Messages,
    visible_at: Vec<DateTime<Utc>>,
}

pub(super) const HIDE: &str = hiding!("$1", "$2", "$3");

impl Hidden {
    pub(super) fn push(&mut self, namespace: &str, id: Option<i64>, visible_at: Micros) {
        if let Some(id) = id {
            self.messages.push(namespace, id);
            self.visible_at.push(time(visible_at));
        }
    }

    pub(super) fn bind(self, query: Query) -> Query {
        query.bind(self.messages.queues).bind(self.messages.ids).bind(self.visible_at)
    }

    pub(super) async fn apply(self, connection: &mut PgConnection) -> sqlx::Result<()> {
        if !self.visible_at.is_empty() {
            self.bind(sqlx::query(HIDE)).execute(connection).await?;
        }
        Ok(())
    }
}
