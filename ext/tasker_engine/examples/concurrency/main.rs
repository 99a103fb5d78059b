//! What threads wait for each other with, run by a scheduler that looks for the orders that are bad for them (shuttle): a
//! wake-up that is lost is a deadlock, for here no wait ever times out.
//!
//! The engine's own files are compiled once more, with shuttle's primitives as their `crate::sync`, and without their own
//! tests: so this is an example, not a test. `cargo run --example concurrency NAME` runs the scenarios whose names contain
//! NAME; CONCURRENCY_SECONDS is how long each is tried (1.2).
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod handlers;
mod model;
mod requests;
mod ringing;

#[path = "../../src"]
mod sources {
    pub mod bell;
    pub mod channel;
    pub mod interrupt;

    pub mod engine {
        pub mod inbox;

        /// What the engine's thread takes.
        pub fn take(inbox: &inbox::Inbox) -> Vec<inbox::Request> {
            inbox.take(64)
        }

        pub fn is_closed(inbox: &inbox::Inbox) -> bool {
            inbox.is_closed()
        }
    }
}

mod sync {
    pub use shuttle::sync::{atomic, Condvar, Mutex, MutexGuard};
    pub use std::sync::PoisonError;
}

use std::io::Write;
use std::time::{Duration, Instant};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use sources::{bell, channel, engine, interrupt};
// What those files import besides.
use tasker_engine::{clock, config, error, event, plan, state, step, template};

/// Schedules of one kind in a row.
const ROUND: usize = 500;

type Scenario = (&'static str, fn());

const SCENARIOS: &[&[Scenario]] = &[ringing::SCENARIOS, handlers::SCENARIOS, requests::SCENARIOS];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let seconds = std::env::var("CONCURRENCY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1.2);
    let chosen = SCENARIOS.iter().copied().flatten();
    let chosen = chosen.filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())));
    let mut passed = 0;
    for (name, scenario) in chosen {
        print!("test {name} ... ");
        std::io::stdout().flush().unwrap();
        println!("ok ({} schedules)", explore(*scenario, Duration::from_secs_f64(seconds)));
        passed += 1;
    }
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored");
}

/// Runs the scenario under as many schedules as the time allows: by turns any, and such as change threads seldom, but at
/// the worst moments. Panics with the first one that ends badly.
fn explore(scenario: fn(), time: Duration) -> usize {
    let (began, mut schedules) = (Instant::now(), 0);
    let mut config = Config::new();
    // Of orderings weaker than the strongest it knows nothing: no scenario is about them.
    config.silence_warnings = true;
    while began.elapsed() < time {
        schedules += Runner::new(RandomScheduler::new(ROUND), config.clone()).run(scenario);
        schedules += Runner::new(PctScheduler::new(3, ROUND), config.clone()).run(scenario);
    }
    schedules
}
