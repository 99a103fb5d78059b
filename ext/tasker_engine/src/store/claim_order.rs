//! Owns: the order in which enqueued steps are claimed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::Candidate;

/// Puts steps in the order they are to be claimed: by priority; of equal priority the namespaces take turns, so that
/// one's flood is not another's wait; within a namespace by `age`, so that tasks are finished before new ones begin.
pub fn claim_order<T, A: Ord>(
    mut steps: Vec<T>,
    candidate: impl Fn(&T) -> &Candidate,
    age: impl Fn(&T, &Candidate) -> A,
) -> Vec<T> {
    steps.sort_by_cached_key(|step| age(step, candidate(step)));
    let mut turns: HashMap<(Arc<str>, i32), usize> = HashMap::new();
    let turn = |step: T| {
        let Candidate { namespace, priority, .. } = candidate(&step);
        let turn = turns.entry((Arc::clone(namespace), *priority)).or_default();
        *turn += 1;
        (Reverse(*priority), *turn, step)
    };
    let mut placed: Vec<(Reverse<i32>, usize, T)> = steps.into_iter().map(turn).collect();
    placed.sort_by_key(|(priority, turn, _)| (*priority, *turn));
    placed.into_iter().map(|(_, _, step)| step).collect()
}
