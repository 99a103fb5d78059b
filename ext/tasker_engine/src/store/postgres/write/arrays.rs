//! Owns: many rows as a few statements.

use sqlx::postgres::PgConnection;

use super::columns::{Journal, NewSteps, NewTasks, Settled, Steps, Tasks};
use super::{hex, is_queued, message, message_id, sql, Change, Failed, Message};
use crate::error::{Error, Result};
use crate::step::Step;
use crate::store::journal::json_text;
use crate::store::postgres::queue::{Messages, Outgoing, DELETE};
use crate::store::postgres::rows::{int, time};

#[derive(Default)]
struct Rows {
    unlocked: Vec<i64>,
    new_tasks: NewTasks,
    new_steps: NewSteps,
    tasks: Tasks,
    steps: Steps,
    settled: Settled,
    journal: Journal,
    outgoing: Outgoing,
    /// Which rows the messages belong to that are sent.
    senders: Vec<Sender>,
    deleted: Messages,
}

/// A row that waits for its message's number.
enum Sender {
    New(usize),
    Moved(usize),
    Settled(usize),
}

/// Writes the changes.
pub(in super::super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
    unlocked: Vec<i64>,
) -> std::result::Result<(), Failed> {
    let mut rows = Rows { unlocked, ..Rows::default() };
    for change in changes {
        rows.push(change).map_err(Failed::Here)?;
    }
    rows.write(connection).await.map_err(Failed::There)
}

impl Rows {
    fn push(&mut self, change: &Change<'_>) -> Result<()> {
        let Change { graph, row, .. } = change;
        let task = &graph.task;
        if graph.is_new {
            self.push_task(change)?;
        } else if change.task {
            self.tasks.id.push(task.id);
            self.tasks.state.push(task.state.as_str());
            self.tasks.waits_until.push(change.waits_until().map(time));
            self.tasks.completed_at.push(task.completed_at.map(time));
            self.tasks.root_recorded.push(task.trace.root_recorded);
        }
        self.journal.task_id.push(task.id);
        self.journal.seq.push(int(row.seq));
        self.journal.at.push(time(row.at));
        self.journal.since.push(time(task.state_since));
        self.journal.moves.push(row.moves.clone());
        for (position, step) in change.steps() {
            self.push_step(change, position, step)?;
        }
        Ok(())
    }

    fn push_task(&mut self, change: &Change<'_>) -> Result<()> {
        let (rows, task) = (&mut self.new_tasks, &change.graph.task);
        let context = task.context.as_deref().ok_or_else(|| Error::Internal("a new task has no context".into()))?;
        rows.id.push(task.id);
        rows.task_uuid.push(task.task_uuid);
        rows.template_id.push(task.template_id);
        rows.namespace.push(task.template.namespace.to_string());
        rows.name.push(task.template.name.to_string());
        rows.version.push(task.template.version.to_string());
        rows.state.push(task.state.as_str());
        rows.priority.push(task.priority);
        rows.correlation_id.push(task.correlation_id);
        rows.parent_correlation_id.push(task.parent_correlation_id);
        rows.idempotency_key.push(task.idempotency_key.clone());
        rows.trace_id.push(format!("{:032x}", task.trace.trace_id));
        rows.root_span_id.push(hex(task.trace.root_span_id));
        rows.parent_span_id.push(task.trace.parent_span_id.map(hex));
        rows.sampled.push(task.trace.sampled);
        rows.root_recorded.push(task.trace.root_recorded);
        rows.created_at.push(time(task.created_at));
        rows.run_at.push(task.run_at.map(time));
        rows.waits_until.push(change.waits_until().map(time));
        rows.completed_at.push(task.completed_at.map(time));
        rows.context.push(context.to_owned());
        Ok(())
    }

    fn push_step(&mut self, change: &Change<'_>, position: usize, step: &Step) -> Result<()> {
        /// The columns that all three tables of rows have.
        macro_rules! push_moved {
            ($rows:expr, $task:expr) => {{
                let rows = &mut $rows;
                rows.task_id.push($task.id);
                rows.position.push(int(position));
                rows.state.push(step.state.as_str());
                rows.queued.push(is_queued(step));
                rows.state_since.push(time(step.state_since));
                rows.attempts.push(int(step.attempts));
                rows.max_attempts.push(int(step.max_attempts));
                rows.due_at.push(step.due_at.map(time));
                rows.worker_id.push(step.worker_id.as_deref().map(str::to_owned));
                rows.span_id.push(step.span_id.map(hex));
                rows.message_id.push(message_id(step));
                rows.task_id.len() - 1
            }};
        }
        let task = &change.graph.task;
        let error = step.error.as_ref().filter(|_| step.settled).map(json_text).transpose()?;
        let result = step.result.as_deref().filter(|_| step.settled).map(str::to_owned);
        let sender = if change.graph.is_new {
            let row = push_moved!(self.new_steps, task);
            self.new_steps.step_uuid.push(step.step_uuid);
            self.new_steps.name.push(task.template.steps[position].name.to_string());
            self.new_steps.namespace.push(task.template.namespace.to_string());
            self.new_steps.priority.push(task.priority);
            self.new_steps.error.push(error);
            self.new_steps.result.push(result);
            Sender::New(row)
        } else if step.settled {
            let row = push_moved!(self.settled, task);
            self.settled.error.push(error);
            self.settled.result.push(result);
            Sender::Settled(row)
        } else {
            Sender::Moved(push_moved!(self.steps, task))
        };
        match message(step) {
            Message::Keep => {}
            Message::Send(at) => {
                self.outgoing.push(change.graph, position, at);
                self.senders.push(sender);
            }
            Message::Delete(id) => self.deleted.push(&task.template.namespace, id),
        }
        Ok(())
    }

    async fn write(mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        for (number, message_id) in self.outgoing.send(connection).await? {
            match self.senders.get(number) {
                Some(Sender::New(row)) => self.new_steps.message_id[*row] = Some(message_id),
                Some(Sender::Moved(row)) => self.steps.message_id[*row] = Some(message_id),
                Some(Sender::Settled(row)) => self.settled.message_id[*row] = Some(message_id),
                None => {}
            }
        }
        // In this order: whoever has some of the same tasks in hand waits at the first two parts, and not half way
        // through.
        let mut statement = Combined::default();
        statement.part(self.unlocked.is_empty(), sql::LOCK_NOW, 1);
        statement.part(self.tasks.id.is_empty(), sql::UPDATE_TASKS, 5);
        statement.part(self.journal.task_id.is_empty(), sql::INSERT_JOURNAL, 5);
        statement.part(self.new_tasks.id.is_empty(), sql::INSERT_TASKS, 21);
        statement.part(self.new_steps.task_id.is_empty(), sql::INSERT_STEPS, 17);
        statement.part(self.settled.task_id.is_empty(), sql::SETTLE_STEPS, 13);
        statement.part(self.steps.task_id.is_empty(), sql::UPDATE_STEPS, 11);
        statement.part(self.deleted.is_empty(), DELETE, 2);
        let text = statement.text();
        let mut query = sqlx::query(&text);
        if !self.unlocked.is_empty() {
            query = query.bind(self.unlocked);
        }
        macro_rules! bind {
            ($($rows:ident),+) => { $(query = self.$rows.bind(query);)+ };
        }
        bind!(tasks, journal, new_tasks, new_steps, settled, steps, deleted);
        query.execute(connection).await.map(drop)
    }
}

/// Statements as parts of one, which are executed in their order: the answer asks for the number of rows of each.
#[derive(Default)]
struct Combined {
    parts: String,
    counts: String,
    parameters: usize,
}

impl Combined {
    /// Adds a statement with that many parameters, unless it has nothing to do.
    fn part(&mut self, is_empty: bool, statement: &str, parameters: usize) {
        if is_empty {
            return;
        }
        let number = self.counts.matches("count").count();
        let returning = if statement.starts_with("SELECT") { "" } else { " RETURNING 1" };
        let separator = if number == 0 { "WITH" } else { "," };
        self.parts.push_str(&format!("{separator} part{number} AS ("));
        self.renumbered(statement);
        self.parts.push_str(returning);
        self.parts.push(')');
        let separator = if number == 0 { "SELECT" } else { "," };
        self.counts.push_str(&format!("{separator} (SELECT count(*) FROM part{number})"));
        self.parameters += parameters;
    }

    /// Adds the statement with its parameters numbered after those that are there.
    fn renumbered(&mut self, statement: &str) {
        let mut pieces = statement.split('$');
        self.parts.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let digits = piece.len() - piece.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: usize = piece[..digits].parse().unwrap_or_default();
            self.parts.push_str(&format!("${}{}", number + self.parameters, &piece[digits..]));
        }
    }

    fn text(self) -> String {
        self.parts + " " + &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_on_and_counted_in_order() {
        let mut statement = Combined::default();
        statement.part(false, "UPDATE a SET x = $1 WHERE y = $2", 2);
        statement.part(true, "UPDATE never SET x = $1", 1);
        statement.part(false, "SELECT f($1::text[])", 1);
        let wanted = "WITH part0 AS (UPDATE a SET x = $1 WHERE y = $2 RETURNING 1), part1 AS (SELECT f($3::text[])) \
            SELECT (SELECT count(*) FROM part0), (SELECT count(*) FROM part1)";
        assert_eq!(statement.text(), wanted);
    }
}
