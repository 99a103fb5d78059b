//! Owns: a task's journal, the same in every store: one row for each transaction that moved anything of it, with all
//! its moves as one JSON array. `docs/internals/stores.md` describes the format; views show it as rows.
//!
//! A move is `[position, from, to, offset, duration, attempt, worker, reason, error]`: the step's position in the
//! template, -1 for the task; microseconds after the row's `at`; milliseconds in `from`. What is empty at the end is left
//! out.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{json, Value};

use super::TransitionView;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::graph::{Graph, StepTransition};

/// A row to be written.
pub(super) struct Row {
    /// Its number in its task's journal; 1 for the first.
    pub(super) seq: u32,
    /// The first move.
    pub(super) at: Micros,
    /// The moves, as JSON.
    pub(super) moves: String,
}

/// What this transaction adds to the journal of a graph that changed.
pub(super) fn row(graph: &Graph) -> Result<Row> {
    let steps = graph.step_transitions.iter().map(|transition| transition.at);
    let at = graph.task_transitions.iter().map(|transition| transition.at).chain(steps).min();
    let at = at.unwrap_or(graph.task.created_at);
    let mut moves = String::with_capacity(80 * (graph.task_transitions.len() + graph.step_transitions.len()) + 2);
    moves.push('[');
    for transition in &graph.step_transitions {
        step_move(&mut moves, transition, at)?;
    }
    for transition in &graph.task_transitions {
        separate(&mut moves);
        let (from, to, offset) = (transition.from, transition.to, transition.at.0 - at.0);
        let _ = write!(moves, r#"[-1,"{from}","{to}",{offset},{:.3}]"#, transition.duration_ms);
    }
    moves.push(']');
    Ok(Row { seq: graph.task.journal + 1, at, moves })
}

fn separate(moves: &mut String) {
    if moves.len() > 1 {
        moves.push(',');
    }
}

fn step_move(moves: &mut String, transition: &StepTransition, at: Micros) -> Result<()> {
    separate(moves);
    let StepTransition { position, from, to, .. } = transition;
    let offset = transition.at.0 - at.0;
    let _ = write!(moves, r#"[{position},"{from}","{to}",{offset},{:.3}"#, transition.duration_ms);
    let error = transition.ended.as_ref().and_then(|ended| ended.error.as_ref());
    if transition.attempt > 0 || transition.worker_id.is_some() || transition.reason.is_some() || error.is_some() {
        let _ = write!(moves, ",{}", transition.attempt);
    }
    if transition.worker_id.is_some() || transition.reason.is_some() || error.is_some() {
        let _ = write!(moves, ",{}", json_text(&transition.worker_id.as_deref())?);
    }
    if transition.reason.is_some() || error.is_some() {
        let _ = write!(moves, ",{}", json_text(&transition.reason)?);
    }
    if let Some(error) = error {
        // No SQL function of PostgreSQL's gives out a NUL.
        let message = error.message.replace('\0', "\u{fffd}");
        let _ = write!(moves, r#",{{"class":{},"message":{}}}"#, json_text(&error.class_name)?, json_text(&message)?);
    }
    moves.push(']');
    Ok(())
}

/// A value as JSON.
pub(super) fn json_text<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Internal(format!("cannot write JSON: {error}")))
}

/// A stored move. Newer versions may add to it.
#[derive(Deserialize)]
struct Move(
    i64,
    String,
    String,
    i64,
    #[serde(default)] f64,
    #[serde(default)] u32,
    #[serde(default)] Option<String>,
    #[serde(default)] Option<String>,
    #[serde(default)] Option<Value>,
);

/// All moves of a task in the order they happened, from the rows of its journal in their order. `names` are its steps'.
pub(super) fn transitions(
    rows: &[(Micros, String)],
    names: &[String],
    correlation_id: &str,
) -> Result<Vec<TransitionView>> {
    let mut moves = Vec::new();
    for (at, text) in rows {
        let values: Vec<Value> = serde_json::from_str(text).map_err(unreadable)?;
        for mut value in values {
            // What a newer version appends is not looked at.
            if let Some(fields) = value.as_array_mut() {
                fields.truncate(9);
                fields.resize(9, Value::Null);
                fields[4] = Value::from(fields[4].as_f64().unwrap_or_default());
                fields[5] = Value::from(fields[5].as_u64().unwrap_or_default());
            }
            let step: Move = serde_json::from_value(value).map_err(unreadable)?;
            moves.push((at.0 + step.3, step));
        }
    }
    // In a row steps come before their task, and so they do at the same moment: they settle, then it is evaluated.
    moves.sort_by_key(|(at, _)| *at);
    Ok(moves.into_iter().map(|(at, step)| view(at, step, names, correlation_id)).collect())
}

fn view(at: i64, step: Move, names: &[String], correlation_id: &str) -> TransitionView {
    let Move(position, from_state, to_state, _, duration_ms, attempt, worker, reason, error) = step;
    let mut metadata = json!({ "correlation_id": correlation_id, "duration_ms": duration_ms });
    if attempt > 0 {
        metadata["attempt"] = attempt.into();
    }
    for (key, value) in [("worker", worker.map(Value::from)), ("reason", reason.map(Value::from)), ("error", error)] {
        if let Some(value) = value {
            metadata[key] = value;
        }
    }
    let step =
        usize::try_from(position).ok().map(|at| names.get(at).cloned().unwrap_or_else(|| format!("#{position}")));
    TransitionView { step, from_state, to_state, created_at: at, metadata }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Store(format!("a task's journal holds what this version does not understand: {error}"))
}
