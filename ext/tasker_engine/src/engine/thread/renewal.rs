//! Owns: keeping the worker's lease: a transaction of its own, which waits for nobody's task. Renewals that fail are tried
//! again at once: the lease goes on running out. On the way it hears of claims that others have ended: a cancellation by
//! another process, say.

use std::time::Duration;

use super::EngineThread;
use crate::clock::Tick;
use crate::engine::running::Running;
use crate::engine::transaction::{Batch, Failure};
use crate::error::{Error, Result};
use crate::plan;
use crate::state::StepState;
use crate::store::{Claim, Commit, Hold, Holdings};

/// How long a look for claims that nobody knows of waits for whoever is at work on their tasks.
const LOCKED: Duration = Duration::from_millis(50);
/// How long it waits when tasks are left alone.
const LEFT_ALONE: Duration = Duration::from_secs(5);

impl EngineThread {
    /// Renews the lease when a third of it has passed.
    pub(super) fn renew(&mut self, tick: Tick) {
        let Some(worker) = &self.worker else { return };
        if worker.unsure_at.is_some_and(|at| at <= tick) && !self.find_unknown_claims(tick) {
            return;
        }
        let due = |worker: &&Running| !worker.unregistered && worker.renew_at <= tick;
        let Some(worker) = self.worker.as_ref().filter(due) else { return };
        let (worker_id, lease) = (worker.worker_id().clone(), worker.lease);
        let claims: Vec<Claim> = self.in_flights.claims().map(|(_, in_flight)| in_flight.claim).collect();
        let renewed: Result<Option<Vec<Claim>>> = self.store.begin().and_then(|mut transaction| {
            let renewed = transaction.renew(&worker_id, lease)?;
            let lost = if renewed { Some(transaction.lost(&claims)?) } else { None };
            transaction.commit(&Commit::default())?;
            Ok(lost)
        });
        match renewed {
            Ok(Some(lost)) => {
                self.commits += 1;
                if let Some(worker) = &mut self.worker {
                    worker.renewed(tick);
                }
                for event_id in lost.iter().filter_map(|claim| self.in_flights.remove_token(claim.token)) {
                    self.channel.revoke(event_id);
                }
            }
            Ok(None) => self.lease_lost("its row is gone"),
            Err(Error::Contention(_)) => {}
            Err(error) => {
                self.after_failure(Batch::default(), Failure { error, reached: false, tasks: Vec::new() });
            }
        }
    }

    /// In a new session the server may have forgotten what was committed last, and with it which claims are this worker's:
    /// before anything else is done, what its row says now is looked through. False: the store fails.
    pub(super) fn after_new_session(&mut self, tick: Tick) -> bool {
        let Some(worker) = self.worker.as_mut().filter(|worker| !worker.unregistered) else { return true };
        let looked = self.store.session().and_then(|session| {
            if session != self.session {
                let holdings = self.store.begin()?.holdings(worker.worker_id())?.unwrap_or_default();
                worker.unsure(&holdings.tasks, tick);
                worker.recorded.unbegun = holdings.unbegun;
                worker.renew_at = tick;
                self.session = session;
            }
            Ok(())
        });
        if let Err(error) = looked {
            self.after_failure(Batch::default(), Failure { error, reached: false, tasks: Vec::new() });
            return false;
        }
        true
    }

    /// Whether what is known of the worker's claims is true of the session that the next transaction is in.
    pub(super) fn check_session(&mut self) -> Result<()> {
        let registered = self.worker.as_ref().is_some_and(|worker| !worker.unregistered);
        if registered && self.store.session()? != self.session {
            return Err(Error::Store(
                "the connection was made anew; what the database has of this worker comes first".into(),
            ));
        }
        Ok(())
    }

    /// Others have taken this worker for dead: its claims are theirs. It goes on as another one.
    pub(super) fn lease_lost(&mut self, why: &str) {
        let Some(worker) = &mut self.worker else { return };
        tracing::warn!(
            worker_id = %worker.worker_id(), claims = self.in_flights.len(), reason = why,
            "The worker's lease ran out and others took over its steps: results that still come are refused. Was this \
             process stopped, or its database away, for longer than lease_seconds?"
        );
        let before = worker.worker_id().clone();
        worker.begin_anew(&self.clock, self.machine.as_ref());
        self.machine.forget(&before);
        self.record_begun();
        for event_id in self.in_flights.clear() {
            self.channel.revoke(event_id);
        }
        self.backlog = true;
        self.publish();
    }

    /// After a commit of which nobody knows how it ended, or that the server may have forgotten, this worker may have claims
    /// that no handler was told of. They are in its row: they are given back and cost no attempt. False: the store fails.
    fn find_unknown_claims(&mut self, tick: Tick) -> bool {
        let again = match self.release_unknown_claims() {
            Ok(None) => None,
            Ok(Some((released, left))) => {
                if let Some(worker) = &mut self.worker {
                    worker.unregistered = false;
                    self.session = self.store.session().unwrap_or(self.session);
                }
                if released + left > 0 {
                    tracing::info!(released, left, "Claims of a transaction whose end was not known were given back");
                }
                self.backlog |= released > 0;
                (left > 0).then(|| tick.after(LEFT_ALONE))
            }
            Err(Error::Contention(_)) => Some(tick.after(LOCKED)),
            Err(error) => {
                self.after_failure(Batch::default(), Failure { error, reached: false, tasks: Vec::new() });
                return false;
            }
        };
        if let Some(worker) = &mut self.worker {
            worker.unsure_at = again;
            if again.is_none() {
                worker.unsure_of.clear();
            }
        }
        true
    }

    /// How many were given back, and how many tasks were left alone. `None`: the worker has no row.
    fn release_unknown_claims(&mut self) -> Result<Option<(usize, usize)>> {
        let Some(worker) = &self.worker else { return Ok(None) };
        let worker_id = worker.worker_id();
        let mut transaction = self.store.begin()?;
        let Some(Holdings { mut tasks, .. }) = transaction.holdings(worker_id)? else { return Ok(None) };
        let all = tasks.len();
        tasks.retain(|task_id| !self.quarantine.contains(*task_id));
        let left = all - tasks.len();
        let mut graphs = transaction.load(&tasks, Hold::Locked)?.graphs;
        let left = left + tasks.len() - graphs.len();
        let known = |token| {
            let unsettled = self.unsettled.iter().any(|end| end.settlement.token == token);
            unsettled || self.in_flights.has_token(token) || self.quarantine.has_token(token)
        };
        let mut released = 0;
        for graph in &mut graphs {
            for position in 0..graph.steps.len() {
                let step = &graph.steps[position];
                let mine = step.state == StepState::InProgress && step.worker_id.as_ref() == Some(worker_id);
                if let Some(token) = step.span_id.filter(|token| mine && !known(*token)) {
                    released += usize::from(plan::release(graph, position, token, false, self.clock.now())?);
                }
            }
        }
        transaction.write(&mut graphs)?;
        transaction.commit(&Commit { steps_enqueued: released > 0, flushed: true, ..Commit::default() })?;
        Ok(Some((released, left)))
    }
}
