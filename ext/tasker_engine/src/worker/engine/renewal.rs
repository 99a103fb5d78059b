//! Owns: keeping the worker's lease: a transaction of its own, which waits for nobody's task. Renewals that fail are tried
//! again at once: the lease goes on running out.

use super::EngineThread;
use crate::clock::Tick;
use crate::error::{Error, Result};
use crate::plan;
use crate::state::StepState;
use crate::store::{Commit, Hold};
use crate::worker::transaction::{Batch, Failure};

impl EngineThread {
    /// Renews the lease when a third of it has passed.
    pub(super) fn renew(&mut self, tick: Tick) {
        let Some(worker) = self.worker.as_ref().filter(|worker| !worker.unregistered) else { return };
        if worker.unsure {
            self.find_unknown_claims();
            return;
        }
        if worker.renew_at > tick {
            return;
        }
        let (worker_id, lease) = (worker.worker_id().clone(), worker.lease);
        let renewed: Result<bool> = self.store.begin().and_then(|mut transaction| {
            let renewed = transaction.renew(&worker_id, lease)?;
            transaction.commit(&Commit::default())?;
            Ok(renewed)
        });
        match renewed {
            Ok(true) => {
                if let Some(worker) = &mut self.worker {
                    worker.renewed(tick);
                }
            }
            Ok(false) => self.lease_lost("its row is gone"),
            Err(Error::Contention(_)) => {}
            Err(error) => {
                self.after_failure(Batch::default(), Failure { error, reached: false, tasks: Vec::new() });
            }
        }
    }

    /// Others have taken this worker for dead: its claims are theirs. It goes on as another one.
    pub(super) fn lease_lost(&mut self, why: &str) {
        let Some(worker) = &mut self.worker else { return };
        tracing::warn!(
            worker_id = %worker.worker_id(), claims = self.in_flights.len(), reason = why,
            "The worker's lease ran out and others took over its steps: results that still come are refused. Was this \
             process stopped, or its database away, for longer than lease_seconds?"
        );
        worker.begin_anew(&self.clock, &mut self.dice);
        for event_id in self.in_flights.clear() {
            self.channel.revoke(event_id);
        }
        self.backlog = true;
        self.publish();
    }

    /// After a commit of which nobody knows how it ended, this worker may have claims that no handler was told of. They
    /// are in its row: they are given back and cost no attempt.
    fn find_unknown_claims(&mut self) {
        match self.release_unknown_claims() {
            Ok(released) => {
                if let Some(worker) = &mut self.worker {
                    worker.unsure = false;
                }
                self.backlog = true;
                tracing::info!(released, "Claims of a transaction whose end was not known were given back");
            }
            Err(Error::Contention(_)) => {}
            Err(error) => self.after_failure(Batch::default(), Failure { error, reached: false, tasks: Vec::new() }),
        }
    }

    fn release_unknown_claims(&mut self) -> Result<usize> {
        let Some(worker) = &self.worker else { return Ok(0) };
        let worker_id = worker.worker_id();
        let mut transaction = self.store.begin()?;
        let Some(holdings) = transaction.holdings(worker_id)? else { return Ok(0) };
        let mut graphs = transaction.load(&holdings.tasks, Hold::Locked)?.graphs;
        let known = |token| self.in_flights.has_token(token) || self.unsettled.iter().any(|end| end.settlement.token == token);
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
        Ok(released)
    }
}
