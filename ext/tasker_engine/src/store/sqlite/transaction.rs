//! Owns: one write transaction on the writing connection.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use rusqlite::{params, Connection, OptionalExtension};
use uuid::Uuid;

use super::watch::Watcher;
use super::{backlog, events, leases, prune, rows, write};
use crate::clock::{Clock, Micros, Now};
use crate::error::{Error, Result};
use crate::event::DomainEvent;
use crate::graph::Graph;
use crate::store::catalogue::Catalogue;
use crate::store::groups::News;
use crate::store::{
    claim_order, journal, Backlog, Candidate, Claim, Claimable, Commit, Due, Existing, Hold, Holdings, IdempotencyKey,
    Inputs, LapsedWorker, Loaded, Transaction, WorkerProcess,
};
use crate::template::Template;

pub(super) struct SqliteTransaction<'a> {
    connection: MutexGuard<'a, Connection>,
    catalogue: &'a Catalogue,
    clock: &'a Clock,
    watcher: Option<&'a Watcher>,
    news: &'a News,
    open: bool,
    /// It wrote events that somebody follows.
    followed: bool,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn begin(
        connection: MutexGuard<'a, Connection>,
        catalogue: &'a Catalogue,
        clock: &'a Clock,
        watcher: Option<&'a Watcher>,
        news: &'a News,
    ) -> Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(SqliteTransaction { connection, catalogue, clock, watcher, news, open: true, followed: false })
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
                    .prepare_cached("SELECT ifnull(result, 'null') FROM steps WHERE task_id = ?1 AND position = ?2")?
                    .query_row(params![graph.task.id, dependency], |row| Ok(Arc::from(row.get_ref(0)?.as_str()?)))?,
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

    fn load(&mut self, task_ids: &[i64], _: Hold) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        for &task_id in task_ids {
            match rows::graph(&self.connection, self.catalogue, task_id) {
                Ok(graph) => loaded.graphs.extend(graph),
                // The database is at fault, not the task.
                Err(error @ Error::Store(_)) => return Err(error),
                Err(error) => loaded.unreadable.push((task_id, error)),
            }
        }
        Ok(loaded)
    }

    fn find(&mut self, task_uuids: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
        let mut found = HashMap::new();
        for task_uuid in task_uuids {
            if let Some(id) = self.find_id("SELECT id FROM tasks WHERE task_uuid = ?1", [task_uuid.to_string()])? {
                found.insert(*task_uuid, id);
            }
        }
        Ok(found)
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

    fn due(&mut self, now: Now, limit: usize, except: &[i64]) -> Result<Due> {
        let (limit, except) = (i64::try_from(limit).unwrap_or(i64::MAX), journal::json_text(except)?);
        let mut due = Due::default();
        let mut statement = self.connection.prepare_cached(
            "SELECT id FROM tasks WHERE state = 'pending' AND run_at <= ?1 \
             AND id NOT IN (SELECT value FROM json_each(?3)) ORDER BY run_at LIMIT ?2",
        )?;
        let tasks = statement.query_map(params![now.wall.0, limit, except], |row| row.get(0))?;
        due.tasks = tasks.collect::<rusqlite::Result<_>>()?;
        let mut statement = self.connection.prepare_cached(
            "SELECT task_id, position FROM steps WHERE state = 'waiting_for_retry' AND due_at <= ?1 \
             AND task_id NOT IN (SELECT value FROM json_each(?3)) ORDER BY due_at LIMIT ?2",
        )?;
        let mut rows = statement.query(params![now.store.0, limit, except])?;
        while let Some(row) = rows.next()? {
            due.retries.push((row.get(0)?, position(row.get(1)?)?));
        }
        Ok(due)
    }

    fn next_due(&mut self, now: Now, except: &[i64]) -> Result<Option<Duration>> {
        let except = journal::json_text(except)?;
        let earliest = |sql: &str, now: Micros| -> Result<Option<Duration>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let due: Option<i64> = statement.query_row([&except], |row| row.get(0)).optional()?;
            Ok(due.map(|due| Micros(due).since(now)))
        };
        let task = earliest(
            "SELECT run_at FROM tasks WHERE state = 'pending' AND run_at IS NOT NULL \
             AND id NOT IN (SELECT value FROM json_each(?1)) ORDER BY run_at LIMIT 1",
            now.wall,
        )?;
        let step = earliest(
            "SELECT due_at FROM steps WHERE state = 'waiting_for_retry' AND due_at IS NOT NULL \
             AND task_id NOT IN (SELECT value FROM json_each(?1)) ORDER BY due_at LIMIT 1",
            now.store,
        )?;
        Ok(task.into_iter().chain(step).min())
    }

    fn backlog(&mut self, limit: usize) -> Result<Backlog> {
        backlog::look(&self.connection, limit, self.clock.tick())
    }

    fn claimable(&mut self, namespaces: &[String], limit: usize, except: &[i64]) -> Result<Claimable> {
        let all;
        let namespaces = if namespaces.is_empty() {
            all = self.namespaces()?;
            &all
        } else {
            namespaces
        };
        let mut statement = self.connection.prepare_cached(
            "SELECT priority, task_id, position FROM steps WHERE state = 'enqueued' AND namespace = ?1 \
             AND task_id NOT IN (SELECT value FROM json_each(?3)) \
             ORDER BY priority DESC, task_id, position LIMIT ?2",
        )?;
        let except = journal::json_text(except)?;
        let mut steps = Vec::new();
        for name in namespaces {
            let namespace: Arc<str> = Arc::from(name.as_str());
            let mut rows = statement.query(params![name, i64::try_from(limit).unwrap_or(i64::MAX), except])?;
            while let Some(row) = rows.next()? {
                let namespace = Arc::clone(&namespace);
                let position = position(row.get(2)?)?;
                steps.push(Candidate { namespace, priority: row.get(0)?, task_id: row.get(1)?, position });
            }
        }
        let more = steps.len() >= limit;
        if namespaces.len() > 1 {
            steps = claim_order(steps, |step| step, |_, step| (step.task_id, step.position));
            steps.truncate(limit);
        }
        Ok(Claimable { steps, more })
    }

    fn inputs(&mut self, steps: &[(&Graph, usize)]) -> Result<Vec<Inputs>> {
        steps.iter().map(|(graph, position)| self.input(graph, *position)).collect()
    }

    fn register_worker(&mut self, worker: &WorkerProcess, lease: Duration, now: Micros) -> Result<()> {
        leases::register(&self.connection, worker, lease, now, self.clock.tick())
    }

    fn renew(&mut self, worker_id: &str, lease: Duration) -> Result<bool> {
        leases::renew(&self.connection, worker_id, lease, self.clock.tick())
    }

    fn lapsed_workers(&mut self, named: &[String]) -> Result<Vec<LapsedWorker>> {
        leases::lapsed(&self.connection, named, self.clock.tick())
    }

    fn deregister(&mut self, workers: &[Arc<str>]) -> Result<()> {
        leases::deregister(&self.connection, workers)
    }

    fn lost(&mut self, claims: &[Claim]) -> Result<Vec<Claim>> {
        leases::lost(&self.connection, claims)
    }

    fn holdings(&mut self, worker_id: &str) -> Result<Option<Holdings>> {
        leases::holdings(&self.connection, worker_id)
    }

    fn workers(&mut self, host: &str) -> Result<Vec<WorkerProcess>> {
        leases::workers(&self.connection, host)
    }

    fn prune(&mut self, before: Micros, limit: usize) -> Result<usize> {
        prune::prune(&self.connection, before, limit)
    }

    fn prune_events(&mut self, before: Micros, limit: usize) -> Result<usize> {
        events::prune(&self.connection, before, limit)
    }

    fn publish(&mut self, events: &[Arc<DomainEvent>]) -> Result<()> {
        events::write(&self.connection, events)?;
        self.followed = events::are_followed(&self.connection)?;
        Ok(())
    }

    fn write(&mut self, graphs: &mut [Graph]) -> Result<()> {
        for graph in graphs.iter_mut().filter(|graph| graph.is_changed()) {
            write::graph(&self.connection, graph)?;
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>, commit: &Commit) -> Result<()> {
        if let Some((worker_id, lease, holdings)) = &commit.holdings {
            if !leases::hold(&self.connection, worker_id, *lease, holdings, self.clock.tick())? {
                return Err(Error::LeaseLost(format!(
                    "{worker_id} is not among the workers of this database any more"
                )));
            }
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.open = false;
        if commit.events {
            self.news.ring();
        }
        if let Some(watcher) = self.watcher {
            if commit.steps_enqueued || commit.due || self.followed || !commit.ended.is_empty() {
                watcher.hint();
            }
        }
        Ok(())
    }
}

fn position(stored: i64) -> Result<usize> {
    usize::try_from(stored).map_err(|_| Error::Store(format!("a step has the position {stored}")))
}
