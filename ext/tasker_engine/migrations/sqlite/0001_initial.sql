-- Times are microseconds since the Unix epoch (UTC). States are the names in docs/state_machines.md.

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

-- `id` grows with age: among steps of equal priority the oldest task's is claimed first.
CREATE TABLE tasks (
  id                    INTEGER PRIMARY KEY,
  task_uuid             TEXT NOT NULL,
  template_id           INTEGER NOT NULL REFERENCES templates (id),
  namespace             TEXT NOT NULL,
  name                  TEXT NOT NULL,
  version               TEXT NOT NULL,
  state                 TEXT NOT NULL,
  state_since           INTEGER NOT NULL,
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
  transitions           INTEGER NOT NULL,
  context               TEXT NOT NULL
);
CREATE UNIQUE INDEX tasks_uuid ON tasks (task_uuid);
CREATE UNIQUE INDEX tasks_idempotency ON tasks (namespace, name, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_correlation ON tasks (correlation_id);
CREATE INDEX tasks_due ON tasks (run_at) WHERE state = 'pending';

-- `due_at`: in_progress, when the lease runs out; waiting_for_retry, when the next attempt may begin.
-- `span_id`: the current attempt's worker.step_execution span, so that whoever finds the attempt
-- abandoned can still close its trace.
CREATE TABLE steps (
  id           INTEGER PRIMARY KEY,
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
  transitions  INTEGER NOT NULL,
  error        TEXT,
  result       TEXT
);
CREATE UNIQUE INDEX steps_task ON steps (task_id, position);
CREATE INDEX steps_enqueued ON steps (namespace, priority DESC, task_id, position) WHERE state = 'enqueued';
CREATE INDEX steps_due ON steps (due_at) WHERE state IN ('in_progress', 'waiting_for_retry');

-- Append only. `metadata`: correlation_id, duration_ms (time in from_state) and, for steps, worker,
-- attempt, reason, error.
CREATE TABLE task_transitions (
  task_id    INTEGER NOT NULL REFERENCES tasks (id),
  sort_key   INTEGER NOT NULL,
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  metadata   TEXT NOT NULL,
  PRIMARY KEY (task_id, sort_key)
) WITHOUT ROWID;

CREATE TABLE step_transitions (
  task_id    INTEGER NOT NULL REFERENCES tasks (id),
  position   INTEGER NOT NULL,
  sort_key   INTEGER NOT NULL,
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  metadata   TEXT NOT NULL,
  PRIMARY KEY (task_id, position, sort_key)
) WITHOUT ROWID;

-- Who holds leases: lets a process on the same machine see that another one is gone without waiting
-- for its leases to run out.
CREATE TABLE workers (
  worker_id       TEXT PRIMARY KEY,
  host            TEXT NOT NULL,
  pid             INTEGER NOT NULL,
  process_started TEXT NOT NULL,
  started_at      INTEGER NOT NULL
) WITHOUT ROWID;
