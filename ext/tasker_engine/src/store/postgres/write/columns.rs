//! Owns: rows on their way to the server: an array for each column.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

pub(super) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// Arrays of one length.
macro_rules! columns {
    ($name:ident { $($column:ident: $type:ty),+ $(,)? }) => {
        #[derive(Default)]
        pub(super) struct $name { $(pub(super) $column: Vec<$type>),+ }

        impl $name {
            /// Binds the arrays in the order they are declared in, if there are any rows.
            pub(super) fn bind<'q>(self, query: Query<'q>) -> Query<'q> {
                let empty = true$(&& self.$column.is_empty())+;
                if empty {
                    return query;
                }
                query$(.bind(self.$column))+
            }
        }
    };
}

pub(super) type Time = DateTime<Utc>;

columns!(NewTasks {
    id: i64, task_uuid: Uuid, template_id: i64, namespace: String, name: String, version: String, state: &'static str,
    priority: i32, correlation_id: Uuid, parent_correlation_id: Option<Uuid>, idempotency_key: Option<String>,
    trace_id: String, root_span_id: String, parent_span_id: Option<String>, sampled: bool, root_recorded: bool,
    created_at: Time, run_at: Option<Time>, waits_until: Option<Time>, completed_at: Option<Time>, context: String,
});

columns!(NewSteps {
    task_id: i64, position: i32, step_uuid: Uuid, name: String, namespace: String, priority: i32, state: &'static str,
    queued: bool, state_since: Time, attempts: i32, max_attempts: i32, due_at: Option<Time>, worker_id: Option<String>,
    span_id: Option<String>, message_id: Option<i64>, error: Option<String>, result: Option<String>,
});

columns!(Tasks {
    id: i64, state: &'static str, waits_until: Option<Time>, completed_at: Option<Time>, root_recorded: bool,
});

columns!(Steps {
    task_id: i64, position: i32, state: &'static str, queued: bool, state_since: Time, attempts: i32, max_attempts: i32,
    due_at: Option<Time>, worker_id: Option<String>, span_id: Option<String>, message_id: Option<i64>,
});

columns!(Settled {
    task_id: i64, position: i32, state: &'static str, queued: bool, state_since: Time, attempts: i32, max_attempts: i32,
    due_at: Option<Time>, worker_id: Option<String>, span_id: Option<String>, message_id: Option<i64>,
    error: Option<String>, result: Option<String>,
});

columns!(Journal { task_id: i64, seq: i32, at: Time, since: Time, moves: String });
