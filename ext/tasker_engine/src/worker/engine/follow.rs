//! Owns: what follows from a durable transaction: events to the handlers, answers to the callers, numbers and reports.

use std::time::Duration;

use super::{Ahead, EngineThread, Gathered};
use crate::clock::Micros;
use crate::error::Result;
use crate::plan::Verdict;
use crate::store::Held;
use crate::worker::inbox::{Reply, Request, Work};
use crate::worker::shared::Counters;
use crate::worker::transact::Outcome;
use crate::worker::{dispatch, report};

/// How long what is due, but held by another worker's transaction, is left alone.
const IN_OTHER_HANDS: Duration = Duration::from_millis(50);

impl EngineThread {
    /// Does what follows from a durable transaction.
    pub(super) fn follow_up(&mut self, gathered: Gathered, mut outcome: Outcome, began: Micros) {
        let now = self.clock.now();
        for (pending, verdict) in gathered.pending.iter().zip(&outcome.verdicts) {
            if pending.settlement.completion.is_some() || *verdict == Verdict::Applied {
                self.in_flights.remove(&pending.event_id);
            }
            let counters = &self.shared.counters;
            match verdict {
                Verdict::Applied => Counters::add(&counters.settled, 1),
                Verdict::Stale => {
                    Counters::add(&counters.stale_completions, 1);
                    self.metrics.engine.stale_completions.add(1);
                }
            }
        }
        let batch = &gathered.batch;
        let size = batch.work.len() + batch.settlements.len() + outcome.claimed.len();
        self.metrics.engine.batch.record(size as f64);
        self.metrics.committed(&outcome, now);
        if let Some(waiting) = outcome.waiting {
            self.shared.pulse.publish_waiting(waiting, now);
        }
        for lost in &outcome.lost {
            self.revoke(*lost);
        }
        self.revoke_ended(&mut outcome);
        let depth = self.channel.depth();
        self.dispatch(&mut outcome, now);
        let handed_back = self.given_back(&gathered.requests, outcome.handed_back);
        // Before the answers: who has one may look, or flush the spans, at once.
        report::report(&outcome.graphs, &self.shared.counters);
        self.publish();
        self.answer(gathered.requests, std::mem::take(&mut outcome.replies), handed_back);
        self.shared.announce(outcome.graphs.iter().filter(|graph| ended(graph)).map(|graph| graph.task.task_uuid));
        if gathered.batch.look_due {
            // What is due and could not be had is in other hands: they are given a moment.
            self.next_due = outcome.next_due.map(|due| if due <= now { now.after(IN_OTHER_HANDS) } else { due });
            self.look_due |= outcome.more_due;
        }
        self.note_due(&outcome);
        if gathered.batch.claim.is_some() {
            self.backlog = outcome.backlog;
            self.contended = outcome.contended;
        }
        if let Some(worker) = &self.worker {
            let short_of = (depth.waiting == 0).then_some(gathered.batch.settlements.len());
            let concurrency = worker.config.concurrency;
            self.ahead.observe(now.millis_since(began), depth.completions, short_of, concurrency);
        }
    }

    /// Steps that ended without a completion (cancelled, resolved, expired) are no longer wanted here. Whether a handler
    /// had begun is known only here, and only now.
    fn revoke_ended(&mut self, outcome: &mut Outcome) {
        for graph in &mut outcome.graphs {
            let task_id = graph.task.id;
            for transition in &mut graph.step_transitions {
                let (position, attempt) = (transition.position, transition.attempt);
                if let Some(ended) = transition.ended.as_mut().filter(|ended| ended.completion.is_none()) {
                    ended.unstarted = self.revoke(Held { task_id, position, attempt });
                }
            }
        }
    }

    /// Whether no handler had begun it, nor ever will.
    pub(super) fn revoke(&mut self, held: Held) -> bool {
        let event_id = self.in_flights.remove_step(held.task_id, held.position, held.attempt);
        event_id.is_some_and(|event_id| self.channel.revoke(event_id))
    }

    fn dispatch(&mut self, outcome: &mut Outcome, now: Micros) {
        let mut events = Vec::with_capacity(outcome.claimed.len());
        Counters::add(&self.shared.counters.claimed, outcome.claimed.len());
        for claimed in std::mem::take(&mut outcome.claimed) {
            let graph = &outcome.graphs[claimed.graph];
            let (event, in_flight) = dispatch::event(graph, claimed, now);
            self.in_flights.insert(event.event_id, in_flight);
            events.push(event);
        }
        self.channel.dispatch(events);
    }

    /// How many claims the worker has given back since it drains; forgets the worker when it stops.
    fn given_back(&mut self, requests: &[Request], now: usize) -> usize {
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.draining) else { return 0 };
        worker.given_back += now;
        let given_back = worker.given_back;
        if requests.iter().any(|request| matches!(request.work, Work::StopWorker)) {
            self.worker = None;
            self.ahead = Ahead::default();
        }
        given_back
    }

    fn answer(&mut self, requests: Vec<Request>, replies: Vec<Result<Reply>>, handed_back: usize) {
        for (request, reply) in requests.into_iter().zip(replies) {
            if let Ok(Reply::Submitted(tasks)) = &reply {
                Counters::add(&self.shared.counters.submitted, tasks.iter().filter(|task| task.3).count());
            }
            let reply = match (&request.work, reply) {
                (Work::StopWorker, Ok(_)) => Ok(Reply::HandedBack(handed_back)),
                (_, reply) => reply,
            };
            // The caller may have gone; what it asked for is done all the same.
            let _ = request.reply.send(reply);
        }
    }

    fn note_due(&mut self, outcome: &Outcome) {
        use crate::state::{StepState, TaskState};
        for graph in &outcome.graphs {
            let pending = (graph.task.state == TaskState::Pending).then_some(graph.task.run_at).flatten();
            let waits = graph.steps.iter().filter(|step| step.state == StepState::WaitingForRetry);
            let retry = waits.filter_map(|step| step.due_at).min();
            self.next_due = self.next_due.into_iter().chain(pending).chain(retry).min();
        }
    }
}

fn ended(graph: &crate::graph::Graph) -> bool {
    graph.task.state.is_final() && graph.is_changed()
}
