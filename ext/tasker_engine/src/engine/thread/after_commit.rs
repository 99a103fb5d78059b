//! Owns: what follows from a durable transaction: events to the handlers, answers to the callers, numbers and reports.

use std::time::Duration;

use super::{EngineThread, Prefetch, Verdict};
use crate::clock::{Micros, Now, Tick};
use crate::engine::attempts::{Attempts, Stale};
use crate::engine::in_flight::Pending;
use crate::engine::inbox::{Reply, Request, Work};
use crate::engine::shared::Counters;
use crate::engine::transaction::{Batch, Outcome};
use crate::engine::{dispatch, report};
use crate::error::Result;
use crate::graph::Graph;
use crate::state::{StepState, TaskState};

/// How long what is due, but locked by another worker's transaction, is left alone.
const LOCKED_RETRY: Duration = Duration::from_millis(50);
/// How long steps that other workers are at work on are left alone, the first time; twice as long each further time.
pub(super) const CONTENDED: Duration = Duration::from_millis(5);
/// The longest time.
const CONTENDED_MOST: Duration = Duration::from_millis(250);

impl EngineThread {
    /// Does what follows from a durable transaction.
    pub(super) fn after_commit(&mut self, mut batch: Batch, mut outcome: Outcome, began: Micros) {
        let (now, tick) = (self.clock.now(), self.clock.tick());
        let settled = batch.pending.len();
        let size = batch.units() + outcome.claimed.len();
        self.metrics.engine.batch.record(size as f64);
        self.after_lease(&batch, &mut outcome, tick);
        for (task_id, why) in std::mem::take(&mut outcome.unreadable) {
            self.quarantine(task_id, &why, tick);
        }
        // What it could not give back it still has.
        let left = batch.release.drain(..).filter(|(claim, _)| self.quarantine.contains(claim.task_id));
        self.kept.release.extend(left);
        report_stale(&batch.pending, &outcome);
        let mut attempts = Attempts::of(&mut batch.pending);
        self.count_settlements(batch.pending, &outcome);
        self.metrics.committed(&outcome, &attempts, now);
        if let Some(waiting) = outcome.waiting.take() {
            self.shared.pulse.publish_waiting(waiting, now);
        }
        self.revoke_ended(&outcome.graphs, &mut attempts);
        let depth = self.channel.depth();
        self.dispatch(&mut outcome, now, tick);
        let gave_back = outcome.released > 0;
        let released = self.released(&batch.requests, outcome.released);
        // Before the answers: who has one may look, or flush the spans, at once.
        report::events(&self.bus, &outcome, &attempts, &self.clock);
        report::report(&outcome.graphs, &outcome.created, &attempts, &self.shared.counters, &mut self.dice);
        self.publish();
        self.answer(batch.requests, std::mem::take(&mut outcome.replies), released);
        self.shared.ends.announce(outcome.graphs.iter().filter(|graph| ended(graph)).map(|graph| graph.task.task_uuid));
        if batch.look_due {
            // What is due and could not be had is in other hands: they are given a moment.
            let look =
                |wait: Duration| if wait.is_zero() { tick.after(LOCKED_RETRY) } else { batch.gathered.after(wait) };
            self.next_due = outcome.next_due.map(look);
            self.look_due |= outcome.more_due;
        }
        self.note_due(&outcome.graphs, batch.gathered_at, batch.gathered);
        if batch.claim.is_some() {
            // Where nobody looked, there may be what there was before.
            self.backlog = outcome.backlog || batch.left_enqueued;
            if batch.look_enqueued {
                self.after_contention(outcome.contended, tick);
            }
            if let Some(worker) = &mut self.worker {
                worker.held_back = outcome.held_back;
            }
        } else {
            // It claimed nothing: what it gave back, or took over, is still to be claimed.
            self.backlog |= outcome.backlog || gave_back;
        }
        self.flush_notices(tick);
        if let Some(worker) = &self.worker {
            let short_of = (depth.waiting == 0).then_some(settled);
            self.prefetch.observe(now.millis_since(began), depth.completions, short_of, worker.config.concurrency);
        }
    }

    fn after_lease(&mut self, batch: &Batch, outcome: &mut Outcome, tick: Tick) {
        let Some(worker) = &mut self.worker else { return };
        if batch.register.is_some() {
            worker.unregistered = false;
            worker.renewed(tick);
            self.session = self.store.session().unwrap_or(self.session);
        }
        if let Some(holdings) = outcome.holdings.take() {
            worker.recorded = holdings;
            worker.renewed(tick);
        }
    }

    fn count_settlements(&mut self, settled: Vec<Pending>, outcome: &Outcome) {
        for (pending, verdict) in settled.into_iter().zip(&outcome.verdicts) {
            if self.quarantine.contains(pending.task_id) {
                self.park(pending);
                continue;
            }
            self.in_flights.remove(&pending.event_id);
            let counters = &self.shared.counters;
            match verdict {
                Verdict::Applied => Counters::add(&counters.settled, 1),
                Verdict::Stale => {
                    Counters::add(&counters.stale_completions, 1);
                    self.metrics.engine.stale_completions.add(1);
                }
            }
        }
    }

    fn after_contention(&mut self, contended: bool, tick: Tick) {
        if contended {
            self.contended_until = Some(tick.after(self.contention));
            self.contention = (self.contention * 2).min(CONTENDED_MOST);
        } else {
            self.contended_until = None;
            self.contention = CONTENDED;
        }
    }

    pub(super) fn flush_notices(&mut self, tick: Tick) {
        if self.notices_at.is_none_or(|at| at <= tick) {
            self.notices_at = self.store.flush_notices().map(|after| tick.after(after));
        }
    }

    /// Steps that ended without a completion (cancelled, resolved, expired) are no longer wanted here. Whether a handler
    /// had begun is known only here, and only now.
    fn revoke_ended(&mut self, graphs: &[Graph], attempts: &mut Attempts) {
        for transition in graphs.iter().flat_map(|graph| &graph.step_transitions) {
            let Some(token) = transition.ended.as_ref().and_then(|ended| ended.token) else { continue };
            if attempts.completion(Some(token)).is_none() {
                let event_id = self.in_flights.remove_token(token);
                if event_id.is_some_and(|event_id| self.channel.revoke(event_id)) {
                    attempts.never_begun(token);
                }
            }
        }
    }

    fn dispatch(&mut self, outcome: &mut Outcome, now: Micros, tick: Tick) {
        let mut events = Vec::with_capacity(outcome.claimed.len());
        Counters::add(&self.shared.counters.claimed, outcome.claimed.len());
        for claimed in std::mem::take(&mut outcome.claimed) {
            let graph = &outcome.graphs[claimed.graph];
            let (event, in_flight) = dispatch::event(graph, claimed, now, &mut self.dice);
            self.in_flights.insert(event.event_id, in_flight);
            report::fired(&event);
            events.push(event);
        }
        self.channel.dispatch(events, tick);
    }

    /// How many claims the worker has given back since it drains; forgets the worker when it stops.
    fn released(&mut self, requests: &[Request], now: usize) -> usize {
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.draining) else { return 0 };
        worker.released += now;
        let released = worker.released;
        if requests.iter().any(|request| matches!(request.work, Work::StopWorker)) {
            report::worker::stopped(worker, released, self.channel.depth().abandoned);
            self.forget_worker();
        }
        released
    }

    /// Is no worker any more.
    pub(super) fn forget_worker(&mut self) {
        self.worker = None;
        self.prefetch = Prefetch::default();
        self.store.subscribe(None);
    }

    fn answer(&mut self, requests: Vec<Request>, replies: Vec<Result<Reply>>, released: usize) {
        for (request, reply) in requests.into_iter().zip(replies) {
            if let Ok(Reply::Submitted(tasks)) = &reply {
                let new = || tasks.iter().filter(|task| task.3);
                Counters::add(&self.shared.counters.submitted, new().count());
                self.shared.ends.submitted(new().map(|task| task.0));
            }
            // What somebody has done to it may have begun it again.
            if let Some(task_uuid) = request.work.task() {
                self.shared.ends.outdated(task_uuid);
            }
            self.report_worker(&request.work);
            let reply = match (&request.work, reply) {
                (Work::StopWorker, Ok(_)) => Ok(Reply::HandedBack(released)),
                (_, reply) => reply,
            };
            // The caller may have gone; what it asked for is done all the same.
            let _ = request.reply.send(reply);
        }
    }

    fn report_worker(&self, work: &Work) {
        let Some(worker) = &self.worker else { return };
        match work {
            Work::StartWorker(_) => {
                report::worker::started(worker, &self.store.describe(), self.catalogue.names().len());
            }
            Work::Drain => report::worker::stopping(worker, self.in_flights.len()),
            _ => {}
        }
    }

    fn note_due(&mut self, graphs: &[Graph], now: Now, tick: Tick) {
        for graph in graphs {
            // A look that comes too early does no harm.
            let pending = (graph.task.state == TaskState::Pending).then_some(graph.task.run_at).flatten();
            let waits = graph.steps.iter().filter(|step| step.state == StepState::WaitingForRetry);
            let retry = waits.filter_map(|step| step.due_at).min().map(|due| due.since(now.store));
            let start = pending.map(|due| due.since(now.wall.max(now.store)));
            let due = start.into_iter().chain(retry).map(|wait| tick.after(wait));
            self.next_due = self.next_due.into_iter().chain(due).min();
        }
    }
}

fn report_stale(settled: &[Pending], outcome: &Outcome) {
    for (pending, verdict) in settled.iter().zip(&outcome.verdicts) {
        if let (Verdict::Stale, Some(completion)) = (verdict, &pending.completion) {
            report::stale(&Stale {
                event_id: completion.event_id,
                task_uuid: completion.task_uuid,
                step_uuid: completion.step_uuid,
                handed_back: completion.handed_back,
                success: pending.settlement.outcome.is_ok(),
                received_at: completion.received_at,
            });
        }
    }
}

fn ended(graph: &Graph) -> bool {
    graph.task.state.is_final() && !graph.task_transitions.is_empty()
}
