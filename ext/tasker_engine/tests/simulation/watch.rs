//! What must hold as time passes: what can be done is done soon, and nobody goes round in circles.

use tasker_engine::state::{StepState, TaskState};

use crate::world::{Slot, World};

/// How often the world is looked at.
const EVERY: i64 = 200_000;
/// Within this an engine with nothing in its way does what it can.
const SOON: i64 = 1_000_000;
/// Turns of an engine in [`EVERY`], at most.
const TURNS: usize = 1500;

impl World {
    pub fn look(&mut self) {
        self.look_at = self.now + EVERY;
        let now = self.now;
        for number in 0..self.slots.len() {
            let able = self.is_able(number);
            let slot = &mut self.slots[number];
            slot.able_since = if able { slot.able_since.min(now) } else { i64::MAX };
            slot.alone.extend(slot.door.quarantine().into_iter().map(|task_id| (task_id, now)));
            let turns = std::mem::take(&mut slot.turns);
            if slot.door.status().breaker_open || now < slot.frozen_until || slot.standing > 0 {
                slot.impaired_at = now;
                self.trouble_until = self.trouble_until.max(now);
            }
            self.holds(turns < TURNS, || format!("#{number} goes round in circles: {turns} turns"));
        }
        self.look_for_rows();
        self.look_for_steps();
        self.look_for_due();
        let unanswered = self.unanswered(1_000_000_000);
        self.holds(unanswered.is_none(), || unanswered.unwrap_or_default());
    }

    /// A worker that others took for dead notices when it next renews its lease.
    fn look_for_rows(&mut self) {
        let (now, lease) = (self.now, (self.profile.lease * 1e6) as i64);
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let worker = slot.door.status().worker_id;
            if !slot.alive || worker.is_none_or(|worker| self.data.workers.contains_key(&worker)) {
                slot.row_at = now;
            }
            let whole = now - slot.row_at.max(slot.impaired_at).max(self.trouble_until);
            if whole > lease / 2 + SOON && self.violation.is_none() {
                self.violation = Some(format!("#{number} works on, and others took it for dead"));
            }
        }
    }

    /// Whether a process could take on a step at once.
    fn is_able(&self, number: usize) -> bool {
        let slot = &self.slots[number];
        let (status, depth) = (slot.door.status(), slot.door.channel.depth());
        let works = slot.alive && status.worker_id.is_some() && !status.draining && !status.breaker_open;
        let goes = slot.standing == 0 && self.now >= slot.frozen_until && self.now >= slot.hog_until && !slot.doomed;
        let free = slot.config.concurrency.saturating_sub(status.in_flight.max(slot.runs.len()) + depth.abandoned);
        works && goes && free > 0
    }

    fn look_for_steps(&mut self) {
        let since = self.trouble_until;
        let mut late = None;
        for (&(id, position), &enqueued_at) in &self.enqueued_at {
            let Some(graph) = self.data.tasks.get(&id) else { continue };
            if graph.steps[position].state != StepState::Enqueued {
                continue;
            }
            for (number, slot) in self.slots.iter().enumerate() {
                let waited = self.now.saturating_sub(since.max(enqueued_at).max(slot.able_since));
                let namespace = &*graph.task.template.namespace;
                let serves =
                    slot.config.namespaces.is_empty() || slot.config.namespaces.iter().any(|name| name == namespace);
                if waited > SOON && serves && !slot.left_alone(id, self.now) {
                    late = late.max(Some((id, position, number)));
                }
            }
        }
        self.holds(late.is_none(), || format!("nobody claims (task, step, process that could) {late:?}"));
    }

    fn look_for_due(&mut self) {
        let alive = || self.slots.iter().filter(|slot| slot.alive);
        let Some(slowest) = alive().map(|slot| slot.clock.now().0 - self.now).min() else { return };
        let able = |id| alive().any(|slot| slot.able_since < self.now - SOON && !slot.left_alone(id, self.now));
        let mut late = None;
        for (id, graph) in &self.data.tasks {
            // It may have been late already when it was submitted.
            let pending =
                (graph.task.state == TaskState::Pending && self.now - self.jumped_at > 6_000_000).then_some(());
            let start = pending.and(graph.task.run_at).map(|at| at.0.max(graph.task.state_since.0 - slowest));
            let waits = graph.steps.iter().filter(|step| step.state == StepState::WaitingForRetry);
            for due in start.into_iter().chain(waits.filter_map(|step| step.due_at).map(|due| due.0)) {
                let since = self.trouble_until.max(due);
                if self.now - since > SOON && able(*id) {
                    late = Some(*id);
                }
            }
        }
        self.holds(late.is_none(), || format!("task {late:?} is due and nobody wakes it"));
    }
}

impl Slot {
    /// Whether its engine leaves the task alone, or did until just now.
    fn left_alone(&self, task_id: i64, now: i64) -> bool {
        self.alone.get(&task_id).is_some_and(|at| now - at <= SOON) || self.door.quarantine().contains(&task_id)
    }
}
