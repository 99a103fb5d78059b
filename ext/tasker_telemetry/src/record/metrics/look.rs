//! Owns: how the engine is when somebody asks for metrics. Refuses: blocking on a store.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;

use super::series;

/// How an engine is at this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Step events that no handler thread has taken up.
    pub channel_depth: usize,
    /// Handler threads that run a step.
    pub handlers_busy: usize,
    /// Handler threads there are.
    pub handlers_max: usize,
    /// 0 no worker, 1 draining, 2 running.
    pub worker_state: u8,
    /// Tasks that are not over, as of the last look into the store.
    pub tasks_active: usize,
    /// Workers of all processes whose lease had not run out, as of that look.
    pub workers_active: usize,
    /// The queues, as of that look.
    pub queues: Vec<QueueLook>,
    /// 0 closed, 1 half-open, 2 open.
    pub breaker_state: u8,
    /// Connections to the store: active, idle, and at most.
    pub connections: [usize; 3],
}

/// How a namespace's queue was at the last look into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueLook {
    /// The namespace.
    pub namespace: Arc<str>,
    /// Enqueued steps.
    pub depth: usize,
    /// Seconds the longest waiting of them had waited.
    pub lag_seconds: f64,
}

/// Queues that get series of their own; the others share `other`.
const QUEUES: usize = 200;

/// A value for each queue, with its namespace; those that share a series give it what `join` makes of theirs.
pub(crate) fn by_queue(
    look: &Look,
    value: impl Fn(&QueueLook) -> f64,
    join: impl Fn(f64, f64) -> f64,
    mut put: impl FnMut(f64, &str),
) {
    let (own, others) = look.queues.split_at(look.queues.len().min(QUEUES));
    for queue in own {
        put(value(queue), &queue.namespace);
    }
    if let Some(together) = others.iter().map(value).reduce(join) {
        put(together, series::OTHER);
    }
}

/// Who can be asked for a [`Look`]. Must not block.
pub trait Probe: Send + Sync {
    /// How it is now.
    fn look(&self) -> Look;
}

struct Watched(Weak<dyn Probe>);

static WATCHED: ArcSwapOption<Watched> = ArcSwapOption::const_empty();

/// From now on this engine is the one whose gauges are shown; the one opened last wins.
pub fn watch(probe: &Arc<impl Probe + 'static>) {
    let weak: Weak<dyn Probe> = Arc::<_>::downgrade(probe) as Weak<dyn Probe>;
    WATCHED.store(Some(Arc::new(Watched(weak))));
}

/// How the watched engine is now; `None` when there is none any more.
pub(crate) fn look() -> Option<Look> {
    WATCHED.load().as_ref().and_then(|watched| watched.0.upgrade()).map(|probe| probe.look())
}

pub(super) fn forget() {
    std::mem::forget(WATCHED.swap(None));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_beyond_the_bound_share_a_series() {
        let queue = |n: usize| QueueLook { namespace: format!("q{n}").into(), depth: 1, lag_seconds: n as f64 };
        let look = Look { queues: (0..QUEUES + 3).map(queue).collect(), ..Look::default() };
        let mut shown = Vec::new();
        let mut put = |value: f64, namespace: &str| shown.push((namespace.to_owned(), value));
        by_queue(&look, |queue| queue.depth as f64, |one, other| one + other, &mut put);
        by_queue(&look, |queue| queue.lag_seconds, f64::max, &mut put);
        assert_eq!(shown.len(), 2 * (QUEUES + 1));
        assert_eq!(shown[QUEUES], ("other".into(), 3.0));
        assert_eq!(shown[QUEUES + 1..][QUEUES], ("other".into(), (QUEUES + 2) as f64));
        assert_eq!(shown[QUEUES - 1], (format!("q{}", QUEUES - 1), 1.0));
    }
}
