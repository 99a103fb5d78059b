//! Owns: the loop of the engine's thread: gather, transact, follow up.

use std::sync::Arc;
use std::time::Duration;

use super::claim::Ahead;
use super::inbox::{Inbox, Reply, Request, Work};
use super::lease;
use super::running::Running;
use super::settle::{InFlights, Pending};
use super::shared::{Counters, Shared, WorkerStatus};
use super::transact::{transact, Batch, Outcome};
use super::{dispatch, report};
use crate::channel::Channel;
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::plan::Verdict;
use crate::store::catalogue::Catalogue;
use crate::store::{Held, Store};

/// Requests and completions one transaction takes at most.
const REQUESTS: usize = 64;
const COMPLETIONS: usize = 1024;
/// An event no handler thread takes up for so long is given back: somebody else may be free.
const UNSTARTED: Duration = Duration::from_secs(2);
/// How often a worker looks for dead ones on its machine.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long a thread with nothing to expect sleeps.
const IDLE: Duration = Duration::from_secs(60);

/// What one transaction is made from, kept until it is known to be durable.
#[derive(Default)]
struct Gathered {
    requests: Vec<Request>,
    pending: Vec<Pending>,
    batch: Batch,
}

/// The engine's thread.
pub(crate) struct EngineThread {
    store: Box<dyn Store>,
    catalogue: Arc<Catalogue>,
    clock: Clock,
    inbox: Arc<Inbox>,
    channel: Arc<Channel>,
    shared: Arc<Shared>,
    worker: Option<Running>,
    in_flights: InFlights,
    ahead: Ahead,
    /// What a transaction that failed leaves to the next one.
    unsettled: Vec<Pending>,
    kept: Batch,
    look_due: bool,
    backlog: bool,
    next_due: Option<Micros>,
    failures: u32,
}

impl EngineThread {
    pub(crate) fn new(
        store: Box<dyn Store>,
        catalogue: Arc<Catalogue>,
        clock: Clock,
        inbox: Arc<Inbox>,
        channel: Arc<Channel>,
        shared: Arc<Shared>,
    ) -> EngineThread {
        EngineThread {
            store,
            catalogue,
            clock,
            inbox,
            channel,
            shared,
            worker: None,
            in_flights: InFlights::default(),
            ahead: Ahead::default(),
            unsettled: Vec::new(),
            kept: Batch::default(),
            look_due: false,
            backlog: false,
            next_due: None,
            failures: 0,
        }
    }

    /// Runs until the inbox is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            let working = crate::fork::working();
            let mut gathered = self.gather();
            if gathered.batch.is_empty() {
                if self.inbox.is_closed() {
                    break;
                }
                drop(working);
                self.inbox.bell.sleep(self.patience());
                continue;
            }
            let began = self.clock.now();
            match transact(self.store.as_mut(), &self.catalogue, &gathered.batch, &self.clock) {
                Ok(outcome) => {
                    self.failures = 0;
                    Counters::add(&self.shared.counters.transactions, 1);
                    self.follow_up(gathered, outcome, began);
                }
                Err(error) => {
                    self.keep(&mut gathered, error);
                    // Nobody waits for a database that is gone; what has not been settled runs again.
                    if self.inbox.is_closed() {
                        break;
                    }
                }
            }
            self.channel.rest(self.ahead.steps() > 0);
        }
        self.shared.publish(WorkerStatus::default());
    }

    /// Takes what has arrived and what time has brought.
    fn gather(&mut self) -> Gathered {
        let now = self.clock.now();
        let mut gathered = Gathered {
            requests: self.inbox.take(REQUESTS),
            pending: std::mem::take(&mut self.unsettled),
            batch: std::mem::take(&mut self.kept),
        };
        gathered.batch.work = gathered.requests.iter().map(|request| request.work.clone()).collect();
        for request in &gathered.requests {
            match &request.work {
                Work::StartWorker(config) => {
                    let worker = Running::start(config.clone(), now);
                    gathered.batch.register = Some(worker.process.clone());
                    self.worker = Some(worker);
                    self.channel.open();
                }
                Work::Drain => {
                    if let Some(worker) = &mut self.worker {
                        worker.draining = true;
                    }
                }
                _ => {}
            }
        }
        self.gather_worker(now, &mut gathered);
        if gathered.requests.iter().any(|request| matches!(request.work, Work::StopWorker)) {
            self.abandon(&mut gathered.batch);
        }
        gathered.batch.look_due = std::mem::take(&mut self.look_due);
        gathered.batch.settlements =
            gathered.pending.iter().map(|pending| (pending.task_id, pending.settlement.clone())).collect();
        self.permit(&mut gathered.batch);
        gathered
    }

    /// What the worker's own affairs bring: completions, timeouts, leases, the dead, other processes.
    fn gather_worker(&mut self, now: Micros, gathered: &mut Gathered) {
        let completions = self.channel.take_completions(COMPLETIONS);
        let Some(worker) = &mut self.worker else {
            Counters::add(&self.shared.counters.stale_completions, completions.len());
            return;
        };
        let worker_id = &worker.lease.worker_id;
        worker.crowded &= completions.is_empty() && !self.channel.has_idle_thread();
        for (completion, received_at) in completions {
            if let Some(ms) = completion.execution_time_ms {
                self.ahead.observe_handler(ms);
            }
            match self.in_flights.settlement(completion, received_at, worker_id) {
                Some(pending) => gathered.pending.push(pending),
                None => Counters::add(&self.shared.counters.stale_completions, 1),
            }
        }
        for event_id in self.channel.overdue(now) {
            self.channel.revoke(event_id);
            gathered.pending.extend(self.in_flights.timeout(event_id, worker_id));
        }
        let patience = if worker.draining { Duration::ZERO } else { UNSTARTED };
        for event_id in self.channel.take_unstarted(now.before(patience)) {
            worker.crowded = true;
            gathered.batch.hand_back.extend(self.in_flights.remove(&event_id).map(|claim| (claim.held, false)));
        }
        if worker.renew_at <= now {
            worker.renew_at = now.after(worker.lease.duration / 3);
            gathered.batch.renew = self.in_flights.held();
        }
        if worker.recover_at <= now {
            worker.recover_at = now.after(RECOVERY);
            gathered.batch.forget.extend(lease::dead_workers(self.store.as_mut(), &worker.process));
            self.look_due = true;
        }
        if self.store.changed_elsewhere().unwrap_or(true) {
            self.look_due = true;
            self.backlog = true;
        }
        self.look_due |= self.next_due.is_some_and(|due| due <= now);
    }

    /// How many steps may be claimed now.
    fn permit(&mut self, batch: &mut Batch) {
        let Some(worker) = &self.worker else { return };
        batch.worker = Some((worker.lease.clone(), worker.config.namespaces.clone()));
        if worker.draining || self.inbox.is_closed() {
            return;
        }
        let held = self.in_flights.len().saturating_sub(batch.settlements.len()) + self.channel.depth().abandoned;
        let permits = (worker.config.concurrency + self.ahead.steps()).saturating_sub(held);
        let may_find = self.backlog || batch.look_due || !batch.settlements.is_empty() || !batch.work.is_empty();
        let room = permits > 0 && !worker.crowded;
        batch.claim = (room && may_find).then_some(permits);
        // What cannot be claimed now must not be forgotten: a permit may come back without a settlement,
        // when the handler of a cancelled step is done.
        self.backlog = may_find;
    }

    /// Does what follows from a durable transaction.
    fn follow_up(&mut self, gathered: Gathered, mut outcome: Outcome, began: Micros) {
        let now = self.clock.now();
        for (pending, verdict) in gathered.pending.iter().zip(&outcome.verdicts) {
            if pending.settlement.completion.is_some() || *verdict == Verdict::Applied {
                self.in_flights.remove(&pending.event_id);
            }
            let counters = &self.shared.counters;
            match verdict {
                Verdict::Applied => Counters::add(&counters.settled, 1),
                Verdict::Stale => Counters::add(&counters.stale_completions, 1),
            }
        }
        for lost in &outcome.lost {
            self.revoke(*lost);
        }
        self.revoke_ended(&outcome);
        self.dispatch(&mut outcome, now);
        let handed_back = self.given_back(&gathered.requests, outcome.handed_back);
        // Before the answers: who has one may look, or flush the spans, at once.
        report::report(&outcome.graphs, &self.shared.counters);
        self.publish();
        self.answer(gathered.requests, std::mem::take(&mut outcome.replies), handed_back);
        self.shared.announce(outcome.graphs.iter().filter(|graph| ended(graph)).map(|graph| graph.task.task_uuid));
        if gathered.batch.look_due {
            self.next_due = outcome.next_due;
            self.look_due |= outcome.more_due;
        }
        self.note_due(&outcome);
        if gathered.batch.claim.is_some() {
            self.backlog = outcome.backlog;
        }
        if let Some(worker) = &self.worker {
            let arrived = self.channel.depth().completions;
            self.ahead.observe(now.millis_since(began), arrived, worker.config.concurrency);
        }
    }

    /// Steps that ended without a completion (cancelled, resolved, expired) are no longer wanted here.
    fn revoke_ended(&mut self, outcome: &Outcome) {
        for graph in &outcome.graphs {
            for transition in &graph.step_transitions {
                if transition.ended.as_ref().is_some_and(|ended| ended.completion.is_none()) {
                    let (task_id, position) = (graph.task.id, transition.position);
                    self.revoke(Held { task_id, position, attempt: transition.attempt });
                }
            }
        }
    }

    fn revoke(&mut self, held: Held) {
        if let Some(event_id) = self.in_flights.remove_step(held.task_id, held.position, held.attempt) {
            self.channel.revoke(event_id);
        }
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

    /// A failed transaction: nothing of it happened. Callers are told; settlements are kept and tried
    /// again, for their handlers have run.
    fn keep(&mut self, gathered: &mut Gathered, error: Error) {
        self.failures += 1;
        Counters::add(&self.shared.counters.store_errors, 1);
        if self.failures == 1 || self.failures.is_multiple_of(60) {
            tracing::error!(
                error = %error, failures = self.failures, settlements = gathered.pending.len(),
                database = %self.store.describe(),
                "Transaction failed; finished steps are kept and tried again"
            );
        }
        let message = match &error {
            Error::Store(message) => message.clone(),
            other => other.to_string(),
        };
        for request in gathered.requests.drain(..) {
            if matches!(request.work, Work::StartWorker(_)) {
                self.worker = None;
            }
            let _ = request.reply.send(Err(Error::Store(message.clone())));
        }
        let undecidable = matches!(error, Error::Internal(_) | Error::IllegalTransition(_) | Error::NotFound(_));
        if undecidable && gathered.pending.len() == 1 && self.failures > 3 {
            let dropped = gathered.pending.remove(0);
            self.in_flights.remove(&dropped.event_id);
            tracing::error!(
                event_id = %dropped.event_id, task = dropped.task_id, error = %message,
                "Settlement dropped; the step runs again when its lease runs out"
            );
        }
        self.unsettled = std::mem::take(&mut gathered.pending);
        self.kept = Batch {
            hand_back: std::mem::take(&mut gathered.batch.hand_back),
            forget: std::mem::take(&mut gathered.batch.forget),
            ..Batch::default()
        };
        self.look_due |= gathered.batch.look_due;
        self.backlog = true;
        if !self.inbox.is_closed() {
            self.inbox.bell.sleep(Duration::from_millis(20 << self.failures.min(6)));
        }
    }

    /// Gives up every claim of a worker that stops.
    fn abandon(&mut self, batch: &mut Batch) {
        let Some(worker) = &mut self.worker else { return };
        worker.draining = true;
        batch.forget.push(worker.process.worker_id.to_string());
        batch.hand_back.extend(self.in_flights.held().into_iter().map(|held| (held, true)));
        for event_id in self.in_flights.clear() {
            self.channel.revoke(event_id);
        }
        self.channel.close();
    }

    fn publish(&self) {
        let worker = self.worker.as_ref();
        self.shared.publish(WorkerStatus {
            worker_id: worker.map(|worker| Arc::clone(&worker.process.worker_id)),
            running: worker.is_some(),
            draining: worker.is_some_and(|worker| worker.draining),
            concurrency: worker.map_or(0, |worker| worker.config.concurrency),
            in_flight: self.in_flights.len(),
        });
    }

    /// How long there is nothing to do unless the bell rings.
    fn patience(&self) -> Duration {
        let Some(worker) = &self.worker else { return IDLE };
        let now = self.clock.now();
        let unstarted = self.channel.oldest_waiting().map(|since| since.after(UNSTARTED));
        let times = [self.next_due, Some(worker.renew_at), self.channel.next_deadline(), unstarted];
        let next = times.into_iter().flatten().min().unwrap_or(worker.recover_at);
        Duration::from_secs_f64(worker.config.poll_interval).min(next.since(now))
    }
}

fn ended(graph: &crate::graph::Graph) -> bool {
    graph.task.state.is_final() && graph.is_changed()
}
