//! Owns: what a transaction is made from, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::Verdict;
use crate::store::{Backlog, Claim, Holdings, WorkerProcess};
use crate::worker::claims::{Claimed, Permits};
use crate::worker::in_flight::Pending;
use crate::worker::inbox::{Reply, Request};

/// What one transaction carries, kept until it is known to be durable.
#[derive(Default)]
pub(in crate::worker) struct Batch {
    /// Requests, in the order they came.
    pub(in crate::worker) requests: Vec<Request>,
    /// Ends of attempts.
    pub(in crate::worker) pending: Vec<Pending>,
    /// Claims to give back, and whether their handler had begun.
    pub(in crate::worker) release: Vec<(Claim, bool)>,
    /// A worker to make known, with its lease.
    pub(in crate::worker) register: Option<(WorkerProcess, Duration)>,
    /// Workers whose process is gone, or that stop.
    pub(in crate::worker) dead: Vec<String>,
    /// Whether to look for workers whose lease has run out.
    pub(in crate::worker) look_lapsed: bool,
    /// Whether to look for what is due.
    pub(in crate::worker) look_due: bool,
    /// How much of each kind is dealt with that is due.
    pub(in crate::worker) due_limit: usize,
    /// When it was gathered. What became due since is left to the next one.
    pub(in crate::worker) gathered_at: Now,
    /// The worker that carries it.
    pub(in crate::worker) worker: Option<WorkerPart>,
    /// Whether to look how much waits.
    pub(in crate::worker) look_waiting: bool,
    /// How many steps to claim; `None`: none, and do not look.
    pub(in crate::worker) claim: Option<Permits>,
    /// Whether there may be steps to claim besides those that become ready here.
    pub(in crate::worker) look_enqueued: bool,
    /// Whether there may be such steps that it does not look for, because others are at work on them.
    pub(in crate::worker) left_enqueued: bool,
    /// Whether it must be on the disk though nobody is told of it.
    pub(in crate::worker) flush: bool,
}

/// What a transaction knows of the worker that carries it.
pub(in crate::worker) struct WorkerPart {
    pub(in crate::worker) worker_id: Arc<str>,
    pub(in crate::worker) lease: Duration,
    pub(in crate::worker) namespaces: Arc<[String]>,
    /// Which claims its handlers begin is written down.
    pub(in crate::worker) records: bool,
    /// What its row says.
    pub(in crate::worker) recorded: Holdings,
    /// Tokens of claims that no handler had begun when the batch was gathered.
    pub(in crate::worker) unbegun: Vec<u64>,
    /// Tasks of the claims it holds besides those that the batch settles.
    pub(in crate::worker) held: Vec<i64>,
}

impl Batch {
    pub(in crate::worker) fn is_empty(&self) -> bool {
        self.units() == 0
            && self.release.is_empty()
            && self.register.is_none()
            && self.dead.is_empty()
            && !self.look_lapsed
            && !self.look_due
            && self.claim.is_none()
    }

    /// Whether it carries nothing besides requests and settlements.
    pub(in crate::worker) fn is_bare(&self) -> bool {
        let alone = self.release.is_empty() && self.dead.is_empty() && !self.look_lapsed;
        alone && !self.look_due && self.claim.is_none()
    }

    /// Requests and settlements: what may be tried apart when a transaction fails.
    pub(in crate::worker) fn units(&self) -> usize {
        self.requests.len() + self.pending.len()
    }
}

/// What the transaction made durable.
#[derive(Default)]
pub(in crate::worker) struct Outcome {
    /// Every graph it touched, with its transitions.
    pub(in crate::worker) graphs: Vec<Graph>,
    /// An answer for each request.
    pub(in crate::worker) replies: Vec<Result<Reply>>,
    /// Whether each settlement counted.
    pub(in crate::worker) verdicts: Vec<Verdict>,
    /// Steps claimed.
    pub(in crate::worker) claimed: Vec<Claimed>,
    /// How many claims were given back: those that were still this worker's.
    pub(in crate::worker) released: usize,
    /// Workers that were dead and are forgotten.
    pub(in crate::worker) buried: Vec<Arc<str>>,
    /// Whether there may be more to claim.
    pub(in crate::worker) backlog: bool,
    /// Whether others are at work on all that may be claimed.
    pub(in crate::worker) contended: bool,
    /// Whether the next step is on its last attempt and waits for a free handler.
    pub(in crate::worker) held_back: bool,
    /// Whether there may be more that is due.
    pub(in crate::worker) more_due: bool,
    /// When something is next due, when that was looked up.
    pub(in crate::worker) next_due: Option<Duration>,
    /// Which of the graphs were created.
    pub(in crate::worker) created: Vec<usize>,
    /// What waits in the store, when that was looked up.
    pub(in crate::worker) waiting: Option<Backlog>,
    /// What the worker's row says from now on, when it was written.
    pub(in crate::worker) holdings: Option<Holdings>,
    /// Tasks that make no sense to this version, and why.
    pub(in crate::worker) unreadable: Vec<(i64, String)>,
}

/// A transaction that failed.
pub(in crate::worker) struct Failure {
    pub(in crate::worker) error: Error,
    /// The store let it begin: what was written may be at fault.
    pub(in crate::worker) reached: bool,
    /// Tasks it had loaded.
    pub(in crate::worker) tasks: Vec<i64>,
}
