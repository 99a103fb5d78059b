//! One task as a store would hold it, its clock, its history, and the dice.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tasker_engine::clock::{Clock, Micros};
use tasker_engine::graph::{Graph, StepTransition, TaskTransition};
use tasker_engine::ids::{self, Dice};
use tasker_engine::plan::{self, NewTask};
use tasker_engine::task::TaskTrace;
use tasker_engine::template::Template;

pub const START: Micros = Micros(1_700_000_000_000_000);

pub struct World {
    pub seed: u64,
    pub dice: SmallRng,
    /// What decisions throw.
    pub chance: Dice,
    pub clock: Clock,
    pub graph: Graph,
    /// Claims somebody may still settle or give back, current or long lost: step, token.
    pub attempts: Vec<(usize, u64)>,
    pub task_history: Vec<TaskTransition>,
    pub step_history: Vec<StepTransition>,
    pub roots_ended: usize,
    pub actions: Vec<String>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut dice = SmallRng::seed_from_u64(seed);
        let template = Arc::new(template(&mut dice));
        let clock = Clock::manual(START);
        let run_at = dice.random_bool(0.2).then(|| START.after(Duration::from_secs(dice.random_range(0..20))));
        let mut chance = Dice::seeded(seed);
        let graph = plan::submit(&new_task(template, run_at), START, &mut chance);
        let mut world = World {
            seed,
            dice,
            chance,
            clock,
            graph,
            attempts: Vec::new(),
            task_history: Vec::new(),
            step_history: Vec::new(),
            roots_ended: 0,
            actions: Vec::new(),
        };
        if run_at.is_none_or(|at| at <= START) {
            plan::initialize(&mut world.graph, START).unwrap();
        }
        world.commit("submit");
        world
    }

    /// Checks what an action did, then forgets it as a store does: the next action loads afresh.
    pub fn commit(&mut self, action: impl Into<String>) {
        self.actions.push(action.into());
        self.check();
        self.task_history.append(&mut self.graph.task_transitions);
        self.step_history.append(&mut self.graph.step_transitions);
        self.roots_ended += usize::from(self.graph.root_ended);
        self.graph.root_ended = false;
        self.graph.written(self.graph.task.journal + 1);
        for step in &mut self.graph.steps {
            (step.result, step.error, step.settled) = (None, None, false);
        }
    }

    /// What happened, for the message of a failure; the seed makes it happen again.
    pub fn story(&self) -> String {
        let states: Vec<String> = self.graph.steps.iter().map(|step| step.state.to_string()).collect();
        let template = self.graph.task.template.to_json();
        let actions = self.actions.join("\n  ");
        format!("seed {}: task {} {states:?}\n  {actions}\n{template}", self.seed, self.graph.task.state)
    }
}

fn new_task(template: Arc<Template>, run_at: Option<Micros>) -> NewTask {
    NewTask {
        task_uuid: ids::uuid_v7(START),
        template,
        template_id: 1,
        context: Arc::from("{}"),
        priority: 0,
        correlation_id: ids::uuid_v7(START),
        parent_correlation_id: None,
        idempotency_key: None,
        trace: TaskTrace { trace_id: 1, root_span_id: 2, parent_span_id: None, sampled: true, root_recorded: false },
        run_at,
    }
}

/// A DAG of 1 to 12 steps, declared in any order.
fn template(dice: &mut SmallRng) -> Template {
    let count = dice.random_range(1..=12usize);
    let density = dice.random_range(0.0..0.6);
    let backoffs = ["none", "linear", "exponential", "fibonacci"];
    let mut steps: Vec<_> = (0..count)
        .map(|n| {
            let parents: Vec<String> =
                (0..n).filter(|_| dice.random_bool(density)).map(|parent| format!("s{parent}")).collect();
            json!({
                "name": format!("s{n}"), "handler": "H", "dependencies": parents,
                "retry": {
                    "max_attempts": dice.random_range(1..=3), "backoff": backoffs[dice.random_range(0..4)],
                    "base": 1.0, "cap": 10.0, "jitter": 0.0,
                },
            })
        })
        .collect();
    for n in (1..steps.len()).rev() {
        steps.swap(n, dice.random_range(0..=n));
    }
    Template::from_json("random", &json!({"name": "random", "steps": steps}).to_string()).unwrap()
}
