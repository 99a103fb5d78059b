//! Owns: the states of a task.

super::state_machine! {
    /// Where a task is in its life.
    TaskState {
        /// Submitted; its `run_at` has not come yet.
        Pending = "pending" => [Initializing, Cancelled],
        /// Its steps are being made.
        Initializing = "initializing" => [EnqueuingSteps],
        /// Steps that may run are being enqueued.
        EnqueuingSteps = "enqueuing_steps" => [StepsInProcess],
        /// Steps are enqueued or run.
        StepsInProcess = "steps_in_process" => [EvaluatingResults, Cancelled],
        /// A step settled; what follows is being decided.
        EvaluatingResults = "evaluating_results" => [
            EnqueuingSteps, StepsInProcess, WaitingForDependencies, WaitingForRetry, BlockedByFailures,
            Complete, Error
        ],
        /// Nothing new may start until a step that is in process settles.
        WaitingForDependencies = "waiting_for_dependencies" => [EvaluatingResults, EnqueuingSteps, Cancelled],
        /// Nothing runs; a step waits for its next attempt.
        WaitingForRetry = "waiting_for_retry" => [EnqueuingSteps, EvaluatingResults, Cancelled],
        /// A failed step keeps others from ever running.
        BlockedByFailures = "blocked_by_failures" => [Error],
        /// Every step is complete.
        Complete = "complete" => [],
        /// A step failed for good. An operator may re-run it or resolve it.
        Error = "error" => [EnqueuingSteps, EvaluatingResults, ResolvedManually],
        /// Stopped on request.
        Cancelled = "cancelled" => [],
        /// An operator declared it done.
        ResolvedManually = "resolved_manually" => [],
    }
}

impl TaskState {
    /// Whether the task is over as far as the engine is concerned. `error` is final until an
    /// operator steps in.
    pub fn is_final(self) -> bool {
        matches!(self, TaskState::Complete | TaskState::Error | TaskState::Cancelled | TaskState::ResolvedManually)
    }
}
