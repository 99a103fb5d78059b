//! What must hold whenever a transaction commits, and whenever a handler begins.

use std::sync::Arc;

use tasker_engine::channel::StepEvent;
use tasker_engine::event::DomainEvent;
use tasker_engine::graph::StepTransition;
use tasker_engine::state::{StepState, TaskState};
use tasker_engine::step::Step;

use crate::commit::Written;
use crate::world::World;

/// A claim, from its commit on.
pub struct Attempt {
    pub process: usize,
    /// The claimer never heard that it has the claim: the commit's answer was lost.
    pub unheard: bool,
    /// A handler has begun it.
    pub begun_at: Option<i64>,
    /// What its handler returned.
    pub result: Option<Arc<str>>,
}

impl World {
    /// There is an event for each end of an attempt, and none else.
    pub fn check_events(&mut self, all: &[Written], published: &[Arc<DomainEvent>]) {
        let told = |event: &Arc<DomainEvent>| {
            (event.trace.and_then(|trace| trace.parent_span_id), event.event_name.to_string())
        };
        let mut told: Vec<_> = published.iter().map(told).collect();
        let mut wanted = Vec::new();
        for written in all {
            let steps = &written.moves.task.template.steps;
            let moves = written.moves.step_transitions.iter();
            for moved in moves.filter(|moved| !steps[moved.position].publishes_events.is_empty()) {
                let Some(ended) = &moved.ended else { continue };
                let outcome = match moved.to {
                    StepState::Complete => "sim.done",
                    _ if ended.error.is_some() => "sim.failed",
                    _ => continue,
                };
                wanted.extend([outcome, "sim.ended"].map(|name| (ended.token, name.to_owned())));
            }
        }
        told.sort();
        wanted.sort();
        self.holds(told == wanted, || format!("events {told:x?} were written where {wanted:x?} were due"));
    }

    /// A graph is about to be committed by a process, which may never hear of it.
    pub fn check_moves(&mut self, process: usize, written: &Written, unheard: bool) {
        let task = &written.after.task;
        let (id, uuid) = (task.id, task.task_uuid);
        let before = self.data.tasks.get(&id).cloned();
        self.note(|| format!("#{process} commits task {id} {uuid}: {}", story(written)));
        self.holds(before.is_none() == written.before_is_new, || format!("task {id} is new and is not"));
        self.holds(before.is_some() || !self.data.by_uuid.contains_key(&uuid), || format!("task {uuid} is made twice"));
        self.holds(!self.clients.refused.contains(&uuid), || format!("task {uuid} was refused and is there"));
        let seq = before.as_ref().map_or(0, |before| before.task.journal);
        self.holds(task.journal == seq + 1, || format!("row {} of task {id} follows row {seq}", task.journal));
        let mut state = before.as_ref().map_or(TaskState::Pending, |before| before.task.state);
        for moved in &written.moves.task_transitions {
            self.holds(moved.from == state && state.may_become(moved.to), || {
                format!("task {id} was {state} and moves from {} to {}", moved.from, moved.to)
            });
            state = moved.to;
        }
        self.holds(task.state == state, || format!("task {id} is {} and moved to {state}", task.state));
        let passing = [TaskState::Initializing, TaskState::EnqueuingSteps, TaskState::EvaluatingResults];
        self.holds(!passing.contains(&state), || format!("task {id} is left {state}"));
        let mut steps = before.map(|before| before.steps).unwrap_or_else(|| {
            let fresh = |step: &Step| Step {
                state: StepState::Pending,
                attempts: 0,
                span_id: None,
                worker_id: None,
                ..step.clone()
            };
            written.after.steps.iter().map(fresh).collect()
        });
        for moved in &written.moves.step_transitions {
            self.check_move((process, unheard), written, moved, &mut steps);
        }
        for (position, (told, stored)) in steps.iter().zip(&written.after.steps).enumerate() {
            let same = (told.state, told.attempts, told.span_id) == (stored.state, stored.attempts, stored.span_id);
            self.holds(same, || {
                format!("step {position} of task {id} is not where its moves led: {told:?} {stored:?}")
            });
        }
        let active = written.after.steps.iter().any(|step| step.state.is_active());
        let waits = state == TaskState::Pending;
        self.holds(active != (state.is_final() || waits), || format!("task {id} is {state}; a step moves: {active}"));
    }

    fn check_move(
        &mut self,
        (process, unheard): (usize, bool),
        written: &Written,
        moved: &StepTransition,
        steps: &mut [Step],
    ) {
        let (id, position) = (written.after.task.id, moved.position);
        let name = format!("step {position} of task {id}");
        let from = steps[position].state;
        self.holds(moved.from == from && from.may_become(moved.to), || {
            format!("{name} was {from} and moves from {} to {}", moved.from, moved.to)
        });
        let dependencies = &written.after.task.template.steps[position].dependencies;
        if matches!(moved.to, StepState::Enqueued | StepState::InProgress | StepState::Complete) {
            let done = dependencies.iter().all(|&at| written.after.steps[at].state.satisfies_dependents());
            self.holds(done, || format!("{name} is {} before what it depends on", moved.to));
        }
        self.enqueued_at.remove(&(id, position));
        if moved.to == StepState::Enqueued {
            self.enqueued_at.insert((id, position), self.now);
        }
        if from == StepState::InProgress {
            self.check_end(process, moved, &steps[position], &written.after.steps[position], &name);
        }
        let step = &mut steps[position];
        let (token, begun) = (step.span_id.take(), moved.ended.is_some());
        if moved.to == StepState::InProgress {
            step.attempts += 1;
            // A claim that this very transaction gave back again has left no token.
            let claimed = written.after.steps[position].span_id;
            step.span_id = claimed;
            let (attempts, most) = (step.attempts, written.after.steps[position].max_attempts);
            self.holds(moved.attempt == attempts, || format!("{name}: attempt {} is number {attempts}", moved.attempt));
            self.holds(attempts <= most, || format!("{name}: attempt {attempts} of {most}"));
            if let Some(token) = claimed {
                let fresh = Attempt { process, unheard, begun_at: None, result: None };
                let other = self.attempts.insert(token, fresh);
                self.holds(other.is_none(), || format!("{name}: token {token:x} was used before"));
            }
            let draining = self.slots[process].door.status().draining;
            self.holds(!draining, || format!("{name} is claimed by #{process}, which drains"));
        } else if from == StepState::InProgress && moved.reason == Some("released") && !begun {
            step.attempts -= 1;
        }
        step.state = moved.to;
        let _ = token;
    }

    /// An attempt ends.
    fn check_end(&mut self, process: usize, moved: &StepTransition, was: &Step, after: &Step, name: &str) {
        let Some(token) = was.span_id else { return };
        let ended = moved.ended.as_ref().and_then(|ended| ended.token);
        self.holds(ended.is_none_or(|ended| ended == token), || format!("{name}: {ended:x?} ends the claim {token:x}"));
        let holder = was.worker_id.as_ref().and_then(|worker| self.data.workers.get(worker));
        let listed = holder.is_some_and(|row| row.holdings.unbegun.contains(&token));
        let Some(attempt) = self.attempts.get(&token) else { return };
        let (begun_at, own, result) = (attempt.begun_at, attempt.process == process, attempt.result.clone());
        let attempt_process = attempt.process;
        match (moved.to, moved.reason) {
            (StepState::Complete, _) => {
                let returned = result.is_some() && result == after.result;
                self.holds(returned && own, || {
                    format!("{name} is complete with {:?}, its attempt gave {result:?}", after.result)
                });
            }
            (_, Some("timeout")) => {
                self.holds(begun_at.is_some(), || format!("{name}: an attempt timed out that no handler had begun"));
            }
            (StepState::Enqueued, Some("released")) if moved.ended.is_none() => {
                self.holds(begun_at.is_none(), || {
                    format!("{name}: an attempt that a handler had begun is given back for nothing")
                });
            }
            (_, Some("lease_expired")) => {
                // Whether a handler had begun it can be known on the same machine, of a process that is gone.
                let owner = &self.slots[attempt_process];
                let knowable = !owner.alive && owner.machine == self.slots[process].machine;
                // When the look for the dead failed just now it is found by its lease.
                let knowable = knowable && self.now - self.slots[process].impaired_at > 500_000;
                let free = !(listed && knowable && begun_at.is_none());
                self.holds(free, || format!("{name}: an attempt that no handler had begun is counted"));
            }
            (_, None) if moved.to != StepState::Cancelled => {
                let error = moved.ended.as_ref().and_then(|ended| ended.error.as_ref());
                let thrown_away = error.is_some_and(|error| error.class_name.ends_with("ResultError"))
                    && result.as_ref().is_some_and(|result| !result.contains("poison"));
                self.holds(!thrown_away, || format!("{name} fails though its result {result:?} could be stored"));
                self.holds(begun_at.is_some() && own, || format!("{name} fails, and no handler of #{process} had it"));
            }
            _ => {}
        }
    }

    /// Whoever finds a worker dead must find its claims, and what they cost.
    pub fn check_holdings(&mut self) {
        let mut wrong = None;
        let mut unlisted = std::collections::BTreeMap::<usize, usize>::new();
        for (id, graph) in &self.data.tasks {
            for (position, step) in
                graph.steps.iter().enumerate().filter(|(_, step)| step.state == StepState::InProgress)
            {
                let row = step.worker_id.as_ref().and_then(|worker| self.data.workers.get(worker));
                let Some(row) = row.filter(|row| row.holdings.tasks.contains(id)) else {
                    wrong = Some(format!("step {position} of task {id} is claimed, and no worker's row tells of it"));
                    continue;
                };
                let token = step.span_id.unwrap_or_default();
                let attempt = self.attempts.get(&token);
                let begun = attempt.is_some_and(|attempt| attempt.begun_at.is_some());
                // Those it finds and gives back, and may have claimed others before it could look.
                let unheard = attempt.is_some_and(|attempt| attempt.unheard);
                if row.holdings.unbegun.contains(&token) && step.attempts >= step.max_attempts {
                    wrong = Some(format!("step {position} of task {id} is claimed ahead for its last attempt"));
                }
                let current = self.slots[row.process].door.status().worker_id;
                let left =
                    self.data.unreadable.contains_key(id) || self.slots[row.process].door.quarantine().contains(id);
                if !begun && !unheard && !left && current == step.worker_id && !row.holdings.unbegun.contains(&token) {
                    *unlisted.entry(row.process).or_default() += 1;
                }
            }
        }
        for (process, count) in unlisted {
            let slot = &self.slots[process];
            let busy = slot.runs.len();
            if count + busy > slot.config.concurrency && slot.alive {
                wrong = Some(format!("#{process} has {count} claims for handlers that {busy} steps keep busy"));
            }
        }
        self.holds(wrong.is_none(), || wrong.unwrap_or_default());
    }

    /// A handler begins an attempt.
    pub fn check_begun(&mut self, process: usize, token: u64, event: &StepEvent) {
        let now = self.now;
        let known = self.attempts.get_mut(&token).map(|attempt| {
            let fresh = attempt.begun_at.is_none() && attempt.process == process;
            attempt.begun_at.get_or_insert(now);
            fresh
        });
        self.holds(known == Some(true), || {
            format!("#{process} begins {token:x}, which is not committed or not its own")
        });
        let Some(graph) = self.data.by_uuid.get(&event.task_uuid).and_then(|id| self.data.tasks.get(id)) else {
            return;
        };
        let template = &graph.task.template;
        let results = event.dependency_results.iter().all(|(name, result)| {
            let step = template.step_position(name).map(|at| &graph.steps[at]);
            step.is_some_and(|step| step.result.as_ref() == Some(result))
        });
        self.holds(results, || format!("{} begins with {:?}", event.step_name, event.dependency_results));
    }

    /// A worker's row is about to be deleted by a process.
    pub fn check_taken_for_dead(&mut self, process: usize, worker: &Arc<str>) {
        let Some(row) = self.data.workers.get(worker) else { return };
        let owner = &self.slots[row.process];
        let is_current = owner.door.status().worker_id.as_ref() == Some(worker);
        // One that stands still can hardly renew.
        let stands = owner.turning || self.now < owner.frozen_until;
        if row.process == process || !owner.alive || stands || !is_current {
            return;
        }
        let (whole, lease) = (self.now - owner.impaired_at, (self.profile.lease * 1e6) as i64);
        let owner = row.process;
        self.holds(whole <= lease + 1_500_000, || {
            format!("#{process} takes #{owner} for dead, which had the store for {:.3} s", whole as f64 / 1e6)
        });
    }

    /// A worker has said that it stopped.
    pub fn check_stopped(&mut self, process: usize, worker_id: Option<Arc<str>>) {
        let slot = &self.slots[process];
        let excused =
            self.now - slot.impaired_at.max(slot.gave_way_at) < 10_000_000 || !slot.door.quarantine().is_empty();
        let left = worker_id.filter(|worker_id| self.data.workers.contains_key(worker_id));
        self.holds(excused || left.is_none(), || format!("#{process} has stopped, and the row of {left:?} is there"));
    }
}

fn story(written: &Written) -> String {
    let steps = written.moves.step_transitions.iter().map(|moved| {
        let reason = moved.reason.unwrap_or_default();
        let token = written.after.steps[moved.position].span_id.unwrap_or_default();
        format!("s{} {} {reason} {token:x}", moved.position, moved.to)
    });
    let tasks = written.moves.task_transitions.iter().map(|moved| moved.to.to_string());
    steps.chain(tasks).collect::<Vec<_>>().join(", ")
}
