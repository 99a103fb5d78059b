-- Finds the finished tasks that are old enough to be pruned.
CREATE INDEX tasks_completed ON tasks (completed_at) WHERE completed_at IS NOT NULL;
