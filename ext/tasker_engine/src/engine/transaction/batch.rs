//! Owns: what a transaction is made from, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Now, Tick};
use crate::engine::claims::{Claimed, Permits};
use crate::engine::in_flight::Pending;
use crate::engine::inbox::{Reply, Request};
use crate::error::{Error, Result};
use crate::event::DomainEvent;
use crate::graph::Graph;
use crate::plan::{Dropped, Verdict};
use crate::store::{Backlog, Claim, Holdings, WorkerProcess};

/// What one transaction carries, kept until it is known to be durable.
#[derive(Default)]
pub(in crate::engine) struct Batch {
    /// Requests, in the order they came.
    pub(in crate::engine) requests: Vec<Request>,
    /// Ends of attempts.
    pub(in crate::engine) pending: Vec<Pending>,
    /// Claims to give back, and whether their handler had begun.
    pub(in crate::engine) release: Vec<(Claim, bool)>,
    /// A worker to make known, with its lease.
    pub(in crate::engine) register: Option<(WorkerProcess, Duration)>,
    /// Workers whose process is gone, or that stop.
    pub(in crate::engine) dead: Vec<String>,
    /// Whether to look for workers whose lease has run out.
    pub(in crate::engine) look_lapsed: bool,
    /// Whether to look for what is due.
    pub(in crate::engine) look_due: bool,
    /// How much of each kind is dealt with that is due.
    pub(in crate::engine) due_limit: usize,
    /// When it was gathered. What became due since is left to the next one.
    pub(in crate::engine) gathered_at: Now,
    /// The tick before that: waits are counted from it, not from when the transaction was over.
    pub(in crate::engine) gathered: Tick,
    /// The worker that carries it.
    pub(in crate::engine) worker: Option<WorkerPart>,
    /// Whether to look how much waits.
    pub(in crate::engine) look_waiting: bool,
    /// How many steps to claim; `None`: none, and do not look.
    pub(in crate::engine) claim: Option<Permits>,
    /// Whether there may be steps to claim besides those that become ready here.
    pub(in crate::engine) look_enqueued: bool,
    /// Whether there may be such steps that it does not look for, because others are at work on them.
    pub(in crate::engine) left_enqueued: bool,
    /// Whether what it settles must be on the disk though nobody is told of it.
    pub(in crate::engine) flush: bool,
}

/// What a transaction knows of the worker that carries it.
pub(in crate::engine) struct WorkerPart {
    pub(in crate::engine) worker_id: Arc<str>,
    pub(in crate::engine) lease: Duration,
    pub(in crate::engine) namespaces: Arc<[String]>,
    /// Which claims its handlers begin is written down.
    pub(in crate::engine) records: bool,
    /// What its row says.
    pub(in crate::engine) recorded: Holdings,
    /// Tokens of claims that no handler had begun when the batch was gathered.
    pub(in crate::engine) unbegun: Vec<u64>,
    /// Tasks of the claims it holds besides those that the batch settles.
    pub(in crate::engine) held: Vec<i64>,
}

impl Batch {
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.carries_nothing() && !self.look_due && self.claim.is_none()
    }

    /// Whether nothing is in it that happened, or may have: it only claims, and looks for what is due.
    pub(in crate::engine) fn carries_nothing(&self) -> bool {
        self.units() == 0
            && self.release.is_empty()
            && self.register.is_none()
            && self.dead.is_empty()
            && !self.look_lapsed
    }

    /// Whether it carries nothing besides requests and settlements.
    pub(in crate::engine) fn is_bare(&self) -> bool {
        let alone = self.release.is_empty() && self.dead.is_empty() && !self.look_lapsed;
        alone && !self.look_due && self.claim.is_none()
    }

    /// Requests and settlements: what may be tried apart when a transaction fails.
    pub(in crate::engine) fn units(&self) -> usize {
        self.requests.len() + self.pending.len()
    }
}

/// What the transaction made durable.
#[derive(Default)]
pub(in crate::engine) struct Outcome {
    /// Every graph it touched, with its transitions.
    pub(in crate::engine) graphs: Vec<Graph>,
    /// An answer for each request.
    pub(in crate::engine) replies: Vec<Result<Reply>>,
    /// Whether each settlement counted.
    pub(in crate::engine) verdicts: Vec<Verdict>,
    /// Steps claimed.
    pub(in crate::engine) claimed: Vec<Claimed>,
    /// How many claims were given back: those that were still this worker's.
    pub(in crate::engine) released: usize,
    /// Workers that were dead and are forgotten.
    pub(in crate::engine) buried: Vec<Arc<str>>,
    /// Whether there may be more to claim.
    pub(in crate::engine) backlog: bool,
    /// Whether others are at work on all that may be claimed.
    pub(in crate::engine) contended: bool,
    /// Whether the next step is on its last attempt and waits for a free handler.
    pub(in crate::engine) held_back: bool,
    /// Whether there may be more that is due.
    pub(in crate::engine) more_due: bool,
    /// When something is next due, when that was looked up.
    pub(in crate::engine) next_due: Option<Duration>,
    /// Which of the graphs were created.
    pub(in crate::engine) created: Vec<usize>,
    /// What waits in the store, when that was looked up.
    pub(in crate::engine) waiting: Option<Backlog>,
    /// What the worker's row says from now on, when it was written.
    pub(in crate::engine) holdings: Option<Holdings>,
    /// Tasks that make no sense to this version, and why.
    pub(in crate::engine) unreadable: Vec<(i64, String)>,
    /// What it published.
    pub(in crate::engine) events: Vec<Arc<DomainEvent>>,
    /// Events that it did not publish, because they do not fit.
    pub(in crate::engine) dropped_events: Vec<Dropped>,
}

/// A transaction that failed.
pub(in crate::engine) struct Failure {
    pub(in crate::engine) error: Error,
    /// The store let it begin: what was written may be at fault.
    pub(in crate::engine) reached: bool,
    /// Tasks it had loaded.
    pub(in crate::engine) tasks: Vec<i64>,
}
