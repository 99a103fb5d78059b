//! What kind of run a seed is, and the templates its tasks are made from.

use std::sync::{Arc, OnceLock};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tasker_engine::config::WorkerConfig;
use tasker_engine::template::Template;

pub struct Profile {
    pub engines: usize,
    pub tasks: usize,
    /// For how long things go wrong, in microseconds.
    pub chaos: i64,
    pub lease: f64,
    pub machines: usize,
    /// How likely others run in the middle of a call.
    pub interleave: f64,
    /// How likely a call takes seconds.
    pub late: f64,
    /// How likely a call fails.
    pub faults: f64,
    /// How long it is from one blow to the next, at most.
    pub blows: i64,
    pub jumps: bool,
    pub kills: bool,
    /// Handlers take less time than a commit.
    pub brisk: bool,
    /// The second process only asks, at first.
    pub client: bool,
    /// How often a process looks that is not told; `None`: it is told.
    pub ask_every: Option<i64>,
    pub requests: i64,
}

const SECOND: i64 = 1_000_000;

impl Profile {
    pub fn new(dice: &mut SmallRng) -> Profile {
        let mut one_of = |all: &[f64]| all[dice.random_range(0..all.len())];
        let interleave = one_of(&[0.0, 0.03, 0.15, 0.4]);
        let late = one_of(&[0.0, 0.0, 0.001, 0.004]);
        let faults = one_of(&[0.0, 0.003, 0.01, 0.04]);
        let lease = one_of(&[1.0, 3.0, 10.0, 10.0, 30.0]);
        let blows = one_of(&[0.3, 1.0, 4.0, 1000.0]);
        let requests = one_of(&[0.02, 0.2, 1.0]);
        if dice.random_bool(0.12) {
            return Profile::quiet(dice);
        }
        Profile {
            engines: dice.random_range(1..=3) + usize::from(dice.random_bool(0.2)),
            tasks: dice.random_range(2..=9),
            chaos: dice.random_range(2..12) * SECOND,
            lease,
            machines: dice.random_range(1..=3),
            interleave,
            late,
            faults,
            blows: (blows * 1e6) as i64,
            jumps: dice.random_bool(0.4),
            kills: dice.random_bool(0.6),
            brisk: dice.random_bool(0.5),
            client: dice.random_bool(0.2),
            ask_every: dice.random_bool(0.3).then(|| [SECOND / 10, SECOND][dice.random_range(0..2)]),
            requests: (requests * 1e6) as i64,
        }
    }

    /// One works, one asks now and then, and a call fails now and then: what is forgotten then, nothing else brings up.
    fn quiet(dice: &mut SmallRng) -> Profile {
        Profile {
            engines: 2,
            tasks: 9,
            chaos: 25 * SECOND,
            lease: 30.0,
            machines: 1,
            interleave: 0.0,
            late: 0.0,
            faults: 0.02,
            blows: 1000 * SECOND,
            jumps: false,
            kills: false,
            brisk: dice.random_bool(0.5),
            client: true,
            ask_every: None,
            requests: 4 * SECOND,
        }
    }

    pub fn worker(&self, dice: &mut SmallRng) -> WorkerConfig {
        WorkerConfig {
            concurrency: dice.random_range(1..=4),
            namespaces: if dice.random_bool(0.15) { vec!["a".into()] } else { Vec::new() },
            lease_seconds: self.lease,
            retention_days: 0.0,
            ..WorkerConfig::default()
        }
    }
}

/// Templates are made once: reading one takes longer than most of what happens to its tasks.
pub fn templates() -> &'static [Arc<Template>] {
    static ALL: OnceLock<Vec<Arc<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut dice = SmallRng::seed_from_u64(1);
        let random = (0..40).map(|number| template(number, &mut dice));
        random.chain([wide()]).map(|document| Arc::new(Template::from_json("simulated", &document).unwrap())).collect()
    })
}

/// A DAG of 1 to 6 steps.
fn template(number: usize, dice: &mut SmallRng) -> String {
    let count = dice.random_range(1..=6usize);
    let density = dice.random_range(0.0..0.7);
    let steps: Vec<_> = (0..count)
        .map(|n| {
            let parents = (0..n).filter(|_| dice.random_bool(density)).map(|parent| format!("s{parent}"));
            json!({
                "name": format!("s{n}"), "handler": "H", "dependencies": parents.collect::<Vec<String>>(),
                "publishes_events": [
                    {"name": "sim.done"}, {"name": "sim.failed", "condition": "failure"},
                    {"name": "sim.ended", "condition": "always", "delivery_mode": "broadcast"},
                ],
                "timeout_seconds": dice.random_bool(0.3).then(|| dice.random_range(0.2..4.0)),
                "retry": {
                    "max_attempts": dice.random_range(1..=3), "backoff": "exponential",
                    "base": dice.random_range(0.01..1.0), "cap": 2.0, "jitter": 0.3,
                },
            })
        })
        .collect();
    let namespace = if number.is_multiple_of(2) { "a" } else { "b" };
    json!({"namespace": namespace, "name": format!("t{number}"), "steps": steps}).to_string()
}

/// More steps at once than any worker has handlers.
fn wide() -> String {
    let steps: Vec<_> = (0..6).map(|n| json!({"name": format!("s{n}"), "handler": "H"})).collect();
    json!({"namespace": "a", "name": "wide", "steps": steps}).to_string()
}
