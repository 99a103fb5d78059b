-- Everything of tasker_core's in PostgreSQL, but for the messages, which are PGMQ's (schema pgmq). States are the names
-- in docs/state_machines.md. There are no foreign keys: each would cost a look-up for every row of the hottest tables,
-- and only the engine writes here.

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
-- `waits_until` is `run_at` while the task is pending, and empty from then on. No index holds what changes while a
-- task is carried out, and pages have room to spare: those updates stay in their page and touch no index.
CREATE TABLE tasker.tasks (
  id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_uuid             uuid NOT NULL,
  template_id           bigint NOT NULL,
  namespace             text COLLATE "C" NOT NULL,
  name                  text COLLATE "C" NOT NULL,
  version               text COLLATE "C" NOT NULL,
  state                 text COLLATE "C" NOT NULL,
  state_since           timestamptz NOT NULL,
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
  transitions           integer NOT NULL,
  context               json NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE UNIQUE INDEX tasks_uuid ON tasker.tasks (task_uuid);
CREATE UNIQUE INDEX tasks_idempotency ON tasker.tasks (namespace, name, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_correlation ON tasker.tasks (correlation_id);
CREATE INDEX tasks_due ON tasker.tasks (waits_until) WHERE waits_until IS NOT NULL;
CREATE INDEX tasks_completed ON tasker.tasks (completed_at) WHERE completed_at IS NOT NULL;

-- `due_at`: in_progress, when the lease runs out; waiting_for_retry, when the next attempt may begin.
-- `span_id`: the current attempt's worker.step_execution span, so that whoever finds the attempt abandoned can still
-- close its trace. `message_id`: the step's message in pgmq.q_{namespace}_steps, there exactly while the step is
-- enqueued, in_progress or waiting_for_retry.
CREATE TABLE tasker.steps (
  task_id      bigint NOT NULL,
  position     integer NOT NULL,
  step_uuid    uuid NOT NULL,
  name         text COLLATE "C" NOT NULL,
  namespace    text COLLATE "C" NOT NULL,
  priority     integer NOT NULL,
  state        text COLLATE "C" NOT NULL,
  state_since  timestamptz NOT NULL,
  attempts     integer NOT NULL,
  max_attempts integer NOT NULL,
  due_at       timestamptz,
  worker_id    text,
  span_id      text,
  transitions  integer NOT NULL,
  message_id   bigint,
  error        json,
  result       json,
  PRIMARY KEY (task_id, position)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX steps_enqueued ON tasker.steps (namespace, priority DESC, task_id, position) WHERE state = 'enqueued';
CREATE INDEX steps_due ON tasker.steps (due_at) WHERE due_at IS NOT NULL;

-- Append only. `metadata`: correlation_id, duration_ms (time in from_state) and, for steps, worker, attempt, reason,
-- error. It is json, not jsonb: an error's message may hold a \u0000. Correlation ids that are made here grow with time,
-- as the table does: a block range index finds them and costs next to nothing.
CREATE TABLE tasker.task_transitions (
  task_id    bigint NOT NULL,
  sort_key   integer NOT NULL,
  from_state text NOT NULL,
  to_state   text NOT NULL,
  created_at timestamptz NOT NULL,
  metadata   json NOT NULL,
  PRIMARY KEY (task_id, sort_key)
);
CREATE INDEX task_transitions_correlation ON tasker.task_transitions USING brin ((metadata ->> 'correlation_id'))
  WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE tasker.step_transitions (
  task_id    bigint NOT NULL,
  position   integer NOT NULL,
  sort_key   integer NOT NULL,
  from_state text NOT NULL,
  to_state   text NOT NULL,
  created_at timestamptz NOT NULL,
  metadata   json NOT NULL,
  PRIMARY KEY (task_id, position, sort_key)
);

-- Who holds leases: lets a process on the same machine see that another one is gone without waiting for its leases to
-- run out.
CREATE TABLE tasker.workers (
  worker_id       text PRIMARY KEY,
  host            text NOT NULL,
  pid             bigint NOT NULL,
  process_started text NOT NULL,
  started_at      timestamptz NOT NULL
);
CREATE INDEX workers_host ON tasker.workers (host);
