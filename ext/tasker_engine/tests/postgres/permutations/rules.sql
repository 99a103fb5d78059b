-- What must hold whatever was done to tasks: a row for each rule that is broken.
WITH moves AS (
  SELECT task_id, position, sort_key, from_state, to_state FROM tasker.step_transitions
  UNION ALL SELECT task_id, -1, sort_key, from_state, to_state FROM tasker.task_transitions),
chained AS (
  SELECT *, lag(to_state, 1, 'pending') OVER w AS before, lead(to_state) OVER w IS NULL AS is_last
  FROM moves WINDOW w AS (PARTITION BY task_id, position ORDER BY sort_key)),
held AS (SELECT * FROM tasker.steps),
states AS (
  SELECT task_id, position, state FROM held
  UNION ALL SELECT id, -1, state FROM tasker.tasks)
SELECT 'a journal with gaps: task ' || task_id FROM tasker.journal
  GROUP BY task_id HAVING max(seq) <> count(*) OR min(seq) <> 1
UNION ALL SELECT format('task %s, step %s went from %s, but was %s', task_id, position, from_state, before)
  FROM chained WHERE from_state <> before
UNION ALL SELECT format('task %s, step %s is %s, its journal says %s', task_id, position, state, to_state)
  FROM states JOIN chained USING (task_id, position) WHERE is_last AND state <> to_state
UNION ALL SELECT format('task %s has journal and no row, or steps and no task', coalesce(j.task_id, s.task_id))
  FROM (SELECT DISTINCT task_id FROM tasker.journal) j FULL JOIN (SELECT DISTINCT task_id FROM held) s
  USING (task_id) FULL JOIN (SELECT id AS task_id FROM tasker.tasks) t USING (task_id)
  WHERE j.task_id IS NULL OR s.task_id IS NULL OR t.task_id IS NULL
UNION ALL SELECT format('task %s, step %s is %s: queued %s, message %s', task_id, position, state, queued, message_id)
  FROM held LEFT JOIN pgmq.q_default_steps m ON m.msg_id = message_id
  WHERE queued <> (state = 'enqueued') OR (m.msg_id IS NOT NULL) <> (state IN ('enqueued', 'waiting_for_retry'))
UNION ALL SELECT 'messages of nobody: ' || count(*) FROM pgmq.q_default_steps m
  WHERE NOT EXISTS (SELECT FROM tasker.steps s WHERE s.message_id = m.msg_id) HAVING count(*) > 0
UNION ALL SELECT format('task %s, step %s is %s by %s', task_id, position, state, coalesce(worker_id, 'nobody'))
  FROM held WHERE (state = 'in_progress') <> (worker_id IS NOT NULL AND span_id IS NOT NULL)
UNION ALL SELECT format('task %s, step %s: its claim is in no row of %s', task_id, position, worker_id)
  FROM held s WHERE state = 'in_progress' AND NOT EXISTS
    (SELECT FROM tasker.workers w WHERE w.worker_id = s.worker_id AND s.task_id = ANY(w.tasks))
UNION ALL SELECT 'two tasks of one key: ' || idempotency_key FROM tasker.tasks WHERE idempotency_key IS NOT NULL
  GROUP BY namespace, name, idempotency_key HAVING count(*) > 1
