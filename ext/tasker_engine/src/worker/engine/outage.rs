//! Owns: what the engine does while its store fails. Nothing is lost: settlements are kept and tried again, for their
//! handlers have run. After [`FAILURES`] failures in a row the breaker opens: the store is left alone for a while,
//! then one transaction probes it.

use std::iter::{repeat, Chain, Repeat};
use std::sync::Arc;
use std::time::Duration;

use failsafe::failure_policy::{consecutive_failures, ConsecutiveFailures};
use failsafe::{Instrument, StateMachine};

use super::{Ahead, EngineThread, Gathered, REQUESTS};
use crate::error::Error;
use crate::worker::inbox::{Reply, Request, Work};
use crate::worker::pulse::BreakerState;
use crate::worker::shared::{Counters, Shared};
use crate::worker::transact::Batch;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open, the first time and after each probe that failed; the last one for all later ones.
const OPEN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];
const LONGEST_OPEN: Duration = Duration::from_secs(10);
/// How often an open breaker is asked whether its time is up.
const LOOK: Duration = Duration::from_millis(100);

type Backoff = Chain<std::array::IntoIter<Duration, 4>, Repeat<Duration>>;

/// The breaker between the engine's thread and its store.
pub(super) type Breaker = StateMachine<ConsecutiveFailures<Backoff>, Announcer>;

pub(super) fn breaker(shared: &Arc<Shared>, database: String) -> Breaker {
    let policy = consecutive_failures(FAILURES, OPEN.into_iter().chain(repeat(LONGEST_OPEN)));
    StateMachine::new(policy, Announcer { shared: Arc::clone(shared), database })
}

/// Tells of each change of the breaker's state: one line, and the state for health and metrics.
pub(super) struct Announcer {
    shared: Arc<Shared>,
    database: String,
}

impl Instrument for Announcer {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        // A probe that failed is no news.
        if self.shared.pulse.set_breaker(BreakerState::Open) == BreakerState::HalfOpen {
            return;
        }
        tracing::error!(
            database = %self.database, circuit_breaker = "store", state = "open",
            "Circuit breaker open: the database keeps failing; requests are refused until it answers again"
        );
    }

    fn on_half_open(&self) {
        self.shared.pulse.set_breaker(BreakerState::HalfOpen);
        tracing::debug!(
            database = %self.database, circuit_breaker = "store", state = "half_open",
            "Circuit breaker half-open: trying the database"
        );
    }

    fn on_closed(&self) {
        // The breaker is born closed: that is no news.
        if self.shared.pulse.set_breaker(BreakerState::Closed) != BreakerState::Closed {
            tracing::info!(
                database = %self.database, circuit_breaker = "store", state = "closed",
                "Circuit breaker closed: the database answers again"
            );
        }
    }
}

impl EngineThread {
    /// Whether the store may be asked now.
    pub(super) fn store_is_worth_asking(&self) -> bool {
        self.breaker.is_call_permitted()
    }

    /// The breaker is open: callers are refused at once, everything else waits where it is.
    pub(super) fn wait_out(&mut self) {
        let requests = self.inbox.take(REQUESTS);
        let why = format!(
            "the database keeps failing (last: {}); nothing was changed, and requests are refused until it answers again",
            self.last_error
        );
        self.metrics.engine.breaker_rejected.add(requests.len());
        let none_came = requests.is_empty();
        self.refuse(requests, &why);
        if none_came {
            self.inbox.bell.sleep(LOOK);
        }
    }

    /// A failed transaction: nothing of it happened. Callers are told; settlements are kept and tried
    /// again, for their handlers have run.
    pub(super) fn keep(&mut self, gathered: &mut Gathered, error: Error) {
        self.failures += 1;
        Counters::add(&self.shared.counters.store_errors, 1);
        self.metrics.engine.store_error(error.kind());
        if self.failures == 1 {
            tracing::error!(
                error = %error, settlements = gathered.pending.len(), database = %self.store.describe(),
                "Transaction failed; finished steps are kept and tried again"
            );
        }
        let message = match &error {
            Error::Store(message) | Error::Contention(message) => message.clone(),
            other => other.to_string(),
        };
        self.refuse(std::mem::take(&mut gathered.requests), &message);
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
        self.last_error = message;
        // Whatever is wrong with the data, a store that answers is there.
        if matches!(error, Error::Store(_) | Error::Contention(_)) {
            self.breaker.on_error();
        } else {
            self.breaker.on_success();
        }
        if !self.inbox.is_closed() {
            self.inbox.bell.sleep(Duration::from_millis(20 << self.failures.min(6)));
        }
    }

    /// Answers requests that cannot be carried out. What needs no store is done all the same: a worker can
    /// always be stopped.
    fn refuse(&mut self, requests: Vec<Request>, why: &str) {
        for request in requests {
            let reply = match &request.work {
                Work::Drain => {
                    if let Some(worker) = &mut self.worker {
                        worker.draining = true;
                    }
                    Ok(Reply::Done)
                }
                Work::StopWorker => {
                    let mut claims = Batch::default();
                    self.abandon(&mut claims);
                    self.kept.forget.append(&mut claims.forget);
                    self.kept.hand_back.append(&mut claims.hand_back);
                    self.worker = None;
                    self.ahead = Ahead::default();
                    tracing::warn!(
                        error = why,
                        "Worker stopped without its database; its claims run again when their leases run out"
                    );
                    Ok(Reply::HandedBack(0))
                }
                Work::StartWorker(_) => {
                    self.worker = None;
                    Err(Error::Store(why.to_owned()))
                }
                _ => Err(Error::Store(why.to_owned())),
            };
            self.publish();
            // The caller may have gone.
            let _ = request.reply.send(reply);
        }
    }
}
