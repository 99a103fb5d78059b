-- Everything of tasker_core's in PostgreSQL, but for the messages, which are PGMQ's (schema pgmq). States are the names
-- in docs/internals/state_machines.md. There are no foreign keys: each would cost a look-up for every row of the
-- hottest tables, and only the engine writes here.

-- Every template a task was ever made from. A changed document is a new row: tasks keep theirs.
CREATE TABLE tasker.templates (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace  text COLLATE "C" NOT NULL,
  name       text COLLATE "C" NOT NULL,
  version    text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  document   text NOT NULL
);
CREATE UNIQUE INDEX templates_document ON tasker.templates (namespace, name, version, md5(document));

-- `id` grows with age: among steps of equal priority and namespace the oldest task's is claimed first.
-- `waits_until` is `run_at` while the task is pending, and empty from then on. The row is written only when `state`
-- changes: what a transaction passes through on the way is in the journal. No index holds what changes while a task is
-- carried out, and pages have room to spare: those updates stay in their page and touch no index.
CREATE SEQUENCE tasker.task_ids;
CREATE TABLE tasker.tasks (
  id                    bigint PRIMARY KEY DEFAULT nextval('tasker.task_ids'),
  task_uuid             uuid NOT NULL,
  template_id           bigint NOT NULL,
  namespace             text COLLATE "C" NOT NULL,
  name                  text COLLATE "C" NOT NULL,
  version               text COLLATE "C" NOT NULL,
  state                 text COLLATE "C" NOT NULL,
  priority              integer NOT NULL,
  correlation_id        uuid NOT NULL,
  parent_correlation_id uuid,
  idempotency_key       text COLLATE "C",
  trace_id              text NOT NULL,
  root_span_id          text NOT NULL,
  parent_span_id        text,
  sampled               boolean NOT NULL,
  root_recorded         boolean NOT NULL,
  created_at            timestamptz NOT NULL,
  run_at                timestamptz,
  waits_until           timestamptz,
  completed_at          timestamptz,
  context               json NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER SEQUENCE tasker.task_ids OWNED BY tasker.tasks.id;
CREATE UNIQUE INDEX tasks_uuid ON tasker.tasks (task_uuid);
CREATE UNIQUE INDEX tasks_idempotency ON tasker.tasks (namespace, name, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_correlation ON tasker.tasks (correlation_id);
CREATE INDEX tasks_due ON tasker.tasks (waits_until) WHERE waits_until IS NOT NULL;
CREATE INDEX tasks_completed ON tasker.tasks (completed_at) WHERE completed_at IS NOT NULL;

-- `queued`: enqueued, and left to whoever claims it first. A step that is claimed in the transaction that makes it ready
-- never is. `due_at`: waiting_for_retry, when the next attempt may begin. `worker_id`: in_progress, whose claim it is; it
-- holds as long as the worker's row does. `span_id`: the claim's token, and the span id of the attempt's
-- worker.step_execution. `message_id`: the step's message in pgmq.q_{namespace}_steps, there exactly while the step is
-- queued or waits for a retry. An update of what no index holds stays in its page.
CREATE TABLE tasker.steps (
  task_id      bigint NOT NULL,
  position     integer NOT NULL,
  step_uuid    uuid NOT NULL,
  name         text COLLATE "C" NOT NULL,
  namespace    text COLLATE "C" NOT NULL,
  priority     integer NOT NULL,
  state        text COLLATE "C" NOT NULL,
  queued       boolean NOT NULL,
  state_since  timestamptz NOT NULL,
  attempts     integer NOT NULL,
  max_attempts integer NOT NULL,
  due_at       timestamptz,
  worker_id    text,
  span_id      text,
  message_id   bigint,
  error        json,
  result       json,
  PRIMARY KEY (task_id, position)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX steps_queued ON tasker.steps (namespace, priority DESC, task_id, position) WHERE queued;
CREATE INDEX steps_due ON tasker.steps (due_at) WHERE due_at IS NOT NULL;

-- Append only: what one transaction moved in one task. `seq` counts a task's rows from 1: two transactions that both
-- began from row n cannot both write row n + 1. `since`: when the task came to the state it was left in. `moves`: a JSON
-- array of [position (-1: the task), from, to, microseconds after `at`, milliseconds in from, attempt, worker, reason,
-- error]. It is json, not jsonb: nothing in it is looked for.
CREATE TABLE tasker.journal (
  task_id bigint NOT NULL,
  seq     integer NOT NULL,
  at      timestamptz NOT NULL,
  since   timestamptz NOT NULL,
  moves   json NOT NULL,
  CONSTRAINT journal_seq PRIMARY KEY (task_id, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- The journal's moves as rows. To find a task by its correlation id quickly, ask tasker.tasks for its id first.
CREATE VIEW tasker.task_transitions AS
SELECT j.task_id, (row_number() OVER (PARTITION BY j.task_id ORDER BY j.seq, m.n))::integer AS sort_key,
  m.move ->> 1 AS from_state, m.move ->> 2 AS to_state,
  j.at + (m.move ->> 3)::bigint * interval '1 microsecond' AS created_at,
  json_build_object('correlation_id', t.correlation_id, 'duration_ms', m.move -> 4) AS metadata
FROM tasker.journal j JOIN tasker.tasks t ON t.id = j.task_id
  CROSS JOIN LATERAL json_array_elements(j.moves) WITH ORDINALITY AS m (move, n)
WHERE (m.move ->> 0)::integer < 0;

CREATE VIEW tasker.step_transitions AS
SELECT j.task_id, (m.move ->> 0)::integer AS position,
  (row_number() OVER (PARTITION BY j.task_id, (m.move ->> 0)::integer ORDER BY j.seq, m.n))::integer AS sort_key,
  m.move ->> 1 AS from_state, m.move ->> 2 AS to_state,
  j.at + (m.move ->> 3)::bigint * interval '1 microsecond' AS created_at,
  json_strip_nulls(json_build_object('correlation_id', t.correlation_id, 'duration_ms', m.move -> 4,
    'attempt', nullif((m.move ->> 5)::integer, 0), 'worker', m.move -> 6, 'reason', m.move -> 7,
    'error', m.move -> 8)) AS metadata
FROM tasker.journal j JOIN tasker.tasks t ON t.id = j.task_id
  CROSS JOIN LATERAL json_array_elements(j.moves) WITH ORDINALITY AS m (move, n)
WHERE (m.move ->> 0)::integer >= 0;

CREATE VIEW tasker.workflow_step_transitions AS SELECT * FROM tasker.step_transitions;

-- Who works here. A worker's claims hold until `lease_until`, by the server's clock; it renews the row, not the claims.
-- `tasks`: the numbers of all tasks in which it has claims; `unbegun`: the tokens of claims that no handler has begun.
CREATE TABLE tasker.workers (
  worker_id       text PRIMARY KEY,
  host            text NOT NULL,
  pid             bigint NOT NULL,
  process_started text NOT NULL,
  started_at      timestamptz NOT NULL,
  lease_until     timestamptz NOT NULL,
  tasks           bigint[] NOT NULL DEFAULT '{}',
  unbegun         bigint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX workers_host ON tasker.workers (host);

-- Domain events, written in the transaction that they tell of. A reader goes in the order (xid, id), and reads only rows
-- with xid < pg_snapshot_xmin(pg_current_snapshot()): a transaction that took its numbers early and commits late is then
-- never passed by. `message`: the whole event. `key`: events of one key are handled in this order where a group asks.
CREATE TABLE tasker.events (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
  event_id       uuid NOT NULL,
  namespace      text COLLATE "C" NOT NULL,
  name           text COLLATE "C" NOT NULL,
  key            text COLLATE "C",
  task_uuid      uuid,
  step_uuid      uuid,
  correlation_id uuid,
  fired_at       timestamptz NOT NULL,
  traceparent    text,
  message        json NOT NULL
);
CREATE UNIQUE INDEX events_event_id ON tasker.events (event_id);
CREATE INDEX events_order ON tasker.events (xid, id);

-- Who follows the events: up to the cursor a group has seen each that fits one of its patterns (a JSON array). One holder
-- at a time reads for it, until `held_until` by the server's clock. `key_order`: events of one key one after another.
CREATE TABLE tasker.event_groups (
  name       text COLLATE "C" PRIMARY KEY,
  patterns   json NOT NULL,
  key_order  boolean NOT NULL,
  cursor_xid xid8 NOT NULL DEFAULT '0',
  cursor_id  bigint NOT NULL DEFAULT 0,
  holder     text,
  held_until timestamptz,
  began_at   timestamptz NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- What a group's cursor has passed and the group has not handled: an event that failed, or whose key has an earlier one
-- here. `event_row`: the event's id. `due_at`: when it may be tried again. `dead`: given up, until a person decides.
CREATE TABLE tasker.event_deliveries (
  group_name text COLLATE "C" NOT NULL,
  event_row  bigint NOT NULL,
  key        text COLLATE "C",
  attempts   integer NOT NULL,
  due_at     timestamptz NOT NULL,
  dead       boolean NOT NULL DEFAULT false,
  error      text,
  PRIMARY KEY (group_name, event_row)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX event_deliveries_due ON tasker.event_deliveries (group_name, due_at) WHERE NOT dead;
CREATE INDEX event_deliveries_key ON tasker.event_deliveries (group_name, key, event_row) WHERE key IS NOT NULL;
