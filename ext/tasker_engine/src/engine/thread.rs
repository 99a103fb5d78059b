//! Owns: the loop of the engine's thread: take in, transact, do what follows; while the store fails, wait it out.

mod after_commit;
mod breaker;
mod intake;
mod outage;
mod renewal;
mod retention;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::in_flight::{InFlights, Pending, Suspect};
use super::inbox::{Inbox, Request};
use super::machine::Machine;
use super::measure::Metrics;
use super::prefetch::Prefetch;
use super::quarantine::Quarantine;
use super::running::Running;
use super::shared::{Counters, Shared, WorkerStatus};
use super::transaction::{self, Batch, Failure, Means, Outcome};
use crate::channel::Channel;
use crate::clock::{Clock, Tick};
use crate::config::Durability;
use crate::error::Error;
use crate::events::InProcessEventBus;
use crate::ids::Dice;
use crate::plan::Verdict;
use crate::store::catalogue::Catalogue;
use crate::store::Store;
use breaker::Breaker;
pub(super) use retention::Pace;

/// How often a transaction is begun again that the database made give way to another one.
const TRIES: usize = 5;
/// How long a thread with nothing to expect sleeps.
const IDLE: Duration = Duration::from_secs(60);

/// What a turn of the loop ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There may be more to do at once.
    Again,
    /// Nothing to do for so long, unless the bell rings.
    Sleep(Duration),
    /// The inbox is closed and empty.
    End,
}

/// The engine's thread.
pub(crate) struct EngineThread {
    store: Box<dyn Store>,
    catalogue: Arc<Catalogue>,
    clock: Clock,
    dice: Dice,
    durability: Durability,
    machine: Arc<dyn Machine>,
    inbox: Arc<Inbox>,
    channel: Arc<Channel>,
    shared: Arc<Shared>,
    bus: Arc<InProcessEventBus>,
    worker: Option<Running>,
    in_flights: InFlights,
    prefetch: Prefetch,
    quarantine: Quarantine,
    /// What arrived and is in no transaction yet, or in one that failed.
    requests: VecDeque<Request>,
    unsettled: VecDeque<Pending>,
    /// What a transaction that failed leaves to the next one.
    kept: Batch,
    /// How many requests, settlements and, after one failed, claims a transaction carries at most.
    units: usize,
    /// The session at the store's server in which the worker's claims are known.
    session: u64,
    look_due: bool,
    backlog: bool,
    /// Until when steps that others are at work on are left alone, and for how long the next time.
    contended_until: Option<Tick>,
    contention: Duration,
    next_due: Option<Tick>,
    notices_at: Option<Tick>,
    retry_at: Option<Tick>,
    failures: u32,
    /// Commits so far.
    commits: u64,
    /// What a transaction without requests and settlements works on.
    suspect: Suspect,
    last_error: String,
    breaker: Breaker,
    metrics: Metrics,
}

impl EngineThread {
    #[allow(clippy::too_many_arguments)] // the parts of one engine, put together once
    pub(crate) fn new(
        store: Box<dyn Store>,
        catalogue: Arc<Catalogue>,
        clock: Clock,
        dice: Dice,
        durability: Durability,
        machine: Arc<dyn Machine>,
        inbox: Arc<Inbox>,
        channel: Arc<Channel>,
        shared: Arc<Shared>,
        bus: Arc<InProcessEventBus>,
    ) -> EngineThread {
        EngineThread {
            breaker: Breaker::new(&shared, store.describe()),
            metrics: Metrics::new(),
            last_error: String::new(),
            store,
            catalogue,
            clock,
            dice,
            durability,
            machine,
            inbox,
            channel,
            shared,
            bus,
            worker: None,
            in_flights: InFlights::default(),
            prefetch: Prefetch::default(),
            quarantine: Quarantine::default(),
            requests: VecDeque::new(),
            unsettled: VecDeque::new(),
            kept: Batch::default(),
            units: intake::UNITS,
            session: 0,
            look_due: false,
            backlog: false,
            contended_until: None,
            contention: after_commit::CONTENDED,
            next_due: None,
            notices_at: None,
            retry_at: None,
            failures: 0,
            commits: 0,
            suspect: Suspect::default(),
        }
    }

    /// Runs until the inbox is closed and empty.
    pub(crate) fn run(mut self) {
        let _end = End {
            shared: Arc::clone(&self.shared),
            inbox: Arc::clone(&self.inbox),
            channel: Arc::clone(&self.channel),
        };
        loop {
            match self.turn() {
                Turn::Again => {}
                Turn::Sleep(duration) => drop(self.inbox.bell.sleep(duration)),
                Turn::End => break,
            }
        }
    }

    /// Once round the loop.
    pub(crate) fn turn(&mut self) -> Turn {
        let tick = self.clock.tick();
        if let Some(pause) = self.outage(tick) {
            return if self.inbox.is_closed() { Turn::End } else { Turn::Sleep(pause) };
        }
        if self.pause(tick).is_some() || self.after_new_session(tick) {
            self.renew(tick);
        }
        if let Some(pause) = self.pause(self.clock.tick()) {
            return if self.inbox.is_closed() { Turn::End } else { Turn::Sleep(pause) };
        }
        self.prune(tick);
        let batch = self.intake();
        if batch.is_empty() {
            if self.inbox.is_closed() {
                return Turn::End;
            }
            return Turn::Sleep(self.sleep_timeout());
        }
        self.run_transaction(batch);
        // Nobody waits for a database that is gone; what has not been settled runs again.
        if self.failures > 0 && self.inbox.is_closed() {
            return Turn::End;
        }
        self.channel.rest(self.prefetch.handlers_are_faster());
        Turn::Again
    }

    /// One transaction, and what follows from it.
    fn run_transaction(&mut self, batch: Batch) {
        let began = self.clock.now();
        let timed = Instant::now();
        self.shared.pulse.transaction_begins();
        let mut outcome = self.transact(&batch);
        for _ in 1..TRIES {
            if matches!(&outcome, Err(Failure { error: Error::Contention(_), .. })) {
                outcome = self.transact(&batch);
            }
        }
        self.metrics.engine.transaction.record(timed.elapsed().as_secs_f64() * 1e3);
        let failed = outcome.as_ref().err().map(|failure| &failure.error);
        self.shared.pulse.transaction_ends(matches!(failed, Some(Error::Store(_) | Error::Contention(_))));
        match outcome {
            Ok(outcome) => {
                self.succeeded();
                Counters::add(&self.shared.counters.transactions, 1);
                self.after_commit(batch, outcome, began);
            }
            Err(failure) => self.after_failure(batch, failure),
        }
    }

    fn transact(&mut self, batch: &Batch) -> std::result::Result<Outcome, Failure> {
        self.check_session().map_err(|error| Failure { error, reached: false, tasks: Vec::new() })?;
        let means = Means {
            catalogue: &self.catalogue,
            clock: &self.clock,
            dice: &mut self.dice,
            except: self.quarantine.numbers(),
            machine: self.machine.as_ref(),
            operations: &self.metrics.engine.operations,
        };
        transaction::run(self.store.as_mut(), batch, means)
    }

    /// Writes down from now on which claims the worker's handlers begin.
    fn record_begun(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        let record = self.machine.record(worker.worker_id());
        worker.records = record.is_some();
        self.channel.record_begun(record);
    }

    fn publish(&self) {
        let worker = self.worker.as_ref();
        self.shared.publish(WorkerStatus {
            worker_id: worker.map(|worker| Arc::clone(worker.worker_id())),
            running: worker.is_some(),
            draining: worker.is_some_and(|worker| worker.draining),
            concurrency: worker.map_or(0, |worker| worker.config.concurrency),
            namespaces: worker.map_or(0, |worker| worker.namespaces.len()),
            in_flight: self.in_flights.len(),
        });
    }

    /// How long there is nothing to do unless the bell rings.
    fn sleep_timeout(&self) -> Duration {
        let tick = self.clock.tick();
        let notices = self.notices_at.map(|at| at.since(tick));
        let retry = self.quarantine.next_retry().map(|at| at.since(tick));
        let Some(worker) = &self.worker else {
            return [notices, retry].into_iter().flatten().min().unwrap_or(IDLE).min(IDLE);
        };
        let ticks = [
            Some(worker.renew_at),
            Some(worker.recover_at),
            worker.unsure_at,
            worker.config.retention().map(|_| worker.prune_at),
            self.channel.next_deadline(),
            self.channel.oldest_waiting().map(|since| since.after(intake::UNSTARTED)),
            self.contended_until.filter(|_| self.backlog),
            self.next_due,
        ];
        let next = ticks.into_iter().flatten().map(|at| at.since(tick));
        let poll = self.store.poll_interval(Duration::from_secs_f64(worker.config.poll_interval));
        next.chain(notices).chain(retry).min().unwrap_or(IDLE).min(poll)
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
        self.channel.close();
    }
}
