//! Owns: the statements that write graphs.

use crate::store::postgres::queue::{hiding, sending};

pub(in super::super) const INSERT_TASKS: &str = "INSERT INTO tasker.tasks (task_uuid, template_id, namespace, name, version, state, \
    state_since, priority, correlation_id, parent_correlation_id, idempotency_key, trace_id, root_span_id, \
    parent_span_id, sampled, root_recorded, created_at, run_at, waits_until, completed_at, transitions, context) \
    SELECT task_uuid, template_id, namespace, name, version, state, state_since, priority, correlation_id, \
    parent_correlation_id, idempotency_key, trace_id, root_span_id, parent_span_id, sampled, root_recorded, created_at, \
    run_at, waits_until, completed_at, transitions, context::json FROM unnest($1::uuid[], $2::bigint[], $3::text[], \
    $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::int[], $9::uuid[], $10::uuid[], $11::text[], $12::text[], \
    $13::text[], $14::text[], $15::bool[], $16::bool[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], \
    $20::timestamptz[], $21::int[], $22::text[]) WITH ORDINALITY AS u (task_uuid, template_id, namespace, name, version, \
    state, state_since, priority, correlation_id, parent_correlation_id, idempotency_key, trace_id, root_span_id, \
    parent_span_id, sampled, root_recorded, created_at, run_at, waits_until, completed_at, transitions, context, n) \
    ORDER BY n RETURNING id, task_uuid";

pub(in super::super) const INSERT_STEPS: &str =
    "INSERT INTO tasker.steps (task_id, position, step_uuid, name, namespace, priority, state, \
    state_since, attempts, max_attempts, due_at, worker_id, span_id, transitions, message_id) \
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::text[], \
    $8::timestamptz[], $9::int[], $10::int[], $11::timestamptz[], $12::text[], $13::text[], $14::int[], $15::bigint[])";

// Everything else is one statement: its parts are independent of each other, but for the numbers of the messages that
// are sent. The answer is the transaction's number, by which it can be asked later whether it was committed.
pub(in super::super) const WRITE: &str = concat!("WITH \
    tasks AS (UPDATE tasker.tasks t SET state = u.state, state_since = u.state_since, waits_until = u.waits_until, \
      completed_at = u.completed_at, transitions = u.transitions, root_recorded = u.root_recorded \
      FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::int[], \
        $7::bool[]) AS u (id, state, state_since, waits_until, completed_at, transitions, root_recorded) \
      WHERE t.id = u.id), \
    sent AS MATERIALIZED (", sending!("$41", "$42", "$43", "$44"), "), \
    steps AS (UPDATE tasker.steps s SET state = u.state, state_since = u.state_since, attempts = u.attempts, \
      max_attempts = u.max_attempts, due_at = u.due_at, worker_id = u.worker_id, span_id = u.span_id, \
      transitions = u.transitions, \
      message_id = CASE WHEN u.outgoing IS NULL THEN u.message_id \
        ELSE ((SELECT array_agg(msg_id ORDER BY n) FROM sent))[u.outgoing] END, \
      error = CASE WHEN u.settled THEN u.error::json ELSE s.error END, \
      result = CASE WHEN u.settled THEN u.result::json ELSE s.result END \
      FROM unnest($8::bigint[], $9::int[], $10::text[], $11::timestamptz[], $12::int[], $13::int[], $14::timestamptz[], \
        $15::text[], $16::text[], $17::int[], $18::bigint[], $19::bool[], $20::text[], $21::text[], $22::int[]) \
        AS u (task_id, position, state, state_since, attempts, max_attempts, due_at, worker_id, span_id, transitions, \
        message_id, settled, error, result, outgoing) \
      WHERE s.task_id = u.task_id AND s.position = u.position), \
    task_transitions AS (INSERT INTO tasker.task_transitions (task_id, sort_key, from_state, to_state, created_at, metadata) \
      SELECT task_id, sort_key, from_state, to_state, created_at, metadata::json FROM unnest($23::bigint[], $24::int[], \
        $25::text[], $26::text[], $27::timestamptz[], $28::text[]) \
        AS u (task_id, sort_key, from_state, to_state, created_at, metadata)), \
    step_transitions AS (INSERT INTO tasker.step_transitions (task_id, position, sort_key, from_state, to_state, \
      created_at, metadata) \
      SELECT task_id, position, sort_key, from_state, to_state, created_at, metadata::json FROM unnest($29::bigint[], \
        $30::int[], $31::int[], $32::text[], $33::text[], $34::timestamptz[], $35::text[]) \
        AS u (task_id, position, sort_key, from_state, to_state, created_at, metadata)), \
    deleted AS (SELECT d.id FROM (SELECT queue, array_agg(id) AS ids FROM unnest($36::text[], $37::bigint[]) \
      AS u (queue, id) GROUP BY queue) g CROSS JOIN LATERAL pgmq.delete(g.queue, g.ids) AS d (id)), \
    hidden AS (", hiding!("$38", "$39", "$40"), ") \
    SELECT pg_current_xact_id()::text AS xid, (SELECT count(*) FROM sent) AS sent, \
      (SELECT count(*) FROM deleted) AS deleted, (SELECT count(*) FROM hidden) AS hidden, \
      CASE WHEN $45::text IS NOT NULL THEN pg_notify('tasker', $45)::text END AS notified");
