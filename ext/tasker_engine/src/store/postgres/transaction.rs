//! Owns: one write transaction on the connection that writes. Refuses: a round trip that another one can carry.

mod hold;
mod publish;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::notices::Notices;
use super::queue_statements::QueueStatements;
use super::remembered::Remembered;
use super::rows::{bigint, time};
use super::write::{self, Probe, Script};
use super::writer::Writer;
use super::{claim, events, idempotency, leases, load, prune, queue, TaskIds};
use crate::clock::{Micros, Now};
use crate::error::{Error, Result};
use crate::event::{self, DomainEvent};
use crate::graph::Graph;
use crate::store::catalogue::Catalogue;
use crate::store::{
    Backlog, Claim, Claimable, Commit, Due, Existing, Hold, Holdings, IdempotencyKey, Inputs, LapsedWorker, Loaded,
    Transaction, WorkerProcess,
};
use crate::template::Template;
pub(super) use publish::EventQueues;

/// Names the lock of who makes templates and queues: "template" in ASCII.
const TEMPLATES: i64 = 0x7465_6d70_6c61_7465;

/// What a transaction works with.
pub(super) struct PostgresTransaction<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) catalogue: &'a Catalogue,
    pub(super) remembered: &'a mut Remembered,
    pub(super) notices: &'a mut Notices,
    pub(super) task_ids: &'a mut TaskIds,
    pub(super) queues: &'a mut QueueStatements,
    pub(super) event_statements: &'a mut QueueStatements,
    pub(super) event_queues: &'a mut EventQueues,
    pub(super) look_ahead: &'a mut usize,
    /// Whether it has begun at the server: it does with its first statement.
    pub(super) begun: bool,
    /// What is written together with the COMMIT.
    pub(super) script: Script,
    /// Graphs worth remembering, once it is committed.
    pub(super) written: Vec<Graph>,
    /// Tasks that were given as they are remembered, and are not locked.
    pub(super) unlocked: HashSet<i64>,
    /// What was loaded together with the look for what can be claimed.
    pub(super) found: Loaded,
    /// A row of its own, by which it is known again when its answer is lost.
    pub(super) probe: Option<Probe>,
}

impl PostgresTransaction<'_> {
    /// Does something in the transaction, which sees what was kept for the COMMIT.
    fn run<T>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> Result<T> {
        if !self.begun {
            self.writer.begin()?;
            self.begun = true;
        }
        let script = std::mem::take(&mut self.script);
        if !script.is_empty() {
            self.writer.run(async |connection| connection.execute(script.text()).await.map(drop))?;
        }
        self.writer.run(work)
    }

    /// Whether nothing was sent yet: BEGIN may go along with what comes first.
    fn is_fresh(&self) -> bool {
        self.writer.is_prepared() && !self.begun && self.script.is_empty()
    }

    /// Gives new tasks their numbers.
    fn number(&mut self, graphs: &mut [Graph]) -> Result<()> {
        let new = graphs.iter().filter(|graph| graph.is_new).count();
        if new == 0 {
            return Ok(());
        }
        let mut ids = self.task_ids.take(new);
        if ids.len() < new {
            // Some more: the next tasks that are submitted alone, soon, need no round trip for their numbers.
            let wanted = bigint(self.task_ids.draw(new));
            let next = "SELECT nextval('tasker.task_ids') FROM generate_series(1, $1)";
            let found: Vec<i64> =
                self.run(async |connection| sqlx::query_scalar(next).bind(wanted).fetch_all(connection).await)?;
            ids = self.task_ids.keep(found, new);
        }
        for (graph, id) in graphs.iter_mut().filter(|graph| graph.is_new).zip(ids) {
            graph.task.id = id;
        }
        Ok(())
    }

    /// Everything that is left to be done, as one message.
    fn commit_script(&mut self, commit: &Commit) -> Result<()> {
        let mut script = Script::default();
        if !self.begun {
            script.statement(&self.writer.begin_statement());
        }
        if !commit.flushed {
            script.statement("SET LOCAL synchronous_commit = off");
        }
        let mut text = script.text().to_owned();
        text.push_str(self.script.text());
        let mut script = Script::default();
        if let Some((worker_id, lease, holdings)) = &commit.holdings {
            script.execute("tasker_hold", |values| {
                values.text(worker_id).text(&format!("{} microseconds", lease.as_micros()));
                values.ints(&holdings.tasks).ints(&leases::tokens(&holdings.unbegun));
            });
        }
        self.notices.write(&mut script);
        script.statement("COMMIT");
        text.push_str(script.text());
        self.begun = false;
        self.writer.run(async |connection| connection.execute(text.as_str()).await.map(drop))
    }

    /// Behind a pooler, where a crash of the server would not be noticed: always flushed.
    async fn commit_statements(connection: &mut PgConnection, commit: &Commit, notices: &str) -> sqlx::Result<()> {
        if let Some((worker_id, lease, holdings)) = &commit.holdings {
            leases::hold(connection, worker_id, *lease, holdings).await?;
        }
        connection.execute(format!("{notices}COMMIT").as_str()).await.map(drop)
    }

    /// A commit whose answer was lost with the connection: the server is asked, on a new one, how it ended. What was
    /// acknowledged happened, what was refused did not.
    fn after_lost_answer(&mut self, error: Error) -> Result<()> {
        let Some(probe) = &self.probe else { return Err(error) };
        match self.writer.was_written(probe) {
            Some(true) => Ok(()),
            Some(false) => Err(error),
            None => {
                Err(Error::Unknown(format!("{error}; whether the transaction was committed could not be found out")))
            }
        }
    }
}

impl Drop for PostgresTransaction<'_> {
    fn drop(&mut self) {
        // One that was committed has nothing to forget.
        self.event_queues.roll_back();
        if self.begun && self.writer.is_connected() {
            if let Err(error) = self.writer.run(async |connection| connection.execute("ROLLBACK").await) {
                tracing::debug!(%error, "Rollback after a failed transaction");
            }
        }
    }
}

impl Transaction for PostgresTransaction<'_> {
    fn find(&mut self, task_uuids: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
        let find = sqlx::query_as("SELECT task_uuid, id FROM tasker.tasks WHERE task_uuid = ANY($1)").bind(task_uuids);
        let found: Vec<(Uuid, i64)> = self.run(async |connection| find.fetch_all(connection).await)?;
        Ok(found.into_iter().collect())
    }

    fn load(&mut self, task_ids: &[i64], hold: Hold) -> Result<Loaded> {
        self.take_hold(task_ids, hold)
    }

    fn load_claimable(&mut self, task_ids: &[i64], most: usize) -> Result<Loaded> {
        self.take_claimable(task_ids, most)
    }

    fn find_idempotent(&mut self, keys: &[IdempotencyKey]) -> Result<Vec<Option<Existing>>> {
        self.run(async |connection| idempotency::find(connection, keys).await)
    }

    fn keep_template(&mut self, template: &Template, now: Micros) -> Result<i64> {
        self.run(async |connection| {
            // Two that make the same templates in another order wait here, and not for each other.
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TEMPLATES).execute(&mut *connection).await?;
            let document = template.to_json();
            let insert = "INSERT INTO tasker.templates (namespace, name, version, created_at, document) \
                VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            let insert = sqlx::query(insert).bind(&*template.namespace).bind(&*template.name).bind(&*template.version);
            insert.bind(time(now)).bind(&document).execute(&mut *connection).await?;
            queue::create(connection, &queue::steps(&template.namespace)).await?;
            if template.steps.iter().any(|step| !step.publishes_events.is_empty()) {
                queue::create(connection, &event::queue(&template.namespace)).await?;
            }
            let find = "SELECT id FROM tasker.templates \
                WHERE namespace = $1 AND name = $2 AND version = $3 AND md5(document) = md5($4)";
            let find = sqlx::query_scalar(find).bind(&*template.namespace).bind(&*template.name);
            find.bind(&*template.version).bind(&document).fetch_one(connection).await
        })
    }

    fn due(&mut self, now: Now, limit: usize, except: &[i64]) -> Result<Due> {
        self.run(async |connection| claim::due(connection, now.store, limit, except).await)
    }

    fn next_due(&mut self, now: Now, except: &[i64]) -> Result<Option<Duration>> {
        let due = self.run(async |connection| claim::next_due(connection, except).await)?;
        Ok(due.map(|due| due.since(now.store)))
    }

    fn backlog(&mut self, limit: usize) -> Result<Backlog> {
        self.run(async |connection| claim::backlog(connection, limit).await)
    }

    fn claimable(&mut self, namespaces: &[String], limit: usize, except: &[i64]) -> Result<Claimable> {
        self.look(namespaces, limit, except)
    }

    fn inputs(&mut self, steps: &[(&Graph, usize)]) -> Result<Vec<Inputs>> {
        if let Some(inputs) = load::known_inputs(steps) {
            return Ok(inputs);
        }
        self.run(async |connection| load::inputs(connection, steps).await)
    }

    fn register_worker(&mut self, worker: &WorkerProcess, lease: Duration, now: Micros) -> Result<()> {
        self.remembered.register(&worker.worker_id);
        self.run(async |connection| leases::register(connection, worker, lease, now).await)
    }

    fn renew(&mut self, worker_id: &str, lease: Duration) -> Result<bool> {
        let renewed = self.run(async |connection| leases::renew(connection, worker_id, lease).await)?;
        if let Some(now) = renewed {
            self.writer.set_time(now);
        }
        Ok(renewed.is_some())
    }

    fn lapsed_workers(&mut self, named: &[String]) -> Result<Vec<LapsedWorker>> {
        self.run(async |connection| leases::lapsed(connection, named).await)
    }

    fn deregister(&mut self, workers: &[Arc<str>]) -> Result<()> {
        self.run(async |connection| leases::deregister(connection, workers).await)
    }

    fn lost(&mut self, claims: &[Claim]) -> Result<Vec<Claim>> {
        self.run(async |connection| leases::lost(connection, claims).await)
    }

    fn holdings(&mut self, worker_id: &str) -> Result<Option<Holdings>> {
        self.run(async |connection| leases::holdings(connection, worker_id).await)
    }

    fn workers(&mut self, host: &str) -> Result<Vec<WorkerProcess>> {
        self.run(async |connection| leases::workers(connection, host).await)
    }

    fn prune(&mut self, before: Micros, limit: usize) -> Result<usize> {
        self.run(async |connection| prune::prune(connection, before, limit).await)
    }

    fn prune_events(&mut self, before: Micros, limit: usize) -> Result<usize> {
        self.run(async |connection| events::prune(connection, before, limit).await)
    }

    fn publish(&mut self, events: &[Arc<DomainEvent>]) -> Result<()> {
        self.write_events(events)
    }

    fn write(&mut self, graphs: &mut [Graph]) -> Result<()> {
        self.number(graphs)?;
        let changes = write::changes(graphs)?;
        self.probe = changes.first().map(write::Change::probe);
        if changes.is_empty() {
            return Ok(());
        }
        // Who has locked nothing may wait for the one task that it writes.
        let alone = changes.len() == 1 && !self.begun;
        let unlocked = if alone { Vec::new() } else { write::unlocked(&changes, &self.unlocked) };
        if self.writer.is_prepared() && write::are_few(&changes) {
            write::write_script(&mut self.script, self.queues, &changes, &unlocked)?;
        } else {
            let mut failed = None;
            self.run(async |connection| match write::write_arrays(connection, &changes, unlocked).await {
                Ok(()) => Ok(()),
                Err(write::Failed::There(error)) => Err(error),
                Err(write::Failed::Here(error)) => {
                    failed = Some(error);
                    Ok(())
                }
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        drop(changes);
        for graph in graphs.iter_mut().filter(|graph| graph.is_changed()) {
            graph.written(graph.task.journal + 1);
            self.written.extend(self.remembered.memory(graph));
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>, commit: &Commit) -> Result<()> {
        self.notices.add(commit);
        if !self.begun && self.script.is_empty() && commit.holdings.is_none() && !self.notices.are_due() {
            return Ok(());
        }
        let committed = if self.writer.is_prepared() {
            self.commit_script(commit)
        } else {
            let mut notices = Script::default();
            self.notices.write(&mut notices);
            let committed = self.run(async |connection| {
                PostgresTransaction::commit_statements(connection, commit, notices.text()).await
            });
            self.begun = committed.is_err();
            committed
        };
        let committed = match (committed, &commit.holdings) {
            (Err(Error::LeaseLost(_)), Some((worker_id, ..))) => {
                Err(Error::LeaseLost(format!("{worker_id} is not among the workers of this database any more")))
            }
            (committed, _) => committed,
        };
        let committed = match committed {
            Err(error) if !self.writer.is_connected() => self.after_lost_answer(error),
            Err(error) => {
                // The message ended where it failed.
                self.begun = true;
                Err(error)
            }
            Ok(()) => Ok(()),
        };
        if committed.is_ok() {
            self.event_queues.committed();
            self.notices.were_sent();
            let written = std::mem::take(&mut self.written);
            // Not behind a pooler: nobody hears there that the server was another one meanwhile.
            self.remembered.keep(if self.writer.is_prepared() { written } else { Vec::new() });
        }
        committed
    }
}
