//! Owns: one write transaction on the writing connection.

use std::sync::{Arc, MutexGuard};

use rusqlite::{params, Connection, OptionalExtension};
use uuid::Uuid;

use super::{apply, prune, rows};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::store::catalogue::Catalogue;
use crate::store::{
    in_turn, Backlog, Candidate, Due, Enqueued, Existing, Held, IdempotencyKey, Inputs, Transaction, WorkerProcess,
};
use crate::template::Template;

pub(super) struct SqliteTransaction<'a> {
    connection: MutexGuard<'a, Connection>,
    catalogue: &'a Catalogue,
    open: bool,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn begin(connection: MutexGuard<'a, Connection>, catalogue: &'a Catalogue) -> Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(SqliteTransaction { connection, catalogue, open: true })
    }

    fn find_id(&self, sql: &str, params: impl rusqlite::Params) -> Result<Option<i64>> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()?)
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        let mut statement = self.connection.prepare_cached("SELECT DISTINCT namespace FROM templates")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    fn input(&self, graph: &Graph, position: usize) -> Result<Inputs> {
        let context = match &graph.task.context {
            Some(context) => Arc::clone(context),
            None => self
                .connection
                .prepare_cached("SELECT context FROM tasks WHERE id = ?1")?
                .query_row([graph.task.id], |row| Ok(Arc::from(row.get_ref(0)?.as_str()?)))?,
        };
        let template = &graph.task.template;
        let dependencies = &template.steps[position].dependencies;
        let mut dependency_results = Vec::with_capacity(dependencies.len());
        for &dependency in dependencies {
            let step = &graph.steps[dependency];
            let result = match &step.result {
                Some(result) => Arc::clone(result),
                None => self
                    .connection
                    .prepare_cached("SELECT ifnull(result, 'null') FROM steps WHERE id = ?1")?
                    .query_row([step.id], |row| Ok(Arc::from(row.get_ref(0)?.as_str()?)))?,
            };
            dependency_results.push((Arc::clone(&template.steps[dependency].name), result));
        }
        Ok(Inputs { context, dependency_results })
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if self.open {
            if let Err(error) = self.connection.execute_batch("ROLLBACK") {
                tracing::debug!(%error, "Rollback after a failed transaction");
            }
        }
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn keep_template(&mut self, template: &Template, now: Micros) -> Result<i64> {
        let document = template.to_json();
        let known = self.find_id(
            "SELECT id FROM templates WHERE namespace = ?1 AND name = ?2 AND version = ?3 AND document = ?4",
            params![&*template.namespace, &*template.name, &*template.version, document],
        )?;
        if let Some(id) = known {
            return Ok(id);
        }
        self.connection.execute(
            "INSERT INTO templates (namespace, name, version, created_at, document) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![&*template.namespace, &*template.name, &*template.version, now.0, document],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    fn load(&mut self, task_ids: &[i64]) -> Result<Vec<Graph>> {
        let load = |&task_id: &i64| rows::graph(&self.connection, self.catalogue, task_id).transpose();
        task_ids.iter().filter_map(load).collect()
    }

    fn find(&mut self, task_uuid: Uuid) -> Result<Option<i64>> {
        self.find_id("SELECT id FROM tasks WHERE task_uuid = ?1", [task_uuid.to_string()])
    }

    fn find_idempotent(&mut self, keys: &[IdempotencyKey]) -> Result<Vec<Option<Existing>>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT task_uuid, correlation_id, trace_id FROM tasks \
             WHERE namespace = ?1 AND name = ?2 AND idempotency_key = ?3",
        )?;
        let mut find = |key: &IdempotencyKey| -> Result<Option<Existing>> {
            let mut rows = statement.query([&*key.namespace, &*key.name, &key.key])?;
            rows.next()?.map(rows::existing).transpose()
        };
        keys.iter().map(&mut find).collect()
    }

    fn due(&mut self, now: Micros, limit: usize) -> Result<Due> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut due = Due::default();
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM tasks WHERE state = 'pending' AND run_at <= ?1 ORDER BY run_at LIMIT ?2")?;
        let tasks = statement.query_map(params![now.0, limit], |row| row.get(0))?;
        due.tasks = tasks.collect::<rusqlite::Result<_>>()?;
        let mut statement = self.connection.prepare_cached(
            "SELECT task_id, position, state = 'in_progress' FROM steps \
             WHERE state IN ('in_progress', 'waiting_for_retry') AND due_at <= ?1 ORDER BY due_at LIMIT ?2",
        )?;
        let mut rows = statement.query(params![now.0, limit])?;
        while let Some(row) = rows.next()? {
            let step = (row.get(0)?, position(row.get(1)?)?);
            let leases: bool = row.get(2)?;
            if leases { &mut due.leases } else { &mut due.retries }.push(step);
        }
        Ok(due)
    }

    fn next_due(&mut self) -> Result<Option<Micros>> {
        let task: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(run_at) FROM tasks WHERE state = 'pending'")?
            .query_row([], |row| row.get(0))?;
        let step: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(due_at) FROM steps WHERE state IN ('in_progress', 'waiting_for_retry')")?
            .query_row([], |row| row.get(0))?;
        Ok(task.into_iter().chain(step).min().map(Micros))
    }

    fn backlog(&mut self, limit: usize) -> Result<Backlog> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (enqueued, oldest): (i64, Option<i64>) = self
            .connection
            .prepare_cached(
                "SELECT count(*), min(state_since) FROM \
                 (SELECT state_since FROM steps INDEXED BY steps_enqueued WHERE state = 'enqueued' LIMIT ?1)",
            )?
            .query_row([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let active: i64 = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM ( \
                 SELECT * FROM (SELECT task_id FROM steps INDEXED BY steps_enqueued \
                 WHERE state = 'enqueued' LIMIT ?1) \
                 UNION SELECT * FROM (SELECT task_id FROM steps INDEXED BY steps_due \
                 WHERE state IN ('in_progress', 'waiting_for_retry') LIMIT ?1))",
            )?
            .query_row([limit], |row| row.get(0))?;
        Ok(Backlog {
            tasks_active: usize::try_from(active).unwrap_or(0),
            steps_enqueued: usize::try_from(enqueued).unwrap_or(0),
            oldest: oldest.map(Micros),
        })
    }

    fn enqueued(&mut self, namespaces: &[String], limit: usize) -> Result<Enqueued> {
        let all;
        let namespaces = if namespaces.is_empty() {
            all = self.namespaces()?;
            &all
        } else {
            namespaces
        };
        let mut statement = self.connection.prepare_cached(
            "SELECT priority, task_id, position FROM steps WHERE state = 'enqueued' AND namespace = ?1 \
             ORDER BY priority DESC, task_id, position LIMIT ?2",
        )?;
        let mut steps = Vec::new();
        for name in namespaces {
            let namespace: Arc<str> = Arc::from(name.as_str());
            let mut rows = statement.query(params![name, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            while let Some(row) = rows.next()? {
                let namespace = Arc::clone(&namespace);
                let position = position(row.get(2)?)?;
                steps.push(Candidate { namespace, priority: row.get(0)?, task_id: row.get(1)?, position });
            }
        }
        let more = steps.len() >= limit;
        if namespaces.len() > 1 {
            steps = in_turn(steps, |step| step, |_, step| (step.task_id, step.position));
            steps.truncate(limit);
        }
        Ok(Enqueued { steps, more })
    }

    fn inputs(&mut self, steps: &[(&Graph, usize)]) -> Result<Vec<Inputs>> {
        steps.iter().map(|(graph, position)| self.input(graph, *position)).collect()
    }

    fn renew(&mut self, worker_id: &str, held: &[Held], until: Micros) -> Result<Vec<Held>> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE steps SET due_at = ?5 WHERE task_id = ?1 AND position = ?2 AND state = 'in_progress' \
             AND attempts = ?3 AND worker_id = ?4",
        )?;
        let mut lost = Vec::new();
        for claim in held {
            let position = i64::try_from(claim.position).unwrap_or(i64::MAX);
            let kept = statement.execute(params![claim.task_id, position, claim.attempt, worker_id, until.0])?;
            if kept == 0 {
                lost.push(*claim);
            }
        }
        Ok(lost)
    }

    fn register_worker(&mut self, worker: &WorkerProcess, now: Micros) -> Result<()> {
        self.connection.execute(
            "INSERT OR REPLACE INTO workers (worker_id, host, pid, process_started, started_at) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![&*worker.worker_id, worker.host, worker.pid, worker.process_started, now.0],
        )?;
        Ok(())
    }

    fn forget_worker(&mut self, worker_id: &str) -> Result<()> {
        self.connection.execute(
            "UPDATE steps SET due_at = 0 WHERE state IN ('in_progress', 'waiting_for_retry') \
                      AND state = 'in_progress' AND worker_id = ?1",
            [worker_id],
        )?;
        self.connection.execute("DELETE FROM workers WHERE worker_id = ?1", [worker_id])?;
        Ok(())
    }

    fn workers(&mut self, host: &str) -> Result<Vec<WorkerProcess>> {
        let mut statement =
            self.connection.prepare_cached("SELECT worker_id, pid, process_started FROM workers WHERE host = ?1")?;
        let workers = statement.query_map([host], |row| {
            Ok(WorkerProcess {
                worker_id: Arc::from(row.get_ref(0)?.as_str()?),
                host: host.to_owned(),
                pid: row.get(1)?,
                process_started: row.get(2)?,
            })
        })?;
        Ok(workers.collect::<rusqlite::Result<_>>()?)
    }

    fn prune(&mut self, before: Micros, limit: usize) -> Result<usize> {
        prune::prune(&self.connection, before, limit)
    }

    fn apply(&mut self, graphs: &mut [Graph]) -> Result<()> {
        for graph in graphs.iter_mut().filter(|graph| graph.is_changed()) {
            apply::graph(&self.connection, graph)?;
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.open = false;
        Ok(())
    }
}

fn position(stored: i64) -> Result<usize> {
    usize::try_from(stored).map_err(|_| Error::Store(format!("a step has the position {stored}")))
}
