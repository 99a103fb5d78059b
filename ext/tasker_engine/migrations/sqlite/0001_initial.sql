-- Times are microseconds since the Unix epoch (UTC). States are the names in docs/internals/state_machines.md.

-- What was done to this file's schema. `works_with`: the oldest version whose gem works with it; the number of rows is
-- `user_version`.
CREATE TABLE schema_migrations (
  version    INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  works_with INTEGER NOT NULL,
  applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- Every template a task was ever made from. A changed document is a new row: tasks keep theirs.
CREATE TABLE templates (
  id         INTEGER PRIMARY KEY,
  namespace  TEXT NOT NULL,
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  document   TEXT NOT NULL
);
CREATE INDEX templates_name ON templates (namespace, name, version);

-- `id` grows with age and is never used again: among steps of equal priority the oldest task's is claimed first.
CREATE TABLE tasks (
  id                    INTEGER PRIMARY KEY AUTOINCREMENT,
  task_uuid             TEXT NOT NULL,
  template_id           INTEGER NOT NULL REFERENCES templates (id),
  namespace             TEXT NOT NULL,
  name                  TEXT NOT NULL,
  version               TEXT NOT NULL,
  state                 TEXT NOT NULL,
  priority              INTEGER NOT NULL,
  correlation_id        TEXT NOT NULL,
  parent_correlation_id TEXT,
  idempotency_key       TEXT,
  trace_id              TEXT NOT NULL,
  root_span_id          TEXT NOT NULL,
  parent_span_id        TEXT,
  sampled               INTEGER NOT NULL,
  root_recorded         INTEGER NOT NULL DEFAULT 0,
  created_at            INTEGER NOT NULL,
  run_at                INTEGER,
  completed_at          INTEGER,
  context               TEXT NOT NULL
);
CREATE UNIQUE INDEX tasks_uuid ON tasks (task_uuid);
CREATE UNIQUE INDEX tasks_idempotency ON tasks (namespace, name, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_correlation ON tasks (correlation_id);
CREATE INDEX tasks_due ON tasks (run_at) WHERE state = 'pending';
CREATE INDEX tasks_completed ON tasks (completed_at) WHERE completed_at IS NOT NULL;

-- `due_at`: waiting_for_retry, when the next attempt may begin. `worker_id`: in_progress, whose claim it is; it holds as
-- long as the worker's row does. `span_id`: the claim's token, and the span id of the attempt's worker.step_execution.
CREATE TABLE steps (
  task_id      INTEGER NOT NULL REFERENCES tasks (id),
  position     INTEGER NOT NULL,
  step_uuid    TEXT NOT NULL,
  name         TEXT NOT NULL,
  namespace    TEXT NOT NULL,
  priority     INTEGER NOT NULL,
  state        TEXT NOT NULL,
  state_since  INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  due_at       INTEGER,
  worker_id    TEXT,
  span_id      TEXT,
  error        TEXT,
  result       TEXT,
  PRIMARY KEY (task_id, position)
) WITHOUT ROWID;
CREATE INDEX steps_enqueued ON steps (namespace, priority DESC, task_id, position) WHERE state = 'enqueued';
CREATE INDEX steps_due ON steps (due_at) WHERE state = 'waiting_for_retry';

-- Append only: what one transaction moved in one task. `seq` counts a task's rows from 1. `since`: when the task came to
-- the state it was left in. `moves`: a JSON array of
-- [position (-1: the task), from, to, microseconds after `at`, milliseconds in from, attempt, worker, reason, error].
CREATE TABLE journal (
  task_id INTEGER NOT NULL REFERENCES tasks (id),
  seq     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  since   INTEGER NOT NULL,
  moves   TEXT NOT NULL,
  PRIMARY KEY (task_id, seq)
) WITHOUT ROWID;

-- The journal's moves as rows.
CREATE VIEW task_transitions AS
SELECT j.task_id, row_number() OVER (PARTITION BY j.task_id ORDER BY j.seq, m.key) AS sort_key,
  json_extract(m.value, '$[1]') AS from_state, json_extract(m.value, '$[2]') AS to_state,
  j.at + json_extract(m.value, '$[3]') AS created_at,
  json_object('correlation_id', t.correlation_id, 'duration_ms', json_extract(m.value, '$[4]')) AS metadata
FROM journal j JOIN tasks t ON t.id = j.task_id JOIN json_each(j.moves) m
WHERE json_extract(m.value, '$[0]') < 0;

CREATE VIEW step_transitions AS
SELECT j.task_id, json_extract(m.value, '$[0]') AS position,
  row_number() OVER (PARTITION BY j.task_id, json_extract(m.value, '$[0]') ORDER BY j.seq, m.key) AS sort_key,
  json_extract(m.value, '$[1]') AS from_state, json_extract(m.value, '$[2]') AS to_state,
  j.at + json_extract(m.value, '$[3]') AS created_at,
  json_patch('{}', json_object('correlation_id', t.correlation_id, 'duration_ms', json_extract(m.value, '$[4]'),
    'attempt', nullif(json_extract(m.value, '$[5]'), 0), 'worker', json_extract(m.value, '$[6]'),
    'reason', json_extract(m.value, '$[7]'), 'error', json_extract(m.value, '$[8]'))) AS metadata
FROM journal j JOIN tasks t ON t.id = j.task_id JOIN json_each(j.moves) m
WHERE json_extract(m.value, '$[0]') >= 0;

CREATE VIEW workflow_step_transitions AS SELECT * FROM step_transitions;

-- Who works here. A worker's claims hold until `lease_until`, which it renews: microseconds of the machine's clock since
-- boot; `lease` is how long a renewal lasts. `tasks`: the numbers of all tasks in which it has claims; `unbegun`: the
-- tokens of claims that no handler has begun. Both are JSON arrays.
CREATE TABLE workers (
  worker_id       TEXT PRIMARY KEY,
  host            TEXT NOT NULL,
  pid             INTEGER NOT NULL,
  process_started TEXT NOT NULL,
  started_at      INTEGER NOT NULL,
  lease_until     INTEGER NOT NULL,
  lease           INTEGER NOT NULL,
  tasks           TEXT NOT NULL DEFAULT '[]',
  unbegun         TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;

-- The time of day by which retries are due: the machine's clock since boot and this many microseconds, for all processes
-- of the boot, whoever sets the wall clock.
CREATE TABLE boots (
  boot_id      TEXT PRIMARY KEY,
  clock_offset INTEGER NOT NULL
) WITHOUT ROWID;

-- Domain events, written in the transaction that they tell of, in the order `id`, which is never used again. `message`:
-- the whole event. `key`: events of one key are handled in this order where a group asks for it.
CREATE TABLE events (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id       TEXT NOT NULL,
  namespace      TEXT NOT NULL,
  name           TEXT NOT NULL,
  key            TEXT,
  task_uuid      TEXT,
  step_uuid      TEXT,
  correlation_id TEXT,
  fired_at       INTEGER NOT NULL,
  traceparent    TEXT,
  message        TEXT NOT NULL
);
CREATE UNIQUE INDEX events_event_id ON events (event_id);

-- Who follows the events: up to the cursor a group has seen each that fits one of its patterns (a JSON array). One holder
-- at a time reads for it, until `held_until` by the clock of `boots`. `key_order`: events of one key one after another.
CREATE TABLE event_groups (
  name       TEXT PRIMARY KEY,
  patterns   TEXT NOT NULL,
  key_order  INTEGER NOT NULL,
  cursor_id  INTEGER NOT NULL DEFAULT 0,
  holder     TEXT,
  held_until INTEGER,
  began_at   INTEGER NOT NULL
) WITHOUT ROWID;

-- What a group's cursor has passed and the group has not handled: an event that failed, or whose key has an earlier one
-- here. `event_row`: the event's id. `due_at`: when it may be tried again. `dead`: given up, until a person decides.
CREATE TABLE event_deliveries (
  group_name TEXT NOT NULL,
  event_row  INTEGER NOT NULL,
  key        TEXT,
  attempts   INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,
  dead       INTEGER NOT NULL DEFAULT 0,
  error      TEXT,
  PRIMARY KEY (group_name, event_row)
) WITHOUT ROWID;
CREATE INDEX event_deliveries_due ON event_deliveries (group_name, due_at) WHERE NOT dead;
CREATE INDEX event_deliveries_key ON event_deliveries (group_name, key, event_row) WHERE key IS NOT NULL;
