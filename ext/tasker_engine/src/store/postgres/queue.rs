//! Owns: the messages in PGMQ, called in the transaction that changes the state they stand for. A step has a message
//! in `{namespace}_steps` exactly while it is enqueued and waits for some worker, or waits for a retry; it is visible when
//! the step may be claimed. Refuses: deciding by what a message says: the steps do.

use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::Row;

use super::rows::time;
use crate::clock::Micros;
use crate::graph::Graph;

/// The queue of a namespace's steps.
pub(super) fn steps(namespace: &str) -> String {
    format!("{namespace}_steps")
}

/// Makes a queue, unless it is there.
pub(super) async fn create(connection: &mut PgConnection, queue: &str) -> sqlx::Result<()> {
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pgmq.meta WHERE queue_name = $1)")
        .bind(queue)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        sqlx::query("SELECT pgmq.create($1)").bind(queue).execute(connection).await?;
    }
    Ok(())
}

/// The message for a step of a graph and its headers, as JSON. What it says is for whoever looks into the queue. No name
/// in it needs quoting: they are checked where the template is read.
pub(super) fn message(graph: &Graph, position: usize) -> (String, String) {
    let task = &graph.task;
    let step = &task.template.steps[position];
    let (trace_id, span_id) = (task.trace.trace_id, task.trace.root_span_id);
    let flags = u8::from(task.trace.sampled);
    (
        format!(
            r#"{{"task_uuid":"{}","step_uuid":"{}","task_name":"{}","step_name":"{}","handler":"{}","priority":{}}}"#,
            task.task_uuid, graph.steps[position].step_uuid, task.template.name, step.name, step.handler, task.priority
        ),
        format!(
            r#"{{"traceparent":"00-{trace_id:032x}-{span_id:016x}-{flags:02x}","correlation_id":"{}"}}"#,
            task.correlation_id
        ),
    )
}

/// Messages to be sent.
#[derive(Default)]
pub(super) struct Outgoing {
    queues: Vec<String>,
    visible_at: Vec<DateTime<Utc>>,
    messages: Vec<String>,
    headers: Vec<String>,
}

/// One send for each queue and time. The answer names each message's place in the arrays.
pub(super) const SEND: &str = "SELECT g.numbers[s.ordinality] AS n, s.msg_id FROM ( \
       SELECT queue, visible_at, array_agg(n ORDER BY n) AS numbers, \
         array_agg(message::jsonb ORDER BY n) AS messages, array_agg(header::jsonb ORDER BY n) AS headers \
       FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[]) \
         WITH ORDINALITY AS u (queue, visible_at, message, header, n) GROUP BY queue, visible_at) g \
     CROSS JOIN LATERAL pgmq.send_batch(g.queue, g.messages, g.headers, g.visible_at) \
       WITH ORDINALITY AS s (msg_id, ordinality)";

/// Messages of one transaction share their time as far as it does not matter, and go with one call.
const SECOND: i64 = 1_000_000;

impl Outgoing {
    pub(super) fn push(&mut self, graph: &Graph, position: usize, visible_at: Micros) {
        let (message, headers) = message(graph, position);
        let waits = graph.steps[position].due_at.is_some();
        let whole = visible_at.0 - visible_at.0.rem_euclid(SECOND);
        self.queues.push(steps(&graph.task.template.namespace));
        self.visible_at.push(time(if waits { visible_at } else { Micros(whole) }));
        self.messages.push(message);
        self.headers.push(headers);
    }

    /// Sends them; gives the number of each, beside its place among them.
    pub(super) async fn send(self, connection: &mut PgConnection) -> sqlx::Result<Vec<(usize, i64)>> {
        if self.queues.is_empty() {
            return Ok(Vec::new());
        }
        let send = sqlx::query(SEND).bind(self.queues).bind(self.visible_at).bind(self.messages).bind(self.headers);
        let rows = send.fetch_all(connection).await?;
        let numbered = |row: &PgRow| {
            let number: i64 = row.try_get(0)?;
            Ok((usize::try_from(number - 1).unwrap_or(usize::MAX), row.try_get(1)?))
        };
        rows.iter().map(numbered).collect()
    }
}

/// Messages to be deleted.
#[derive(Default)]
pub(super) struct Messages {
    queues: Vec<String>,
    ids: Vec<i64>,
}

/// One call for each queue.
pub(super) const DELETE: &str = "SELECT d.id FROM (SELECT queue, array_agg(id) AS ids \
    FROM unnest($1::text[], $2::bigint[]) AS u (queue, id) GROUP BY queue) g \
    CROSS JOIN LATERAL pgmq.delete(g.queue, g.ids) AS d (id)";

impl Messages {
    pub(super) fn push(&mut self, namespace: &str, id: i64) {
        self.queues.push(steps(namespace));
        self.ids.push(id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Binds them for [`DELETE`], if there are any.
    pub(super) fn bind<'q>(self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
        if self.ids.is_empty() {
            return query;
        }
        query.bind(self.queues).bind(self.ids)
    }
}
