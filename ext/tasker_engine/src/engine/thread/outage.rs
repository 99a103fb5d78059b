//! Owns: what the engine does when a transaction fails. Ends of attempts are kept and tried again, for their handlers
//! have run. A batch that fails is tried in smaller and smaller parts, until what is at fault stands alone: that fails,
//! everything else goes on. A store that is away is left alone for longer and longer.

use std::time::Duration;

use super::{intake, EngineThread};
use crate::clock::Tick;
use crate::engine::in_flight::{Pending, Suspect};
use crate::engine::inbox::{Reply, Request, Work};
use crate::engine::shared::Counters;
use crate::engine::transaction::{Batch, Failure};
use crate::error::Error;

/// How often a settlement that is alone in its transaction may fail for reasons that may be the store's, while the store
/// takes something else each time in between.
const ALONE: u32 = 8;
/// The longest pause after a failure while the breaker is closed.
const LONGEST_PAUSE: Duration = Duration::from_millis(1280);

impl EngineThread {
    /// How long the store is left alone; `None`: it may be asked. While the breaker is open callers are refused at once,
    /// everything else waits where it is.
    pub(super) fn outage(&mut self, tick: Tick) -> Option<Duration> {
        if self.breaker.is_open(tick) {
            self.requests.extend(self.inbox.take(usize::MAX));
            let requests: Vec<Request> = self.requests.drain(..).collect();
            self.metrics.engine.breaker_rejected.add(requests.len());
            let why = format!(
                "the database keeps failing (last: {}); nothing was changed, and requests are refused until it answers \
                 again",
                self.last_error
            );
            self.refuse(requests, || Error::Store(why.clone()));
            return self.breaker.open_until().map(|until| until.since(tick));
        }
        None
    }

    /// How long nothing is tried after a failure. The lease goes on running out meanwhile: it is not part of the pause.
    pub(super) fn pause(&self, tick: Tick) -> Option<Duration> {
        let pause = self.retry_at.filter(|at| *at > tick)?.since(tick);
        let renew = self.worker.as_ref().map(|worker| worker.renew_at).filter(|at| *at > tick);
        Some(renew.map_or(pause, |at| pause.min(at.since(tick))))
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.commits += 1;
        self.suspect = Suspect::default();
        self.retry_at = None;
        self.units = self.units.saturating_mul(2).min(intake::UNITS);
        self.breaker.succeeded();
    }

    /// A failed transaction: nothing of it happened, unless its answer was lost.
    pub(super) fn after_failure(&mut self, batch: Batch, failure: Failure) {
        let Failure { error, reached, tasks } = failure;
        let tick = self.clock.tick();
        self.failures += 1;
        Counters::add(&self.shared.counters.store_errors, 1);
        self.metrics.engine.store_error(error.kind());
        if self.failures == 1 {
            tracing::error!(
                error = %error, settlements = batch.pending.len(), database = %self.store.describe(),
                "Transaction failed; finished steps are kept and tried again"
            );
        }
        self.last_error = message(&error);
        let lost = matches!(error, Error::LeaseLost(_));
        if let (Error::Unknown(_), Some(worker)) = (&error, &mut self.worker) {
            worker.unsure(&tasks, tick);
        }
        // What may have happened after all may have left something due, of which nobody took note.
        self.look_due |= batch.look_due || matches!(error, Error::Unknown(_));
        self.backlog = true;
        // Whatever is wrong with the data, a store that answers is there.
        if matches!(error, Error::Store(_) | Error::Contention(_) | Error::Unknown(_)) {
            self.breaker.failed(tick);
        } else {
            self.breaker.succeeded();
        }
        // A store that refuses something is there, and what it refuses is found the sooner.
        let found_sooner = batch.units() > 0 || !tasks.is_empty();
        let at_once = matches!(error, Error::Refused(_) | Error::IllegalTransition(_)) && found_sooner;
        self.keep(batch, &error, reached, &tasks, tick);
        if lost {
            self.lease_lost(&self.last_error.clone());
        } else if !at_once && !self.inbox.is_closed() {
            let pause = Duration::from_millis(20 << self.failures.min(6)).min(LONGEST_PAUSE);
            self.retry_at = Some(tick.after(pause));
        }
    }

    /// Finds a place for all that the transaction carried.
    fn keep(&mut self, mut batch: Batch, error: &Error, reached: bool, tasks: &[i64], tick: Tick) {
        let units = batch.units();
        let alone = if units == 0 { tasks.len() <= 1 || self.units <= 1 } else { units == 1 && batch.is_bare() };
        self.kept.release.append(&mut batch.release);
        self.kept.dead.append(&mut batch.dead);
        self.kept.look_lapsed |= batch.look_lapsed;
        let requests = std::mem::take(&mut batch.requests);
        let pending = std::mem::take(&mut batch.pending);
        if matches!(error, Error::LeaseLost(_)) {
            // The worker's loss, not theirs who asked.
            requests.into_iter().rev().for_each(|request| self.requests.push_front(request));
            pending.into_iter().rev().for_each(|pending| self.unsettled.push_front(pending));
            return;
        }
        let may_be_at_fault = reached && !matches!(error, Error::Contention(_));
        if alone || !may_be_at_fault {
            if may_be_at_fault && units == 0 {
                let mut suspect = std::mem::take(&mut self.suspect);
                if self.is_at_fault(&mut suspect, error, tick) {
                    self.leave_alone(tasks, error, tick);
                } else {
                    self.suspect = suspect;
                }
            }
            self.refuse(requests, || again(error));
            for pending in pending.into_iter().rev() {
                self.alone(pending, error, may_be_at_fault, tick);
            }
            return;
        }
        // Half of it the next time.
        self.units = (units.max(tasks.len()).min(self.units) / 2).max(1);
        if is_the_stores(error) {
            // A request is tried once: its caller hears what happened.
            self.refuse(requests, || again(error));
        } else {
            requests.into_iter().rev().for_each(|request| self.requests.push_front(request));
        }
        pending.into_iter().rev().for_each(|pending| self.unsettled.push_front(pending));
    }

    /// A settlement that was alone in its transaction.
    fn alone(&mut self, mut pending: Pending, error: &Error, may_be_at_fault: bool, tick: Tick) {
        if !may_be_at_fault {
            return self.unsettled.push_front(pending);
        }
        if !self.is_at_fault(&mut pending.suspect, error, tick) {
            // The others first.
            return self.unsettled.push_back(pending);
        }
        let message = message(error);
        let refused = matches!(&pending.settlement.outcome, Err(error) if error.class_name.ends_with("ResultError"));
        tracing::error!(
            event_id = %pending.event_id, task = pending.task_id, error = %message,
            "The database refuses the end of an attempt; {}",
            if refused { "its task is left alone" } else { "the attempt fails" }
        );
        if refused {
            self.leave_alone(&[pending.task_id], error, tick);
            self.park(pending);
        } else {
            pending.refuse(&message);
            self.unsettled.push_back(pending);
        }
    }

    /// Whether what was written is at fault, not the store. An error that may be the store's says so only when it comes
    /// again and again, and the store took something else each time in between: a renewal at least. A disk that is full
    /// takes nothing.
    fn is_at_fault(&mut self, suspect: &mut Suspect, error: &Error, tick: Tick) -> bool {
        if !matches!(error, Error::Store(_) | Error::Unknown(_)) {
            return true;
        }
        if suspect.failures == 0 || suspect.commits < self.commits {
            *suspect = Suspect { failures: suspect.failures + 1, commits: self.commits };
        }
        if let Some(worker) = &mut self.worker {
            worker.renew_at = tick;
        }
        suspect.failures > ALONE
    }

    /// Leaves tasks alone of which nothing can be decided or written.
    pub(super) fn leave_alone(&mut self, tasks: &[i64], error: &Error, tick: Tick) {
        let why = error.to_string();
        tasks.iter().for_each(|task_id| self.quarantine(*task_id, &why, tick));
    }

    pub(super) fn quarantine(&mut self, task_id: i64, why: &str, tick: Tick) {
        if self.quarantine.add(task_id, why, tick) {
            self.metrics.engine.quarantined.add(1);
            tracing::error!(
                task = task_id, error = why,
                "A task is left alone for a minute, because this version cannot read it or go on with it; everything else \
                 goes on"
            );
        }
        self.shared.publish_quarantine(self.quarantine.list());
    }

    pub(super) fn park(&mut self, pending: Pending) {
        self.in_flights.remove(&pending.event_id);
        if let Some(dropped) = self.quarantine.park(pending) {
            tracing::error!(
                event_id = %dropped.event_id, task = dropped.task_id,
                "The end of an attempt is dropped: too many are kept for tasks that are left alone"
            );
        }
    }

    /// Answers requests that cannot be carried out. What needs no store is done all the same: a worker can
    /// always be stopped.
    fn refuse(&mut self, requests: Vec<Request>, why: impl Fn() -> Error) {
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
                    self.kept.dead.append(&mut claims.dead);
                    self.kept.release.append(&mut claims.release);
                    self.forget_worker();
                    tracing::warn!(
                        error = %why(),
                        "Worker stopped without its database; its claims run again when its lease runs out"
                    );
                    Ok(Reply::HandedBack(0))
                }
                Work::StartWorker(_) => {
                    self.worker = None;
                    Err(why())
                }
                _ => Err(why()),
            };
            self.publish();
            // The caller may have gone.
            let _ = request.reply.send(reply);
        }
    }
}

/// Whether the store may be at fault, not what was written.
fn is_the_stores(error: &Error) -> bool {
    matches!(error, Error::Store(_) | Error::Unknown(_))
}

fn message(error: &Error) -> String {
    match error {
        Error::Store(message) | Error::Contention(message) | Error::Refused(message) | Error::Unknown(message) => {
            message.clone()
        }
        other => other.to_string(),
    }
}

/// The error once more, for another caller.
fn again(error: &Error) -> Error {
    match error {
        Error::Refused(message) => Error::Refused(message.clone()),
        Error::Unknown(message) => Error::Unknown(message.clone()),
        Error::IllegalTransition(message) => Error::IllegalTransition(message.clone()),
        Error::Internal(message) => Error::Internal(message.clone()),
        other => Error::Store(message(other)),
    }
}
