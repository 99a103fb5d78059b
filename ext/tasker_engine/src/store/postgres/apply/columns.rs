//! Owns: rows on their way to the server: an array for each column.

use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::postgres::queue::Query;

/// Arrays of one length.
macro_rules! columns {
    ($name:ident { $($column:ident: $type:ty),+ $(,)? }) => {
        #[derive(Default)]
        pub(super) struct $name { $(pub(super) $column: Vec<$type>),+ }

        impl $name {
            /// Binds the arrays in the order they are declared in.
            pub(super) fn bind(self, query: Query) -> Query {
                query$(.bind(self.$column))+
            }
        }
    };
}

pub(super) type Time = DateTime<Utc>;

columns!(NewTasks {
    task_uuid: Uuid, template_id: i64, namespace: String, name: String, version: String, state: &'static str,
    state_since: Time, priority: i32, correlation_id: Uuid, parent_correlation_id: Option<Uuid>,
    idempotency_key: Option<String>, trace_id: String, root_span_id: String, parent_span_id: Option<String>,
    sampled: bool, root_recorded: bool, created_at: Time, run_at: Option<Time>, waits_until: Option<Time>,
    completed_at: Option<Time>, transitions: i32, context: String,
});

columns!(NewSteps {
    task_id: i64, position: i32, step_uuid: Uuid, name: String, namespace: String, priority: i32, state: &'static str,
    state_since: Time, attempts: i32, max_attempts: i32, due_at: Option<Time>, worker_id: Option<String>,
    span_id: Option<String>, transitions: i32, message_id: Option<i64>,
});

columns!(Tasks {
    id: i64, state: &'static str, state_since: Time, waits_until: Option<Time>, completed_at: Option<Time>,
    transitions: i32, root_recorded: bool,
});

columns!(Steps {
    task_id: i64, position: i32, state: &'static str, state_since: Time, attempts: i32, max_attempts: i32,
    due_at: Option<Time>, worker_id: Option<String>, span_id: Option<String>, transitions: i32, message_id: Option<i64>,
    settled: bool, error: Option<String>, result: Option<String>, outgoing: Option<i32>,
});

columns!(TaskTransitions {
    task_id: i64, sort_key: i32, from_state: &'static str, to_state: &'static str, created_at: Time, metadata: String,
});

columns!(StepTransitions {
    task_id: i64, position: i32, sort_key: i32, from_state: &'static str, to_state: &'static str, created_at: Time,
    metadata: String,
});
