//! What may happen to a task, chosen by dice; each action is one transaction, as the worker makes it.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tasker_engine::channel::StepError;
use tasker_engine::clock::{Clock, Micros};
use tasker_engine::error::{Error, Result};
use tasker_engine::graph::Graph;
use tasker_engine::plan::{self, Lease, Settlement, Verdict};
use tasker_engine::state::{StepState, TaskState};

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
            82..88 => self.hand_back_any(),
            88..90 => self.operate("cancel", plan::cancel),
            90..94 => {
                let position = self.any_step();
                self.operate("rerun", |graph, clock| plan::rerun_step(graph, position, clock));
            }
            94..98 => {
                let position = self.any_step();
                self.operate("resolve", |graph, clock| plan::resolve_step(graph, position, "0".into(), clock));
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

    pub fn claim(&mut self, position: usize, worker: &str) -> u32 {
        let lease = Lease { worker_id: Arc::from(worker), duration: Duration::from_secs(3) };
        plan::claim(&mut self.graph, position, &lease, &self.clock).unwrap();
        let attempt = self.graph.steps[position].attempts;
        self.attempts.push((position, attempt, lease.worker_id));
        self.commit(format!("claim {position} attempt {attempt} by {worker}"));
        attempt
    }

    /// Hands in one to three attempts together, lost and already settled ones among them.
    fn settle_any(&mut self) {
        let mut settlements = Vec::new();
        for _ in 0..self.dice.random_range(1..=3) {
            if self.attempts.is_empty() {
                return;
            }
            let (position, attempt, _) = self.attempts[self.dice.random_range(0..self.attempts.len())].clone();
            let outcome = match self.dice.random_range(0..10) {
                0..6 => Ok(Arc::from("1")),
                6..9 => Err(failure(true)),
                _ => Err(failure(false)),
            };
            settlements.push((position, attempt, outcome));
        }
        self.settle(&settlements);
    }

    pub fn settle(&mut self, settlements: &[(usize, u32, Outcome)]) {
        let began = self.clock.now();
        let mut settled = 0;
        for (position, attempt, outcome) in settlements {
            let holder = self.attempts.iter().rfind(|held| (held.0, held.1) == (*position, *attempt)).unwrap();
            let settlement = Settlement {
                position: *position,
                attempt: *attempt,
                worker_id: Arc::clone(&holder.2),
                outcome: outcome.clone(),
                completion: None,
                reason: None,
            };
            let step = &self.graph.steps[*position];
            let current = step.state == StepState::InProgress
                && step.attempts == *attempt
                && step.worker_id.as_ref() == Some(&settlement.worker_id);
            let before = format!("{:?}", self.graph);
            let verdict = plan::settle(&mut self.graph, settlement, &self.clock).unwrap();
            let expected = if current { Verdict::Applied } else { Verdict::Stale };
            assert_eq!(verdict, expected, "{}", self.story());
            if verdict == Verdict::Stale {
                assert_eq!(format!("{:?}", self.graph), before, "a stale settlement changed something");
            } else {
                settled += 1;
            }
        }
        if settled > 0 {
            plan::evaluate(&mut self.graph, began, settled, &self.clock).unwrap();
        }
        self.commit(format!("settle {settlements:?}, {settled} counted"));
    }

    fn expire_any(&mut self) {
        let Some(position) = self.any_in(StepState::InProgress) else { return };
        let began = self.clock.now();
        plan::expire(&mut self.graph, position, "test", &self.clock).unwrap();
        if self.graph.steps[position].state == StepState::Error {
            plan::evaluate(&mut self.graph, began, 1, &self.clock).unwrap();
        }
        self.commit(format!("expire {position}"));
    }

    fn hand_back_any(&mut self) {
        let Some(position) = self.any_in(StepState::InProgress) else { return };
        let started = self.dice.random_bool(0.5);
        let attempt = self.graph.steps[position].attempts;
        plan::hand_back(&mut self.graph, position, started, &self.clock).unwrap();
        if !started {
            // Nobody has it: an event that was never taken up cannot be handed in.
            self.attempts.retain(|held| (held.0, held.1) != (position, attempt));
        }
        self.commit(format!("hand back {position}, started: {started}"));
    }

    /// What the passing of time brings.
    pub fn look_due(&mut self) {
        let now = self.clock.now();
        if self.graph.task.state == TaskState::Pending && self.graph.task.run_at.is_some_and(|at| at <= now) {
            plan::initialize(&mut self.graph, &self.clock).unwrap();
        }
        let due = |position: &usize| self.graph.steps[*position].due_at.is_some_and(|at| at <= now);
        let retries: Vec<usize> = self.in_state(StepState::WaitingForRetry).into_iter().filter(due).collect();
        if !retries.is_empty() {
            plan::wake(&mut self.graph, &retries, &self.clock).unwrap();
        }
        self.commit(format!("look due, woke {retries:?}"));
    }

    /// An operator's word. A refusal must be about the state, and leaves the task as it was.
    fn operate(&mut self, name: &str, act: impl FnOnce(&mut Graph, &Clock) -> Result<()>) {
        let before = self.graph.clone();
        match act(&mut self.graph, &self.clock) {
            Ok(()) => self.commit(name),
            Err(Error::IllegalTransition(_)) => self.graph = before,
            Err(other) => panic!("{other}: {}", self.story()),
        }
    }

    /// From here on everything succeeds: the task must come to its end.
    pub fn run_to_the_end(&mut self) {
        self.run_with(|world, position, attempt| world.settle(&[(position, attempt, Ok(Arc::from("1")))]));
    }

    pub fn run_with(&mut self, mut handle: impl FnMut(&mut World, usize, u32)) {
        for _ in 0..200 {
            if self.graph.task.state.is_final() {
                return;
            }
            self.clock.advance(Duration::from_secs(20));
            self.look_due();
            if let Some(position) = self.any_in(StepState::Enqueued) {
                let attempt = self.claim(position, "finisher");
                handle(self, position, attempt);
            } else if let Some(position) = self.any_in(StepState::InProgress) {
                plan::hand_back(&mut self.graph, position, true, &self.clock).unwrap();
                self.commit(format!("hand back {position}, to finish"));
            }
        }
        panic!("never ended: {}", self.story());
    }
}
