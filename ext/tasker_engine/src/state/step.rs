//! Owns: the states of a step.

super::state_machine! {
    /// Where a step is in its life.
    StepState {
        /// Waits for the steps it depends on.
        Pending = "pending" => [Enqueued, Cancelled, ResolvedManually],
        /// May be claimed.
        Enqueued = "enqueued" => [InProgress, Cancelled, ResolvedManually],
        /// Claimed under a lease; an attempt runs.
        InProgress = "in_progress" => [Complete, Error, WaitingForRetry, Enqueued, Cancelled, ResolvedManually],
        /// An attempt failed; the next one waits for its backoff.
        WaitingForRetry = "waiting_for_retry" => [Enqueued, Cancelled, ResolvedManually],
        /// Done, with a result.
        Complete = "complete" => [],
        /// Failed for good. An operator may re-run or resolve it.
        Error = "error" => [Enqueued, ResolvedManually],
        /// Stopped on request.
        Cancelled = "cancelled" => [],
        /// An operator declared it done, perhaps with a result.
        ResolvedManually = "resolved_manually" => [],
    }
}

impl StepState {
    /// Whether steps that depend on this one may run.
    pub fn satisfies_dependents(self) -> bool {
        matches!(self, StepState::Complete | StepState::ResolvedManually)
    }

    /// Whether the step will move by itself: it is enqueued, runs, or waits for a retry.
    pub fn is_active(self) -> bool {
        matches!(self, StepState::Enqueued | StepState::InProgress | StepState::WaitingForRetry)
    }
}
