//! Owns: domain events on the server: their rows, and their messages in PGMQ's queue of their namespace, with one statement
//! for all of a transaction; and deleting those that are old.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::queue;
use super::rows::{bigint, time};
use super::write::Values;
use crate::clock::Micros;
use crate::event::{self, DomainEvent};

/// The types of the statements' parameters.
pub(super) const TYPES: &str = "uuid[], text[], text[], text[], uuid[], uuid[], uuid[], timestamptz[], text[], text[]";

macro_rules! written {
    ($sent:literal, $from:literal) => {
        concat!(
            "WITH e AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], \
             $6::uuid[], $7::uuid[], $8::timestamptz[], $9::text[], $10::text[]) WITH ORDINALITY AS u (event_id, namespace, \
             name, key, task_uuid, step_uuid, correlation_id, fired_at, traceparent, message, n)), sent AS (",
            $sent,
            ") INSERT INTO tasker.events (event_id, namespace, name, key, task_uuid, step_uuid, correlation_id, fired_at, \
             traceparent, message) SELECT event_id, namespace, name, key, task_uuid, step_uuid, correlation_id, fired_at, \
             traceparent, message::json FROM ",
            $from,
            " ORDER BY n"
        )
    };
}

/// Events of any namespaces: a call of PGMQ's for each queue.
pub(super) const WRITE: &str = written!(
    "SELECT count(s.id) AS messages FROM (SELECT namespace, array_agg(message::jsonb ORDER BY n) AS messages, \
     array_agg(jsonb_strip_nulls(jsonb_build_object('traceparent', traceparent, 'correlation_id', correlation_id)) \
     ORDER BY n) AS headers FROM e GROUP BY namespace) g CROSS JOIN LATERAL \
     pgmq.send_batch(g.namespace || '_domain_events', g.messages, g.headers) AS s (id)",
    "e, sent"
);

/// Events of one namespace: what `pgmq.send_batch` executes on its queue, which it plans anew at each call.
pub(super) fn write_to(namespace: &str) -> String {
    let sent = written!(
        "INSERT INTO pgmq.q_QUEUE (vt, message, headers) SELECT clock_timestamp(), message::jsonb, \
         jsonb_strip_nulls(jsonb_build_object('traceparent', traceparent, 'correlation_id', correlation_id)) \
         FROM e ORDER BY n",
        "e"
    );
    sent.replace("QUEUE", &event::queue(namespace))
}

/// What a session prepares for a namespace.
pub(super) fn statement(namespace: &str, name: usize) -> String {
    format!("PREPARE tasker_events_{name} ({TYPES}) AS {}", write_to(namespace))
}

/// The columns of events.
#[derive(Default)]
pub(super) struct Rows {
    event_id: Vec<Uuid>,
    namespace: Vec<String>,
    name: Vec<String>,
    key: Vec<Option<String>>,
    task_uuid: Vec<Option<Uuid>>,
    step_uuid: Vec<Option<Uuid>>,
    correlation_id: Vec<Option<Uuid>>,
    fired_at: Vec<Micros>,
    traceparent: Vec<Option<String>>,
    message: Vec<String>,
}

impl Rows {
    pub(super) fn of(events: &[Arc<DomainEvent>]) -> Rows {
        let mut rows = Rows::default();
        for event in events {
            let metadata = &event.metadata;
            rows.event_id.push(event.event_id);
            rows.namespace.push(metadata.namespace.to_string());
            rows.name.push(event.event_name.to_string());
            rows.key.push(event.key.as_ref().map(ToString::to_string));
            rows.task_uuid.push(metadata.task_uuid);
            rows.step_uuid.push(metadata.step_uuid);
            rows.correlation_id.push(metadata.correlation_id);
            rows.fired_at.push(metadata.fired_at);
            rows.traceparent.push(event.traceparent());
            rows.message.push(event.message().to_owned());
        }
        rows
    }

    /// Their namespaces, each once.
    pub(super) fn namespaces(events: &[Arc<DomainEvent>]) -> Vec<&Arc<str>> {
        let mut found: Vec<&Arc<str>> = events.iter().map(|event| &event.metadata.namespace).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// As literals, in the order of the statements' parameters.
    pub(super) fn literals(&self, values: &mut Values<'_>) {
        let texts = |ids: &[Option<Uuid>]| -> Vec<Option<String>> {
            ids.iter().map(|id| id.map(|id| id.to_string())).collect()
        };
        let ids: Vec<Option<Uuid>> = self.event_id.iter().copied().map(Some).collect();
        let times: Vec<String> = self.fired_at.iter().map(|at| at.to_rfc3339_micros()).collect();
        values.optional_texts(&texts(&ids)).texts(&self.namespace).texts(&self.name).optional_texts(&self.key);
        values.optional_texts(&texts(&self.task_uuid)).optional_texts(&texts(&self.step_uuid));
        values.optional_texts(&texts(&self.correlation_id)).texts(&times).optional_texts(&self.traceparent);
        values.texts(&self.message);
    }

    /// Writes them with `statement`.
    pub(super) async fn write(self, connection: &mut PgConnection, statement: &str) -> sqlx::Result<()> {
        let fired_at: Vec<DateTime<Utc>> = self.fired_at.into_iter().map(time).collect();
        let query = sqlx::query(statement).bind(self.event_id).bind(self.namespace).bind(self.name).bind(self.key);
        let query = query.bind(self.task_uuid).bind(self.step_uuid).bind(self.correlation_id).bind(fired_at);
        query.bind(self.traceparent).bind(self.message).execute(connection).await.map(drop)
    }
}

/// The oldest events, of which those go that are old enough and that no group still has to deal with. What such groups keep
/// does not hold up the others.
pub(super) const PRUNE: &str = "DELETE FROM tasker.events WHERE id IN ( \
    SELECT id FROM (SELECT id, fired_at FROM tasker.events ORDER BY id \
      LIMIT $2 + (SELECT count(*) FROM tasker.event_deliveries)) oldest \
    WHERE fired_at < $1 AND id NOT IN (SELECT event_row FROM tasker.event_deliveries) ORDER BY id LIMIT $2)";

/// Queues of domain events, as far as their names need no quoting: others are nobody's here.
const QUEUES: &str = "SELECT queue_name::text FROM pgmq.meta WHERE queue_name ~ '^[a-z][a-z0-9_]*_domain_events$'";

/// Names the lock: "events" in ASCII.
const LOCK: i64 = 0x6576_656e_7473;

/// Deletes events that were fired before `before`, at most `limit` of them, and the messages of that age in each queue of
/// domain events, at most as many; by whichever worker gets the lock. Gives how many of either, the most.
pub(super) async fn prune(connection: &mut PgConnection, before: Micros, limit: usize) -> sqlx::Result<usize> {
    let mine: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(&mut *connection).await?;
    if !mine {
        return Ok(0);
    }
    let (before, limit) = (time(before), bigint(limit));
    let mut most = sqlx::query(PRUNE).bind(before).bind(limit).execute(&mut *connection).await?.rows_affected();
    let queues: Vec<String> = sqlx::query_scalar(QUEUES).fetch_all(&mut *connection).await?;
    for queue in queues {
        let delete = format!(
            "DELETE FROM pgmq.q_{queue} WHERE msg_id IN (SELECT msg_id FROM (SELECT msg_id, enqueued_at FROM \
             pgmq.q_{queue} ORDER BY msg_id LIMIT $2) oldest WHERE enqueued_at < $1)"
        );
        let deleted = sqlx::query(&delete).bind(before).bind(limit).execute(&mut *connection).await?;
        most = most.max(deleted.rows_affected());
    }
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Makes the queues of namespaces, unless they are there.
pub(super) async fn create_queues(connection: &mut PgConnection, namespaces: &[&Arc<str>]) -> sqlx::Result<()> {
    for namespace in namespaces {
        queue::create(connection, &event::queue(namespace)).await?;
    }
    Ok(())
}
