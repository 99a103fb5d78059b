//! Owns: the statements that write graphs. Each is there twice: for one row, prepared by name in each session and executed
//! with many others in one message; and for many rows, with an array for each column.

/// A task that is only remembered, and now to be written: who has it in hand may be waiting for what is held here.
pub(in super::super) const LOCK_NOW: &str =
    "SELECT id FROM tasker.tasks WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE NOWAIT";

pub(in super::super) const INSERT_TASKS: &str = "INSERT INTO tasker.tasks (id, task_uuid, template_id, namespace, name, version, state, \
    priority, correlation_id, parent_correlation_id, idempotency_key, trace_id, root_span_id, parent_span_id, sampled, \
    root_recorded, created_at, run_at, waits_until, completed_at, context) \
    SELECT id, task_uuid, template_id, namespace, name, version, state, priority, correlation_id, parent_correlation_id, \
    idempotency_key, trace_id, root_span_id, parent_span_id, sampled, root_recorded, created_at, run_at, waits_until, \
    completed_at, context::json FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
    $7::text[], $8::int[], $9::uuid[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bool[], \
    $16::bool[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::text[]) \
    AS u (id, task_uuid, template_id, namespace, name, version, state, priority, correlation_id, parent_correlation_id, \
    idempotency_key, trace_id, root_span_id, parent_span_id, sampled, root_recorded, created_at, run_at, waits_until, \
    completed_at, context)";

pub(in super::super) const INSERT_STEPS: &str = "INSERT INTO tasker.steps (task_id, position, step_uuid, name, namespace, priority, state, queued, \
    state_since, attempts, max_attempts, due_at, worker_id, span_id, message_id, error, result) \
    SELECT task_id, position, step_uuid, name, namespace, priority, state, queued, state_since, attempts, max_attempts, \
    due_at, worker_id, span_id, message_id, error::json, result::json \
    FROM unnest($1::bigint[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::text[], $8::bool[], \
    $9::timestamptz[], $10::int[], $11::int[], $12::timestamptz[], $13::text[], $14::text[], $15::bigint[], $16::text[], \
    $17::text[]) AS u (task_id, position, step_uuid, name, namespace, priority, state, queued, state_since, attempts, \
    max_attempts, due_at, worker_id, span_id, message_id, error, result)";

pub(in super::super) const UPDATE_TASKS: &str =
    "UPDATE tasker.tasks t SET state = u.state, waits_until = u.waits_until, \
    completed_at = u.completed_at, root_recorded = u.root_recorded \
    FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::bool[]) \
    AS u (id, state, waits_until, completed_at, root_recorded) WHERE t.id = u.id";

pub(in super::super) const UPDATE_STEPS: &str = "UPDATE tasker.steps s SET state = u.state, queued = u.queued, state_since = u.state_since, \
    attempts = u.attempts, max_attempts = u.max_attempts, due_at = u.due_at, worker_id = u.worker_id, span_id = u.span_id, \
    message_id = u.message_id FROM unnest($1::bigint[], $2::int[], $3::text[], $4::bool[], $5::timestamptz[], $6::int[], \
    $7::int[], $8::timestamptz[], $9::text[], $10::text[], $11::bigint[]) \
    AS u (task_id, position, state, queued, state_since, attempts, max_attempts, due_at, worker_id, span_id, message_id) \
    WHERE s.task_id = u.task_id AND s.position = u.position";

pub(in super::super) const SETTLE_STEPS: &str = "UPDATE tasker.steps s SET state = u.state, queued = u.queued, state_since = u.state_since, \
    attempts = u.attempts, max_attempts = u.max_attempts, due_at = u.due_at, worker_id = u.worker_id, span_id = u.span_id, \
    message_id = u.message_id, error = u.error::json, result = u.result::json \
    FROM unnest($1::bigint[], $2::int[], $3::text[], $4::bool[], $5::timestamptz[], $6::int[], \
    $7::int[], $8::timestamptz[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[]) \
    AS u (task_id, position, state, queued, state_since, attempts, max_attempts, due_at, worker_id, span_id, message_id, \
    error, result) WHERE s.task_id = u.task_id AND s.position = u.position";

// In order: whoever has the same tasks in hand waits at the first of them.
pub(in super::super) const INSERT_JOURNAL: &str = "INSERT INTO tasker.journal (task_id, seq, at, since, moves) \
    SELECT task_id, seq, at, since, moves::json FROM unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::timestamptz[], \
    $5::text[]) WITH ORDINALITY AS u (task_id, seq, at, since, moves, n) ORDER BY n";

/// What a session prepares for transactions of few rows: names, types of parameters, statements.
pub(super) const PREPARED: &[(&str, &str, &str)] = &[
    (
        "tasker_new_task",
        "bigint, uuid, bigint, text, text, text, text, int, uuid, uuid, text, text, text, text, bool, bool, timestamptz, \
         timestamptz, timestamptz, timestamptz, json",
        "INSERT INTO tasker.tasks (id, task_uuid, template_id, namespace, name, version, state, priority, correlation_id, \
         parent_correlation_id, idempotency_key, trace_id, root_span_id, parent_span_id, sampled, root_recorded, \
         created_at, run_at, waits_until, completed_at, context) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
         $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
    ),
    (
        "tasker_new_step",
        "bigint, int, uuid, text, text, int, text, bool, timestamptz, int, int, timestamptz, text, text",
        "INSERT INTO tasker.steps (task_id, position, step_uuid, name, namespace, priority, state, queued, state_since, \
         attempts, max_attempts, due_at, worker_id, span_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
         $13, $14)",
    ),
    (
        "tasker_new_step_sent",
        "bigint, int, uuid, text, text, int, text, bool, timestamptz, int, int, timestamptz, text, text, text, jsonb, \
         jsonb, timestamptz",
        "INSERT INTO tasker.steps (task_id, position, step_uuid, name, namespace, priority, state, queued, state_since, \
         attempts, max_attempts, due_at, worker_id, span_id, message_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
         $11, $12, $13, $14, (SELECT pgmq.send($15, $16, $17, $18)))",
    ),
    (
        "tasker_task",
        "bigint, text, timestamptz, timestamptz, bool",
        "UPDATE tasker.tasks SET state = $2, waits_until = $3, completed_at = $4, root_recorded = $5 WHERE id = $1",
    ),
    (
        "tasker_step",
        "bigint, int, text, bool, timestamptz, int, int, timestamptz, text, text, bigint",
        "UPDATE tasker.steps SET state = $3, queued = $4, state_since = $5, attempts = $6, max_attempts = $7, due_at = $8, \
         worker_id = $9, span_id = $10, message_id = $11 WHERE task_id = $1 AND position = $2",
    ),
    (
        "tasker_settle",
        "bigint, int, text, bool, timestamptz, int, int, timestamptz, text, text, bigint, json, json",
        "UPDATE tasker.steps SET state = $3, queued = $4, state_since = $5, attempts = $6, max_attempts = $7, due_at = $8, \
         worker_id = $9, span_id = $10, message_id = $11, error = $12, result = $13 WHERE task_id = $1 AND position = $2",
    ),
    (
        "tasker_journal",
        "bigint, int, timestamptz, timestamptz, json",
        "INSERT INTO tasker.journal (task_id, seq, at, since, moves) VALUES ($1, $2, $3, $4, $5)",
    ),
    (
        "tasker_message",
        "bigint, int, text, jsonb, jsonb, timestamptz",
        "UPDATE tasker.steps SET message_id = (SELECT pgmq.send($3, $4, $5, $6)) WHERE task_id = $1 AND position = $2",
    ),
    ("tasker_lock_now", "bigint[]", LOCK_NOW),
    ("tasker_events", super::super::events::TYPES, super::super::events::WRITE),
    ("tasker_hold", "text, interval, bigint[], bigint[]", super::super::leases::HOLD),
];
