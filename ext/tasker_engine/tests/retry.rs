//! Attempts that fail: which are repeated, when, how often, what is kept of them, and what an
//! operator can do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "retry/attempts.rs"]
mod attempts;
#[path = "support/harness.rs"]
mod harness;
#[path = "retry/operator.rs"]
mod operator;
#[path = "retry/stopping.rs"]
mod stopping;
#[path = "retry/timeouts.rs"]
mod timeouts;

/// One step with the given retry policy and fields.
fn flaky(policy: &str, fields: &str) -> String {
    format!("{{name: flaky, steps: [{{name: charge, handler: Charge, retry: {{{policy}, jitter: 0}}{fields}}}]}}")
}

/// Two branches: `pay` then `ship`, and beside them `mail`. Every step is tried once.
const BRANCHES: &str = "
name: branches
steps:
  - {name: pay, handler: Pay, retry: {max_attempts: 1}}
  - {name: ship, handler: Ship, dependencies: [pay]}
  - {name: mail, handler: Mail, retry: {max_attempts: 1}}
";
