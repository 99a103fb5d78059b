//! Owns: how many steps a worker claims beyond what its handlers can begin at once.

/// The most steps claimed ahead.
const MOST: usize = 200;

/// How many claims a worker may hold beyond its handler threads.
///
/// While a transaction is in flight, handlers that finish have nothing to go on with unless the next
/// steps are here already. So a worker claims ahead what its handlers will finish during one
/// transaction, judged by the last one, and no more: with handlers that take longer than a commit
/// that is nothing.
#[derive(Debug, Default)]
pub(super) struct Prefetch {
    handler_ms: f64,
    transaction_ms: f64,
    steps: usize,
}

impl Prefetch {
    /// Takes note of a transaction: how long it took, how many completions came in meanwhile; and, when the
    /// handlers were out of work at its end, how many it settled: they could have had more to do.
    pub(super) fn observe(&mut self, transaction_ms: f64, arrived: usize, short_of: Option<usize>, concurrency: usize) {
        self.transaction_ms += (transaction_ms - self.transaction_ms) / 8.0;
        let finished =
            if self.handler_ms > 0.0 { concurrency as f64 * transaction_ms / self.handler_ms } else { f64::MAX };
        let wanted = short_of.map_or(arrived, |settled| arrived.max(settled) * 3 / 2);
        let judged = wanted.min(finished as usize).min(MOST);
        // Quick to claim more, slow to claim less.
        self.steps = judged.max(self.steps - self.steps.div_ceil(8));
    }

    /// Takes note of how long a handler ran. What is kept is close to the median, not the mean: of a
    /// thousand brisk handlers one that had to wait 100 ms for its turn to run says nothing.
    pub(super) fn observe_handler(&mut self, execution_time_ms: f64) {
        let ms = execution_time_ms.clamp(0.001, 1e9);
        self.handler_ms = match self.handler_ms {
            0.0 => ms,
            kept if ms > kept => (kept * 1.5).min(ms),
            kept => (kept / 1.5).max(ms),
        };
    }

    /// Whether handlers finish faster than transactions do.
    pub(super) fn handlers_are_faster(&self) -> bool {
        self.handler_ms > 0.0 && self.handler_ms < self.transaction_ms
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}
