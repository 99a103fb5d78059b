//! What only PostgreSQL has: many workers at once, a server that refuses or goes away, messages, plans of statements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "postgres/absence.rs"]
mod absence;
#[path = "postgres/clocks.rs"]
mod clocks;
#[path = "postgres/connections.rs"]
mod connections;
#[path = "postgres/durability.rs"]
mod durability;
#[path = "support/harness.rs"]
mod harness;
#[path = "postgres/joins.rs"]
mod joins;
#[path = "postgres/lost_answer.rs"]
mod lost_answer;
#[path = "postgres/measured.rs"]
mod measured;
#[path = "postgres/messages.rs"]
mod messages;
#[path = "postgres/notices.rs"]
mod notices;
#[path = "postgres/permutations.rs"]
mod permutations;
#[path = "postgres/pgmq.rs"]
mod pgmq_sql;
#[path = "store_conformance/place.rs"]
#[allow(dead_code)]
mod place;
#[path = "postgres/plans.rs"]
mod plans;
#[path = "postgres/poison.rs"]
mod poison;
#[path = "postgres/refusals.rs"]
mod refusals;
#[path = "../../tasker_telemetry/tests/support/scrape.rs"]
mod scrape;
#[path = "../../tasker_telemetry/tests/support/story.rs"]
mod story;
#[path = "postgres/waiting.rs"]
mod waiting;
