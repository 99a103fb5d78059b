-- What a role needs that works with a schema another role has made: run it as that other role, `:role` replaced by the
-- name. Such a role registers templates only of namespaces whose queue is there: for each new one the owner runs
-- SELECT pgmq.create('{namespace}_steps') and this file again; and where events are published
-- SELECT pgmq.create('{namespace}_domain_events').
GRANT USAGE ON SCHEMA tasker, pgmq TO :role;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tasker, pgmq TO :role;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA tasker, pgmq TO :role;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq TO :role;
