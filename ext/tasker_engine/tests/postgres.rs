//! What only PostgreSQL has: many workers at once, a server that refuses or goes away, messages, plans of statements.
// Until its store is in the build again.
#![cfg(any())]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "postgres/absence.rs"]
mod absence;
#[path = "support/harness.rs"]
mod harness;
#[path = "postgres/joins.rs"]
mod joins;
#[path = "postgres/lost_answer.rs"]
mod lost_answer;
#[path = "postgres/messages.rs"]
mod messages;
#[path = "postgres/plans.rs"]
mod plans;
#[path = "postgres/refusals.rs"]
mod refusals;
#[path = "support/scrape.rs"]
mod scrape;
#[path = "support/story.rs"]
mod story;
