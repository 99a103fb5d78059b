//! Owns: reading tasks with their steps, locked, and what their steps work on.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Column, Row};

use super::connect::explain;
use super::rows::{bigint, count, micros, optional, optional_micros, parsed, span_id, trace_id};
use super::write::Script;
use crate::clock::Micros;
use crate::graph::Graph;
use crate::state::{StepState, TaskState};
use crate::step::Step;
use crate::store::catalogue::Catalogue;
use crate::store::{Inputs, Loaded};
use crate::task::{Task, TaskTrace};
use crate::template::Template;

/// Tasks, as [`task`] reads them.
macro_rules! tasks {
    ($which:literal) => {
        concat!(
            "SELECT id, task_uuid, template_id, state, priority, correlation_id, parent_correlation_id, idempotency_key, \
             trace_id, root_span_id, parent_span_id, sampled, root_recorded, created_at, run_at, completed_at, \
             CASE WHEN pg_column_size(context) <= 1000 THEN context::text END AS context FROM tasker.tasks k ",
            $which
        )
    };
}
/// The tasks, locked; in their order, or only those that nobody else has.
pub(super) const TASKS: &str = tasks!("WHERE id = ANY($1) ORDER BY id FOR UPDATE");
pub(super) const FREE_TASKS: &str = tasks!("WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED");

/// Of the tasks $1, the first $2 that nobody else has and that have a step to claim; locked, and named for the rest of the
/// transaction: what follows in the same round trip reads their steps.
pub(super) const CLAIMABLE_TASKS: &str = concat!(
    "WITH locked AS MATERIALIZED (SELECT t.* FROM unnest($1::bigint[]) AS u (id) CROSS JOIN LATERAL (",
    tasks!(
        "WHERE k.id = u.id AND EXISTS (SELECT 1 FROM tasker.steps s WHERE s.task_id = k.id AND s.queued) \
         FOR UPDATE SKIP LOCKED"
    ),
    ") t LIMIT $2), named AS MATERIALIZED ( \
       SELECT set_config('tasker.found', coalesce(array_agg(id), '{}')::text, true) FROM locked) \
     SELECT locked.* FROM named LEFT JOIN locked ON true"
);

// Statements of their own, after the lock: what another transaction wrote before it let go is seen only now.
pub(super) const STEPS: &str =
    "SELECT task_id, step_uuid, state, state_since, attempts, max_attempts, due_at, worker_id, span_id, message_id \
    FROM tasker.steps WHERE task_id = ANY($1) ORDER BY task_id, position";

pub(super) const LAST: &str = "SELECT u.id AS journal_of, j.seq, j.since FROM unnest($1::bigint[]) AS u (id) \
    CROSS JOIN LATERAL (SELECT seq, since FROM tasker.journal WHERE task_id = u.id ORDER BY seq DESC LIMIT 1) j";

pub(super) const CONTEXTS: &str =
    "SELECT id AS task_id, -1 AS position, context::text AS json FROM tasker.tasks WHERE id = ANY($1) \
    UNION ALL SELECT s.task_id, s.position, coalesce(s.result::text, 'null') FROM unnest($2::bigint[], $3::int[]) \
    AS wanted (task_id, position) JOIN tasker.steps s USING (task_id, position)";

/// What a session prepares for [`graphs`].
pub(super) fn prepare() -> String {
    format!(
        "PREPARE tasker_lock (bigint[]) AS {TASKS}; PREPARE tasker_lock_free (bigint[]) AS {FREE_TASKS}; PREPARE tasker_steps (bigint[]) AS {STEPS}; \
         PREPARE tasker_lock_claimable (bigint[], bigint) AS {CLAIMABLE_TASKS}; PREPARE tasker_last (bigint[]) AS {LAST}"
    )
}

/// Locks tasks, with `free` those that nobody else has, and loads them with their steps, in the order of their numbers.
/// With `script`, which comes before, in one round trip.
pub(super) async fn graphs(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    task_ids: &[i64],
    free: bool,
    script: Option<&str>,
) -> sqlx::Result<Loaded> {
    let Some(script) = script else {
        let tasks =
            sqlx::query(if free { FREE_TASKS } else { TASKS }).bind(task_ids).fetch_all(&mut *connection).await?;
        let steps = sqlx::query(STEPS).bind(task_ids).fetch_all(&mut *connection).await?;
        let last = sqlx::query(LAST).bind(task_ids).fetch_all(&mut *connection).await?;
        return assemble(connection, catalogue, &tasks, &steps, &last).await;
    };
    let lock = if free { "tasker_lock_free" } else { "tasker_lock" };
    let ids = task_ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let sql = format!(
        "{script}EXECUTE {lock}('{{{ids}}}'); EXECUTE tasker_steps('{{{ids}}}'); EXECUTE tasker_last('{{{ids}}}')"
    );
    execute(connection, catalogue, &sql).await.map(|(_, loaded)| loaded)
}

/// As [`graphs`], with `free`, for the tasks that `script` finds and names in `tasker.found`. Gives what it found as well.
pub(super) async fn with_found(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    script: Script,
) -> sqlx::Result<(Vec<PgRow>, Loaded)> {
    let sql = format!("{}{LOCK_FOUND}{READ_FOUND}", script.text());
    execute(connection, catalogue, &sql).await
}

/// Locks and loads, of the tasks, the first `most` that nobody else has and that have a step to claim. With `prepared`
/// statements in one round trip.
pub(super) async fn claimable(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    task_ids: &[i64],
    most: usize,
    prepared: bool,
) -> sqlx::Result<Loaded> {
    if prepared {
        let mut script = Script::default();
        script.execute("tasker_lock_claimable", |values| {
            values.ints(task_ids).int(bigint(most));
        });
        let sql = format!("{}{READ_FOUND}", script.text());
        return execute(connection, catalogue, &sql).await.map(|(_, loaded)| loaded);
    }
    let lock = sqlx::query(CLAIMABLE_TASKS).bind(task_ids).bind(bigint(most));
    let tasks = some(lock.fetch_all(&mut *connection).await?);
    let locked = tasks.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<Vec<i64>>>()?;
    let steps = sqlx::query(STEPS).bind(&locked).fetch_all(&mut *connection).await?;
    let last = sqlx::query(LAST).bind(&locked).fetch_all(&mut *connection).await?;
    assemble(connection, catalogue, &tasks, &steps, &last).await
}

/// The tasks that a statement before has found.
macro_rules! found {
    () => {
        "current_setting('tasker.found')::bigint[]"
    };
}
const LOCK_FOUND: &str = concat!("EXECUTE tasker_lock_free(", found!(), ");");
const READ_FOUND: &str = concat!("EXECUTE tasker_steps(", found!(), "); EXECUTE tasker_last(", found!(), ")");

/// Without the row that only says that there is none.
fn some(mut rows: Vec<PgRow>) -> Vec<PgRow> {
    rows.retain(|row| !matches!(row.try_get::<Option<i64>, _>(0), Ok(None)));
    rows
}

/// Executes statements of this file, and [`super::claim`]'s.
async fn execute(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    sql: &str,
) -> sqlx::Result<(Vec<PgRow>, Loaded)> {
    let (mut found, mut tasks, mut steps, mut last) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in sqlx::raw_sql(sql).fetch_all(&mut *connection).await? {
        let columns = row.columns();
        let rows = match columns.first().map(|column| column.name()) {
            Some("id") => &mut tasks,
            Some("task_id") if columns.get(1).is_some_and(|second| second.name() == "position") => &mut found,
            Some("task_id") => &mut steps,
            _ => &mut last,
        };
        rows.push(row);
    }
    let loaded = assemble(connection, catalogue, &some(tasks), &steps, &last).await?;
    Ok((some(found), loaded))
}

async fn assemble(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    tasks: &[PgRow],
    steps: &[PgRow],
    last: &[PgRow],
) -> sqlx::Result<Loaded> {
    let mut by_task: HashMap<i64, Vec<&PgRow>> = HashMap::with_capacity(tasks.len());
    for row in steps {
        by_task.entry(row.try_get(0)?).or_default().push(row);
    }
    let mut journals = HashMap::with_capacity(tasks.len());
    for row in last {
        journals.insert(row.try_get::<i64, _>(0)?, (count(row, 1)?, micros(row, "since")?));
    }
    let mut loaded = Loaded::default();
    for row in tasks {
        let id: i64 = row.try_get(0)?;
        let template = template(connection, catalogue, row.try_get(2)?).await;
        match graph(row, template, by_task.remove(&id).unwrap_or_default(), journals.get(&id)) {
            Ok(graph) => loaded.graphs.push(graph),
            Err(error @ (sqlx::Error::Io(_) | sqlx::Error::Database(_) | sqlx::Error::Protocol(_))) => {
                return Err(error)
            }
            Err(error) => loaded.unreadable.push((id, explain(&error))),
        }
    }
    Ok(loaded)
}

fn graph(
    row: &PgRow,
    template: sqlx::Result<Arc<Template>>,
    steps: Vec<&PgRow>,
    journal: Option<&(u32, Micros)>,
) -> sqlx::Result<Graph> {
    let unreadable = |what: String| sqlx::Error::Decode(what.into());
    let &(seq, since) = journal.ok_or_else(|| unreadable("it has no journal".into()))?;
    let task = task(row, template?, seq, since)?;
    let (found, expected) = (steps.len(), task.template.steps.len());
    if found != expected {
        return Err(unreadable(format!("it has {found} steps, its template {expected}")));
    }
    let steps = steps.into_iter().map(step).collect::<sqlx::Result<_>>()?;
    Ok(Graph::loaded(task, steps))
}

fn task(row: &PgRow, template: Arc<Template>, journal: u32, state_since: Micros) -> sqlx::Result<Task> {
    Ok(Task {
        id: row.try_get(0)?,
        task_uuid: row.try_get(1)?,
        template,
        template_id: row.try_get(2)?,
        state: TaskState::stored(row.try_get(3)?),
        state_since,
        priority: row.try_get(4)?,
        correlation_id: row.try_get(5)?,
        parent_correlation_id: row.try_get(6)?,
        idempotency_key: row.try_get(7)?,
        trace: TaskTrace {
            trace_id: parsed(row, "trace_id", trace_id)?,
            root_span_id: parsed(row, "root_span_id", span_id)?,
            parent_span_id: optional(row, "parent_span_id", span_id)?,
            sampled: row.try_get(11)?,
            root_recorded: row.try_get(12)?,
        },
        created_at: micros(row, "created_at")?,
        run_at: optional_micros(row, "run_at")?,
        completed_at: optional_micros(row, "completed_at")?,
        journal,
        // A small one comes along: the next step will want it.
        context: optional(row, "context", |text| Some(Arc::from(text)))?,
    })
}

fn step(row: &PgRow) -> sqlx::Result<Step> {
    Ok(Step {
        step_uuid: row.try_get(1)?,
        state: StepState::stored(row.try_get(2)?),
        state_since: micros(row, "state_since")?,
        attempts: count(row, 4)?,
        max_attempts: count(row, 5)?,
        due_at: optional_micros(row, "due_at")?,
        worker_id: optional(row, "worker_id", |text| Some(Arc::from(text)))?,
        span_id: optional(row, "span_id", span_id)?,
        message_id: row.try_get(9)?,
        result: None,
        error: None,
        settled: false,
        changed: false,
    })
}

/// The template of that number, from the catalogue or the database.
pub(super) async fn template(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    id: i64,
) -> sqlx::Result<Arc<Template>> {
    if let Some(template) = catalogue.get(id) {
        return Ok(template);
    }
    let document: String = sqlx::query_scalar("SELECT document FROM tasker.templates WHERE id = $1")
        .bind(id)
        .fetch_one(connection)
        .await?;
    let template = Template::from_stored(&format!("stored template {id}"), &document);
    let template = Arc::new(template.map_err(|error| sqlx::Error::Decode(Box::new(error)))?);
    catalogue.add_read(id, Arc::clone(&template));
    Ok(template)
}

/// What steps of graphs work on, when the graphs hold all of it.
pub(super) fn known_inputs(steps: &[(&Graph, usize)]) -> Option<Vec<Inputs>> {
    let known = |(graph, position): &(&Graph, usize)| {
        let context = Arc::clone(graph.task.context.as_ref()?);
        let template = &graph.task.template;
        let dependencies = template.steps[*position].dependencies.iter();
        let result = |&dependency: &usize| {
            let result = Arc::clone(graph.steps[dependency].result.as_ref()?);
            Some((Arc::clone(&template.steps[dependency].name), result))
        };
        Some(Inputs { context, dependency_results: dependencies.map(result).collect::<Option<_>>()? })
    };
    steps.iter().map(known).collect()
}

/// What steps of graphs work on: what the graphs do not hold is read with one statement.
pub(super) async fn inputs(connection: &mut PgConnection, steps: &[(&Graph, usize)]) -> sqlx::Result<Vec<Inputs>> {
    let mut texts = missing(connection, steps).await?;
    let mut text = |task_id: i64, position: i32| -> sqlx::Result<Arc<str>> {
        let text = texts.entry((task_id, position)).or_default();
        text.clone().ok_or(sqlx::Error::RowNotFound)
    };
    let mut inputs = Vec::with_capacity(steps.len());
    for (graph, position) in steps {
        let template = &graph.task.template;
        let context = match &graph.task.context {
            Some(context) => Arc::clone(context),
            None => text(graph.task.id, -1)?,
        };
        let mut dependency_results = Vec::new();
        for &dependency in &template.steps[*position].dependencies {
            let result = match &graph.steps[dependency].result {
                Some(result) => Arc::clone(result),
                None => text(graph.task.id, super::rows::int(dependency))?,
            };
            dependency_results.push((Arc::clone(&template.steps[dependency].name), result));
        }
        inputs.push(Inputs { context, dependency_results });
    }
    Ok(inputs)
}

async fn missing(
    connection: &mut PgConnection,
    steps: &[(&Graph, usize)],
) -> sqlx::Result<HashMap<(i64, i32), Option<Arc<str>>>> {
    let (mut tasks, mut of, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    for (graph, position) in steps {
        if graph.task.context.is_none() {
            tasks.push(graph.task.id);
        }
        for &dependency in &graph.task.template.steps[*position].dependencies {
            if graph.steps[dependency].result.is_none() {
                of.push(graph.task.id);
                positions.push(super::rows::int(dependency));
            }
        }
    }
    if tasks.is_empty() && of.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(CONTEXTS).bind(tasks).bind(of).bind(positions).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let json: &str = row.try_get("json")?;
            Ok(((row.try_get("task_id")?, row.try_get("position")?), Some(Arc::from(json))))
        })
        .collect()
}
