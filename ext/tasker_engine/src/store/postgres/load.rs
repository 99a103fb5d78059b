//! Owns: reading tasks with their steps, locked, and what their steps work on.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::Row;

use super::rows::{count, micros, optional, optional_micros, parsed, span_id, trace_id};
use crate::graph::Graph;
use crate::state::{StepState, TaskState};
use crate::step::Step;
use crate::store::catalogue::Catalogue;
use crate::store::Inputs;
use crate::task::{Task, TaskTrace};
use crate::template::Template;

pub(super) const TASKS: &str = "SELECT id, task_uuid, template_id, state, state_since, priority, correlation_id, \
    parent_correlation_id, idempotency_key, trace_id, root_span_id, parent_span_id, sampled, root_recorded, created_at, \
    run_at, completed_at, transitions, CASE WHEN pg_column_size(context) <= 1000 THEN context::text END AS context \
    FROM tasker.tasks WHERE id = ANY($1) ORDER BY id FOR UPDATE";

// A statement of its own, after the lock: what another transaction wrote before it let go is seen only now.
pub(super) const STEPS: &str =
    "SELECT task_id, step_uuid, state, state_since, attempts, max_attempts, due_at, worker_id, span_id, \
    transitions, message_id FROM tasker.steps WHERE task_id = ANY($1) ORDER BY task_id, position";

pub(super) const CONTEXTS: &str =
    "SELECT id AS task_id, -1 AS position, context::text AS json FROM tasker.tasks WHERE id = ANY($1) \
    UNION ALL SELECT s.task_id, s.position, coalesce(s.result::text, 'null') FROM unnest($2::bigint[], $3::int[]) \
    AS wanted (task_id, position) JOIN tasker.steps s USING (task_id, position)";

/// What a session prepares for [`begin_with_graphs`].
pub(super) fn prepare() -> String {
    format!("PREPARE tasker_lock (bigint[]) AS {TASKS}; PREPARE tasker_steps (bigint[]) AS {STEPS}")
}

/// Locks tasks and loads them with their steps, in the order of their numbers.
pub(super) async fn graphs(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    task_ids: &[i64],
) -> sqlx::Result<Vec<Graph>> {
    let tasks = sqlx::query(TASKS).bind(task_ids).fetch_all(&mut *connection).await?;
    let steps = sqlx::query(STEPS).bind(task_ids).fetch_all(&mut *connection).await?;
    assemble(connection, catalogue, &tasks, &steps).await
}

/// Begins the transaction and does what [`graphs`] does, in one round trip.
pub(super) async fn begin_with_graphs(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    task_ids: &[i64],
) -> sqlx::Result<Vec<Graph>> {
    let ids = task_ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let sql = format!("BEGIN; EXECUTE tasker_lock('{{{ids}}}'); EXECUTE tasker_steps('{{{ids}}}')");
    let rows = sqlx::raw_sql(&sql).fetch_all(&mut *connection).await?;
    let (tasks, steps): (Vec<PgRow>, Vec<PgRow>) =
        rows.into_iter().partition(|row| row.try_column("step_uuid").is_err());
    assemble(connection, catalogue, &tasks, &steps).await
}

async fn assemble(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    tasks: &[PgRow],
    steps: &[PgRow],
) -> sqlx::Result<Vec<Graph>> {
    let mut templates = HashMap::new();
    for row in tasks {
        let id: i64 = row.try_get("template_id")?;
        if let Entry::Vacant(unknown) = templates.entry(id) {
            unknown.insert(template(connection, catalogue, id).await?);
        }
    }
    let mut by_task: HashMap<i64, Vec<Step>> = HashMap::with_capacity(tasks.len());
    for row in steps {
        by_task.entry(row.try_get("task_id")?).or_default().push(step(row)?);
    }
    tasks
        .iter()
        .map(|row| {
            let template_id: i64 = row.try_get("template_id")?;
            let task = task(row, template_id, Arc::clone(&templates[&template_id]))?;
            let (id, expected) = (task.id, task.template.steps.len());
            let steps = by_task.remove(&id).unwrap_or_default();
            if steps.len() == expected {
                Ok(Graph::loaded(task, steps))
            } else {
                let found = steps.len();
                Err(sqlx::Error::Decode(format!("task number {id} has {found} steps, its template {expected}").into()))
            }
        })
        .collect()
}

fn task(row: &PgRow, template_id: i64, template: Arc<Template>) -> sqlx::Result<Task> {
    Ok(Task {
        id: row.try_get("id")?,
        task_uuid: row.try_get("task_uuid")?,
        template,
        template_id,
        state: parsed(row, "state", TaskState::parse)?,
        state_since: micros(row, "state_since")?,
        priority: row.try_get("priority")?,
        correlation_id: row.try_get("correlation_id")?,
        parent_correlation_id: row.try_get("parent_correlation_id")?,
        idempotency_key: row.try_get("idempotency_key")?,
        trace: TaskTrace {
            trace_id: parsed(row, "trace_id", trace_id)?,
            root_span_id: parsed(row, "root_span_id", span_id)?,
            parent_span_id: optional(row, "parent_span_id", span_id)?,
            sampled: row.try_get("sampled")?,
            root_recorded: row.try_get("root_recorded")?,
        },
        created_at: micros(row, "created_at")?,
        run_at: optional_micros(row, "run_at")?,
        completed_at: optional_micros(row, "completed_at")?,
        transitions: count(row, "transitions")?,
        // A small one comes along: the next step will want it.
        context: optional(row, "context", |text| Some(Arc::from(text)))?,
    })
}

fn step(row: &PgRow) -> sqlx::Result<Step> {
    Ok(Step {
        id: 0,
        step_uuid: row.try_get("step_uuid")?,
        state: parsed(row, "state", StepState::parse)?,
        state_since: micros(row, "state_since")?,
        attempts: count(row, "attempts")?,
        max_attempts: count(row, "max_attempts")?,
        due_at: optional_micros(row, "due_at")?,
        worker_id: optional(row, "worker_id", |text| Some(Arc::from(text)))?,
        span_id: optional(row, "span_id", span_id)?,
        transitions: count(row, "transitions")?,
        message_id: row.try_get("message_id")?,
        result: None,
        error: None,
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
    let template = Template::from_json(&format!("stored template {id}"), &document);
    let template = Arc::new(template.map_err(|error| sqlx::Error::Decode(Box::new(error)))?);
    catalogue.add_read(id, Arc::clone(&template));
    Ok(template)
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
