//! What may happen to a task, chosen by dice; each action is one transaction, as the worker makes it.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tasker_engine::clock::{Clock, Micros, Now};
use tasker_engine::error::{Error, Result};
use tasker_engine::graph::Graph;
use tasker_engine::plan::{self, Settlement, Verdict};
use tasker_engine::state::{StepState, TaskState};
use tasker_engine::step::StepError;

use super::world::World;

pub type Outcome = std::result::Result<Arc<str>, StepError>;

pub fn failure(retryable: bool) -> StepError {
    StepError { class_name: "E".into(), message: "m".into(), retryable, ..StepError::default() }
}

impl World {
    pub fn act(&mut self) {
        self.pass_time();
        match self.dice.random_range(0..100) {
            0..35 => self.claim_any(),
            35..65 => self.settle_any(),
            65..70 => self.expire_any(),
            70..82 => self.look_due(),
            82..88 => self.release_any(),
            88..90 => self.operate("cancel", plan::cancel),
            90..94 => {
                let position = self.any_step();
                self.operate("rerun", |graph, now| plan::rerun_step(graph, position, now));
            }
            94..98 => {
                let position = self.any_step();
                self.operate("resolve", |graph, now| plan::resolve_step(graph, position, "0".into(), now));
            }
            _ => self.operate("resolve_task", plan::resolve_task),
        }
    }

    /// Mostly forward, sometimes not at all, sometimes back: system clocks are set.
    fn pass_time(&mut self) {
        match self.dice.random_range(0..20) {
            0 => self.clock = Clock::manual(Micros(self.clock.now().0 - 3_000_000)),
            1..12 => self.clock.advance(Duration::from_millis(self.dice.random_range(0..4000))),
            _ => {}
        }
    }

    fn any_step(&mut self) -> usize {
        self.dice.random_range(0..self.graph.steps.len())
    }

    fn any_in(&mut self, state: StepState) -> Option<usize> {
        let found: Vec<usize> = self.in_state(state);
        (!found.is_empty()).then(|| found[self.dice.random_range(0..found.len())])
    }

    fn in_state(&self, state: StepState) -> Vec<usize> {
        (0..self.graph.steps.len()).filter(|&position| self.graph.steps[position].state == state).collect()
    }

    fn claim_any(&mut self) {
        if let Some(position) = self.any_in(StepState::Enqueued) {
            let worker = if self.dice.random_bool(0.5) { "a" } else { "b" };
            self.claim(position, worker);
        }
    }

    /// Claims a step and gives the claim's token.
    pub fn claim(&mut self, position: usize, worker: &str) -> u64 {
        plan::claim(&mut self.graph, position, &Arc::from(worker), self.clock.now(), &mut self.chance).unwrap();
        let token = self.graph.steps[position].span_id.unwrap();
        assert!(!self.attempts.contains(&(position, token)), "a token was given twice: {}", self.story());
        self.attempts.push((position, token));
        let attempt = self.graph.steps[position].attempts;
        self.commit(format!("claim {position} attempt {attempt} by {worker}: {token:x}"));
        token
    }

    /// Hands in one to three attempts together, lost and already settled ones among them.
    fn settle_any(&mut self) {
        let mut settlements = Vec::new();
        for _ in 0..self.dice.random_range(1..=3) {
            if self.attempts.is_empty() {
                return;
            }
            let (position, token) = self.attempts[self.dice.random_range(0..self.attempts.len())];
            let outcome = match self.dice.random_range(0..10) {
                0..6 => Ok(Arc::from("1")),
                6..9 => Err(failure(true)),
                _ => Err(failure(false)),
            };
            settlements.push((position, token, outcome));
        }
        self.settle(&settlements);
    }

    pub fn settle(&mut self, settlements: &[(usize, u64, Outcome)]) {
        let began = self.clock.now();
        let mut settled = 0;
        for (position, token, outcome) in settlements {
            let settlement = Settlement { position: *position, token: *token, outcome: outcome.clone(), reason: None };
            let step = &self.graph.steps[*position];
            let current = step.state == StepState::InProgress && step.span_id == Some(*token);
            let before = format!("{:?}", self.graph);
            let verdict =
                plan::settle(&mut self.graph, &settlement, Now::both(self.clock.now()), &mut self.chance).unwrap();
            let expected = if current { Verdict::Applied } else { Verdict::Stale };
            assert_eq!(verdict, expected, "{}", self.story());
            if verdict == Verdict::Stale {
                assert_eq!(format!("{:?}", self.graph), before, "a stale settlement changed something");
            } else {
                settled += 1;
            }
        }
        if settled > 0 {
            plan::evaluate(&mut self.graph, began, settled, self.clock.now()).unwrap();
        }
        self.commit(format!("settle {settlements:?}, {settled} counted"));
    }

    fn expire_any(&mut self) {
        let Some(position) = self.any_in(StepState::InProgress) else { return };
        let began = self.clock.now();
        plan::expire(&mut self.graph, position, "test", began).unwrap();
        if self.graph.steps[position].state == StepState::Error {
            plan::evaluate(&mut self.graph, began, 1, began).unwrap();
        }
        self.commit(format!("expire {position}"));
    }

    /// Gives a claim back, one that is long lost perhaps.
    fn release_any(&mut self) {
        if self.attempts.is_empty() {
            return;
        }
        let (position, token) = self.attempts[self.dice.random_range(0..self.attempts.len())];
        let begun = self.dice.random_bool(0.5);
        let step = &self.graph.steps[position];
        let current = step.state == StepState::InProgress && step.span_id == Some(token);
        let before = format!("{:?}", self.graph);
        let released = plan::release(&mut self.graph, position, token, begun, self.clock.now()).unwrap();
        assert_eq!(released, current, "{}", self.story());
        if !released {
            assert_eq!(format!("{:?}", self.graph), before, "a stale claim was given back");
        }
        self.commit(format!("release {position} {token:x}, begun: {begun}, released: {released}"));
    }

    /// What the passing of time brings.
    pub fn look_due(&mut self) {
        let now = self.clock.now();
        if self.graph.task.state == TaskState::Pending && self.graph.task.run_at.is_some_and(|at| at <= now) {
            plan::initialize(&mut self.graph, now).unwrap();
        }
        let due = |position: &usize| self.graph.steps[*position].due_at.is_some_and(|at| at <= now);
        let retries: Vec<usize> = self.in_state(StepState::WaitingForRetry).into_iter().filter(due).collect();
        if !retries.is_empty() {
            plan::wake(&mut self.graph, &retries, now).unwrap();
        }
        self.commit(format!("look due, woke {retries:?}"));
    }

    /// An operator's word. A refusal must be about the state, and leaves the task as it was.
    fn operate(&mut self, name: &str, act: impl FnOnce(&mut Graph, Micros) -> Result<()>) {
        let before = self.graph.clone();
        match act(&mut self.graph, self.clock.now()) {
            Ok(()) => self.commit(name),
            Err(Error::IllegalTransition(_)) => self.graph = before,
            Err(other) => panic!("{other}: {}", self.story()),
        }
    }

    /// From here on everything succeeds: the task must come to its end.
    pub fn run_to_the_end(&mut self) {
        self.run_with(|world, position, token| world.settle(&[(position, token, Ok(Arc::from("1")))]));
    }

    pub fn run_with(&mut self, mut handle: impl FnMut(&mut World, usize, u64)) {
        for _ in 0..200 {
            if self.graph.task.state.is_final() {
                return;
            }
            self.clock.advance(Duration::from_secs(20));
            self.look_due();
            if let Some(position) = self.any_in(StepState::Enqueued) {
                let token = self.claim(position, "finisher");
                handle(self, position, token);
            } else if let Some(position) = self.any_in(StepState::InProgress) {
                let token = self.graph.steps[position].span_id.unwrap();
                assert!(plan::release(&mut self.graph, position, token, true, self.clock.now()).unwrap());
                self.commit(format!("release {position}, to finish"));
            }
        }
        panic!("never ended: {}", self.story());
    }
}
