//! Owns: what goes into the next transaction: what has arrived, and what time has brought.

use std::sync::Arc;
use std::time::Duration;

use super::EngineThread;
use crate::clock::{Now, Tick};
use crate::config::Durability;
use crate::engine::attempts::Stale;
use crate::engine::claims::Permits;
use crate::engine::in_flight;
use crate::engine::inbox::Work;
use crate::engine::machine::Machine;
use crate::engine::report;
use crate::engine::running::Running;
use crate::engine::shared::Counters;
use crate::engine::transaction::{Batch, WorkerPart};
use crate::store::{Change, Claim, Store, WorkerProcess};

/// Requests one transaction takes at most.
const REQUESTS: usize = 64;
/// Completions one transaction takes at most.
const COMPLETIONS: usize = 1024;
/// Both together.
pub(super) const UNITS: usize = REQUESTS + COMPLETIONS;
/// Results one transaction takes at most, in bytes, unless a single one is larger: far from what a server takes in one
/// message.
const BYTES: usize = 16 * 1024 * 1024;
/// How much that is due, of each kind, one transaction deals with.
const DUE_LIMIT: usize = 500;
/// An event no handler thread takes up for so long is given back: somebody else may be free.
pub(super) const UNSTARTED: Duration = Duration::from_secs(2);

impl EngineThread {
    /// Takes what has arrived and what time has brought.
    pub(super) fn intake(&mut self) -> Batch {
        let tick = self.clock.tick();
        let mut batch = std::mem::take(&mut self.kept);
        batch.gathered = tick;
        batch.gathered_at = Now { wall: self.clock.now(), store: self.store.time() };
        batch.flush = self.durability == Durability::Step;
        self.flush_notices(tick);
        if let Some(parked) = self.quarantine.retry(tick) {
            self.unsettled.extend(parked);
            (self.backlog, self.look_due) = (true, true);
            self.shared.publish_quarantine(self.quarantine.list());
        }
        self.requests.extend(self.inbox.take(REQUESTS.saturating_sub(self.requests.len())));
        self.take_completions(tick);
        let room = self.take_units(&mut batch);
        self.work_of_the_worker(tick, &mut batch);
        if room == 0 {
            self.put_off(&mut batch);
        }
        if self.is_stopping(&batch) {
            self.abandon(&mut batch);
        }
        let alone = |(claim, _): &(Claim, bool)| self.quarantine.contains(claim.task_id);
        let (kept, release): (Vec<_>, Vec<_>) = std::mem::take(&mut batch.release).into_iter().partition(alone);
        // Beside what was put off.
        self.kept.release.extend(kept);
        batch.release = release;
        batch.due_limit = DUE_LIMIT.min(room);
        batch.look_due = room > 0 && std::mem::take(&mut self.look_due);
        self.permit(tick, room, &mut batch);
        if !self.is_stopping(&batch) {
            self.describe_worker(&mut batch);
        }
        batch
    }

    fn is_stopping(&self, batch: &Batch) -> bool {
        batch.requests.iter().any(|request| matches!(request.work, Work::StopWorker))
    }

    /// As many requests and ends of attempts as a transaction may carry. Gives how much more it may: after one failed,
    /// everything counts, so that what is at fault is alone in the end.
    fn take_units(&mut self, batch: &mut Batch) -> usize {
        let mut left = self.units;
        while left > 0 {
            let Some(request) = self.requests.pop_front() else { break };
            self.begin_request(&request.work, batch);
            batch.requests.push(request);
            left -= 1;
        }
        let mut bytes = 0;
        while left > 0 && (bytes == 0 || bytes < BYTES) {
            let Some(pending) = self.unsettled.pop_front() else { break };
            bytes += pending.bytes();
            batch.pending.push(pending);
            left -= 1;
        }
        if self.units < UNITS {
            left
        } else {
            usize::MAX
        }
    }

    /// Leaves what may be done later to the next transaction.
    fn put_off(&mut self, batch: &mut Batch) {
        self.kept.release.append(&mut batch.release);
        self.kept.dead.append(&mut batch.dead);
        self.kept.look_lapsed |= std::mem::take(&mut batch.look_lapsed);
    }

    fn begin_request(&mut self, work: &Work, batch: &mut Batch) {
        match work {
            Work::StartWorker(config) => {
                self.store.subscribe(Some(Arc::clone(&self.inbox.bell)));
                let worker = Running::start(config.clone(), &self.clock, self.machine.as_ref());
                batch.register = Some((worker.process.clone(), worker.lease));
                self.worker = Some(worker);
                self.record_begun();
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

    fn take_completions(&mut self, tick: Tick) {
        let completions = self.channel.take_completions(COMPLETIONS.saturating_sub(self.unsettled.len()));
        let mut stale = 0;
        if let Some(worker) = &mut self.worker {
            worker.saturated &= completions.is_empty() && !self.channel.has_idle_thread();
        }
        for (completion, received_at) in completions {
            if let Some(ms) = completion.execution_time_ms {
                self.prefetch.observe_handler(ms);
            }
            match self.in_flights.settlement(completion, received_at) {
                Ok(pending) if self.worker.is_some() => self.unsettled.push_back(pending),
                Ok(_) => stale += 1,
                Err(completion) => {
                    stale += 1;
                    report::stale(&Stale {
                        event_id: completion.event_id,
                        task_uuid: completion.task_uuid,
                        step_uuid: completion.step_uuid,
                        handed_back: in_flight::handed_back(&completion),
                        success: completion.outcome.is_ok(),
                        received_at,
                    });
                }
            }
        }
        Counters::add(&self.shared.counters.stale_completions, stale);
        self.metrics.engine.stale_completions.add(stale);
        for event_id in self.channel.overdue(tick) {
            self.channel.revoke(event_id);
            self.unsettled.extend(self.in_flights.timeout(event_id));
        }
    }

    /// What the worker's own affairs bring: what nobody took up, the dead, other processes.
    fn work_of_the_worker(&mut self, tick: Tick, batch: &mut Batch) {
        let Some(worker) = &mut self.worker else { return };
        // A row that may be there already must not be made anew: it tells of claims.
        if worker.unregistered && worker.unsure_at.is_none() && batch.register.is_none() {
            batch.register = Some((worker.process.clone(), worker.lease));
        }
        let longest = if worker.draining { Duration::ZERO } else { UNSTARTED };
        for event_id in self.channel.take_unstarted(tick.before(longest)) {
            worker.saturated = true;
            batch.release.extend(self.in_flights.remove(&event_id).map(|in_flight| (in_flight.claim, false)));
        }
        if worker.recover_at <= tick {
            worker.recover_at = tick.after(worker.recovery_interval());
            batch.dead.extend(dead_workers(self.store.as_mut(), &worker.process, self.machine.as_ref()));
            batch.look_lapsed = true;
            batch.look_waiting = true;
            self.look_due = true;
        }
        let changed = self.store.changed_elsewhere().unwrap_or(Some(Change::Any));
        self.backlog |= changed.is_some();
        self.look_due |= changed == Some(Change::Any);
        self.look_due |= self.next_due.is_some_and(|due| due <= tick);
    }

    /// How many steps may be claimed now.
    fn permit(&mut self, tick: Tick, room: usize, batch: &mut Batch) {
        // One that is over must not wake a worker that claims nothing.
        self.contended_until = self.contended_until.filter(|until| tick < *until);
        let Some(worker) = &self.worker else { return };
        if worker.draining || self.inbox.is_closed() {
            return;
        }
        // Ends of attempts may be those of claims that are lost.
        let ending = batch.pending.iter().filter(|pending| self.in_flights.contains(&pending.event_id)).count();
        let held = self.in_flights.len() - ending + self.channel.depth().abandoned;
        let free = worker.config.concurrency.saturating_sub(held);
        let ahead = (worker.config.concurrency + self.prefetch.steps()).saturating_sub(held) - free;
        let free = free.min(room);
        let ahead = if worker.held_back && free == 0 { 0 } else { ahead.min(room - free) };
        let may_find = self.backlog || batch.look_due || batch.units() > 0 || !batch.dead.is_empty();
        let contended = self.contended_until.is_some();
        let look = self.backlog || batch.look_due || batch.look_lapsed || !batch.dead.is_empty();
        let free_hands = free + ahead > 0 && !worker.saturated;
        batch.look_enqueued = look && !contended;
        batch.left_enqueued = look && contended;
        batch.claim =
            (free_hands && may_find && (batch.look_enqueued || batch.units() > 0)).then_some(Permits { free, ahead });
        // What cannot be claimed now must not be forgotten: a permit may come back without a settlement,
        // when the handler of a cancelled step is done.
        self.backlog = may_find;
    }

    fn describe_worker(&mut self, batch: &mut Batch) {
        let Some(worker) = &self.worker else { return };
        let waiting =
            if worker.recorded.unbegun.is_empty() { Default::default() } else { self.channel.waiting_events() };
        let in_flights = || self.in_flights.claims();
        let unbegun = in_flights().filter(|(event_id, flight)| flight.ahead && waiting.contains(*event_id));
        let mut unbegun: Vec<u64> = unbegun.map(|(_, flight)| flight.claim.token).collect();
        // What is to be given back later is as it was: no handler will begin it.
        let later = self.kept.release.iter().map(|(claim, _)| claim.token);
        unbegun.extend(later.filter(|token| worker.recorded.unbegun.contains(token)));
        unbegun.sort_unstable();
        let held = in_flights().map(|(_, flight)| flight.claim.task_id).chain(self.quarantine.parked_tasks());
        let given_back = self.kept.release.iter().chain(&batch.release).map(|(claim, _)| claim.task_id);
        let held = held.chain(worker.unsure_of.iter().copied()).chain(given_back);
        batch.worker = Some(WorkerPart {
            worker_id: Arc::clone(worker.worker_id()),
            lease: worker.lease,
            records: worker.records,
            namespaces: Arc::clone(&worker.namespaces),
            recorded: worker.recorded.clone(),
            unbegun,
            held: held.collect(),
        });
    }

    /// Gives up every claim of a worker that stops.
    pub(super) fn abandon(&mut self, batch: &mut Batch) {
        let Some(worker) = &mut self.worker else { return };
        worker.draining = true;
        // A row that this very transaction made would outlive it.
        batch.register = None;
        batch.dead.push(worker.process.worker_id.to_string());
        let mut claims: Vec<_> = self.in_flights.claims().map(|(_, in_flight)| in_flight.claim).collect();
        claims.sort_unstable_by_key(|claim| (claim.task_id, claim.position));
        batch.release.extend(claims.into_iter().map(|claim| (claim, true)));
        for event_id in self.in_flights.clear() {
            self.channel.revoke(event_id);
        }
        self.channel.close();
    }
}

/// Workers of this machine whose process is gone.
fn dead_workers(store: &mut dyn Store, me: &WorkerProcess, machine: &dyn Machine) -> Vec<String> {
    if me.host.is_empty() {
        return Vec::new();
    }
    let listed = store.begin().and_then(|mut transaction| transaction.workers(&me.host));
    let others = listed.unwrap_or_default().into_iter().filter(|worker| worker.worker_id != me.worker_id);
    others.filter(|worker| machine.is_dead(worker)).map(|worker| worker.worker_id.to_string()).collect()
}
