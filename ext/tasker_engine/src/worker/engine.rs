//! Owns: the loop of the engine's thread: gather, transact, follow up; while the store fails, wait it out.

mod follow;
mod outage;
mod prune;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::claim::Ahead;
use super::inbox::{Inbox, Request, Work};
use super::lease;
use super::measure::Metrics;
use super::running::Running;
use super::settle::{InFlights, Pending};
use super::shared::{Counters, Shared, WorkerStatus};
use super::transact::{transact, Batch, Outcome};
use crate::channel::Channel;
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::store::catalogue::Catalogue;
use crate::store::{Change, Store};

/// Requests and completions one transaction takes at most.
const REQUESTS: usize = 64;
const COMPLETIONS: usize = 1024;
/// An event no handler thread takes up for so long is given back: somebody else may be free.
const UNSTARTED: Duration = Duration::from_secs(2);
/// How often a worker looks for dead ones on its machine.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long it leaves alone what other workers are at work on.
const CONTENDED: Duration = Duration::from_millis(5);
/// How often a transaction is begun again that the database made give way to another one.
const TRIES: usize = 5;
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
    contended: bool,
    next_due: Option<Micros>,
    failures: u32,
    last_error: String,
    breaker: outage::Breaker,
    metrics: Metrics,
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
        let breaker = outage::breaker(&shared, store.describe());
        EngineThread {
            breaker,
            metrics: Metrics::new(),
            last_error: String::new(),
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
            contended: false,
            kept: Batch::default(),
            look_due: false,
            backlog: false,
            next_due: None,
            failures: 0,
        }
    }

    /// Runs until the inbox is closed and empty.
    pub(crate) fn run(mut self) {
        let (shared, inbox, channel) = (Arc::clone(&self.shared), Arc::clone(&self.inbox), Arc::clone(&self.channel));
        let _end = End { shared, inbox, channel };
        loop {
            if !self.store_is_worth_asking() {
                if self.inbox.is_closed() {
                    break;
                }
                self.wait_out();
                continue;
            }
            self.prune(self.clock.now());
            let mut gathered = self.gather();
            if gathered.batch.is_empty() {
                if self.inbox.is_closed() {
                    break;
                }
                self.channel.rest(self.ahead.brisk());
                self.inbox.bell.sleep(self.patience());
                continue;
            }
            self.carry(&mut gathered);
            // Nobody waits for a database that is gone; what has not been settled runs again.
            if self.failures > 0 && self.inbox.is_closed() {
                break;
            }
            self.channel.rest(self.ahead.brisk());
            if std::mem::take(&mut self.contended) {
                self.inbox.bell.sleep(CONTENDED);
            }
        }
    }

    /// One transaction, and what follows from it.
    fn carry(&mut self, gathered: &mut Gathered) {
        let began = self.clock.now();
        let timed = Instant::now();
        self.shared.pulse.transaction_begins();
        let mut outcome = self.transact(&gathered.batch);
        for _ in 1..TRIES {
            if matches!(outcome, Err(Error::Contention(_))) {
                outcome = self.transact(&gathered.batch);
            }
        }
        self.metrics.engine.transaction.record(timed.elapsed().as_secs_f64() * 1e3);
        self.shared.pulse.transaction_ends(matches!(outcome, Err(Error::Store(_) | Error::Contention(_))));
        match outcome {
            Ok(outcome) => {
                self.failures = 0;
                self.breaker.on_success();
                Counters::add(&self.shared.counters.transactions, 1);
                self.follow_up(std::mem::take(gathered), outcome, began);
            }
            Err(error) => self.keep(gathered, error),
        }
    }

    fn transact(&mut self, batch: &Batch) -> Result<Outcome> {
        transact(self.store.as_mut(), &self.catalogue, batch, &self.clock)
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
                    self.store.ring(Arc::clone(&self.inbox.bell));
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
        gathered.batch.gathered_at = now;
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
            self.metrics.engine.stale_completions.add(completions.len());
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
                None => {
                    Counters::add(&self.shared.counters.stale_completions, 1);
                    self.metrics.engine.stale_completions.add(1);
                }
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
            gathered.batch.look_waiting = true;
        }
        let changed = self.store.changed_elsewhere().unwrap_or(Some(Change::Any));
        self.backlog |= changed.is_some();
        self.look_due |= changed == Some(Change::Any);
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
        batch.look_enqueued = self.backlog || batch.look_due || !batch.forget.is_empty();
        // What cannot be claimed now must not be forgotten: a permit may come back without a settlement,
        // when the handler of a cancelled step is done.
        self.backlog = may_find;
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
            queues: worker.map_or(0, |worker| worker.config.namespaces.len().max(1)),
            in_flight: self.in_flights.len(),
        });
    }

    /// How long there is nothing to do unless the bell rings.
    fn patience(&self) -> Duration {
        let Some(worker) = &self.worker else { return IDLE };
        let now = self.clock.now();
        let unstarted = self.channel.oldest_waiting().map(|since| since.after(UNSTARTED));
        let prunes = worker.config.retention().map(|_| worker.prune_at);
        let times = [self.next_due, prunes, Some(worker.renew_at), self.channel.next_deadline(), unstarted];
        let next = times.into_iter().flatten().min().unwrap_or(worker.recover_at);
        let ask = self.store.ask_every(Duration::from_secs_f64(worker.config.poll_interval));
        ask.min(next.since(now))
    }
}

/// Tells of the thread's end, however it comes: nobody may wait for a thread that is gone.
struct End {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    channel: Arc<Channel>,
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.channel.fail();
        }
        self.shared.pulse.end();
        self.inbox.close();
        self.shared.publish(WorkerStatus::default());
    }
}
