//! Owns: the statements of event groups. What they change may be lost with the server: then it is delivered again, and so
//! they wait for no disk.

/// Goes before what changes something that may be lost.
macro_rules! quick {
    ($statement:literal) => {
        concat!("WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), ", $statement)
    };
}

pub(in crate::store::postgres) const LEASE: &str = quick!(
    "mine AS (UPDATE tasker.event_groups g SET holder = $2, held_until = clock_timestamp() + $3 FROM quick \
      WHERE g.name = $1 AND (g.holder IS NULL OR g.holder = $2 OR g.held_until <= clock_timestamp()) \
      RETURNING g.cursor_xid::text AS xid, g.cursor_id, g.patterns::text AS patterns, g.key_order, \
      (SELECT o.holder FROM tasker.event_groups o WHERE o.name = $1) IS DISTINCT FROM $2 AS taken) SELECT * FROM mine"
);

pub(super) const LEFT: &str = "SELECT greatest(extract(epoch FROM held_until - clock_timestamp()), 0)::float8 \
    FROM tasker.event_groups WHERE name = $1";

pub(super) const HEAL: &str = quick!(
    "healed AS (UPDATE tasker.event_deliveries d SET due_at = clock_timestamp() FROM quick WHERE d.group_name = $1 \
      AND NOT d.dead AND d.due_at = 'infinity' AND ($2 OR NOT EXISTS (SELECT 1 FROM tasker.event_deliveries e \
      WHERE e.group_name = d.group_name AND e.key = d.key AND e.event_row < d.event_row AND NOT e.dead))) SELECT 1"
);

pub(super) const RELEASE: &str = quick!(
    "released AS (UPDATE tasker.event_groups SET holder = NULL, held_until = NULL FROM quick \
      WHERE name = $1 AND holder = $2 RETURNING 1) SELECT pg_notify('tasker_events', '') FROM released"
);

pub(in crate::store::postgres) const SCAN: &str = "SELECT e.id, e.xid::text AS xid, e.name, e.key, \
      e.xid < pg_snapshot_xmin(pg_current_snapshot()) AS readable, \
      EXISTS (SELECT 1 FROM tasker.event_deliveries d WHERE d.group_name = $1 AND d.event_row = e.id) AS stands \
    FROM tasker.events e WHERE (e.xid, e.id) > ($2::text::xid8, $3) ORDER BY e.xid, e.id LIMIT $4";

pub(in crate::store::postgres) const MESSAGES: &str =
    "SELECT id, message::text AS message, traceparent FROM tasker.events WHERE id = ANY($1)";

pub(in crate::store::postgres) const DUE: &str = "SELECT d.event_row, \
      (SELECT e.xid::text FROM tasker.events e WHERE e.id = d.event_row) AS xid, d.key, d.attempts \
    FROM tasker.event_deliveries d \
    WHERE d.group_name = $1 AND NOT d.dead AND d.due_at <= clock_timestamp() AND d.event_row <> ALL($2) \
      AND (d.key IS NULL OR NOT EXISTS (SELECT 1 FROM tasker.event_deliveries b WHERE b.group_name = d.group_name \
      AND b.key = d.key AND b.event_row < d.event_row AND NOT b.dead AND b.due_at > clock_timestamp())) \
    ORDER BY d.event_row LIMIT $3";

pub(in crate::store::postgres) const NEXT_DUE: &str =
    "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 \
    FROM tasker.event_deliveries WHERE group_name = $1 AND NOT dead AND due_at > clock_timestamp() \
    AND due_at < 'infinity'";

pub(in crate::store::postgres) const BLOCKED: &str = "SELECT k.key FROM unnest($2::text[]) AS k (key) WHERE EXISTS ( \
    SELECT 1 FROM tasker.event_deliveries d WHERE d.group_name = $1 AND d.key = k.key AND NOT d.dead)";

/// All of a settlement, or nothing when the lease is another one's.
pub(in crate::store::postgres) const SETTLE: &str = quick!(
    "mine AS (UPDATE tasker.event_groups g SET \
      cursor_xid = CASE WHEN g.patterns::text = $15 THEN $4::text::xid8 ELSE g.cursor_xid END, \
      cursor_id = CASE WHEN g.patterns::text = $15 THEN $5 ELSE g.cursor_id END, \
      held_until = clock_timestamp() + $3 FROM quick WHERE g.name = $1 AND g.holder = $2 \
      RETURNING g.cursor_xid::text AS xid, g.cursor_id, g.patterns::text AS patterns, g.key_order), \
    done AS (DELETE FROM tasker.event_deliveries d USING mine WHERE d.group_name = $1 AND d.event_row = ANY($6)), \
    put AS (INSERT INTO tasker.event_deliveries AS d (group_name, event_row, key, attempts, due_at, dead, error) \
      SELECT $1, u.row, u.key, u.attempts, coalesce(clock_timestamp() + u.pause * interval '1 microsecond', 'infinity'), \
        u.dead, u.error \
      FROM mine, unnest($7::bigint[], $8::text[], $9::int[], $10::bigint[], $11::boolean[], $12::text[]) \
        AS u (row, key, attempts, pause, dead, error) \
      ON CONFLICT (group_name, event_row) DO UPDATE SET attempts = excluded.attempts, due_at = excluded.due_at, \
        dead = excluded.dead, error = coalesce(excluded.error, d.error)), \
    woken AS (UPDATE tasker.event_deliveries d SET due_at = clock_timestamp() \
      FROM mine, unnest($13::text[]) AS k (key) CROSS JOIN LATERAL (SELECT w.event_row FROM tasker.event_deliveries w \
        WHERE w.group_name = $1 AND w.key = k.key AND NOT w.dead AND w.due_at = 'infinity' \
        ORDER BY w.event_row LIMIT $14) AS first \
      WHERE d.group_name = $1 AND d.event_row = first.event_row) \
    SELECT * FROM mine"
);

pub(super) const OPEN: &str =
    "INSERT INTO tasker.event_groups (name, patterns, key_order, cursor_xid, cursor_id, began_at) \
    VALUES ($1, $2::text::json, $3, $4::text::xid8, $5, $6) \
    ON CONFLICT (name) DO UPDATE SET patterns = excluded.patterns, key_order = excluded.key_order";

pub(super) const NOW: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xid, 0::bigint AS id";

pub(super) const SINCE: &str =
    "SELECT xid::text AS xid, id FROM tasker.events WHERE fired_at >= $1 ORDER BY tasker.events.xid, id LIMIT 1";

pub(super) const LIST: &str = "SELECT name, patterns::text AS patterns, key_order, holder, \
    extract(epoch FROM held_until - clock_timestamp())::float8 AS held, cursor_xid::text AS xid, cursor_id, began_at \
    FROM tasker.event_groups ORDER BY name";

pub(in crate::store::postgres) const BEHIND: &str = "SELECT name, count(*) AS count, min(fired_at) AS oldest FROM ( \
      SELECT name, fired_at FROM tasker.events WHERE (xid, id) > ($1::text::xid8, $2) ORDER BY xid, id LIMIT $3) AS behind \
    GROUP BY name";

pub(super) const COUNT: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM tasker.event_deliveries \
      WHERE group_name = $1 AND NOT dead LIMIT $2) AS r) AS retrying, \
    (SELECT count(*) FROM (SELECT 1 FROM tasker.event_deliveries WHERE group_name = $1 AND dead LIMIT $2) AS d) AS dead";

pub(super) const DEAD: &str = "SELECT d.event_row, e.key, d.attempts, d.due_at, d.error, e.message::text AS message \
    FROM tasker.event_deliveries d JOIN tasker.events e ON e.id = d.event_row \
    WHERE d.group_name = $1 AND d.dead ORDER BY d.event_row LIMIT $2";

pub(super) const REQUEUE: &str = "WITH requeued AS (UPDATE tasker.event_deliveries SET dead = false, attempts = 0, \
      due_at = clock_timestamp() WHERE group_name = $1 AND dead AND ($2::bigint[] IS NULL OR event_row = ANY($2)) \
      RETURNING 1), told AS (SELECT pg_notify('tasker_events', '')) \
    SELECT (SELECT count(*) FROM requeued) FROM told";

pub(super) const FORGET: &str = "DELETE FROM tasker.event_deliveries WHERE group_name = $1 AND dead \
    AND ($2::bigint[] IS NULL OR event_row = ANY($2))";
