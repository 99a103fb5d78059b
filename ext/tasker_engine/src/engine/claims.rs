//! Owns: which steps are claimed.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Result;
use crate::plan;
use crate::state::StepState;
use crate::store::{claim_order, Candidate, Claimable, Inputs};

use super::transaction::Working;

/// How many steps may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permits {
    /// For handler threads that are free.
    pub(super) free: usize,
    /// Ahead of them.
    pub(super) ahead: usize,
}

impl Permits {
    fn total(self) -> usize {
        self.free + self.ahead
    }
}

/// A step that was claimed.
pub(super) struct Claimed {
    /// Which of the transaction's graphs.
    pub(super) graph: usize,
    /// Which step of it.
    pub(super) position: usize,
    /// What it works on.
    pub(super) inputs: Inputs,
    /// It was claimed ahead of a free handler: until one begins it, it costs no attempt should this worker die.
    pub(super) ahead: bool,
}

/// What was claimed.
#[derive(Default)]
pub(super) struct Choice {
    pub(super) claimed: Vec<Claimed>,
    /// Whether there may be more to claim.
    pub(super) backlog: bool,
    /// Whether others are at work on all that could be claimed.
    pub(super) contended: bool,
    /// Whether the next one is on its last attempt and waits for a free handler.
    pub(super) held_back: bool,
}

/// Claims steps, in the order of [`claim_order`]: a step that became ready in this very transaction stands where it would
/// stand anyway, and needs no second commit when its turn has come. Without `look` there are no others.
///
/// A step on its last attempt is never claimed ahead of a free handler: should the process die before a handler begins
/// it, nobody could tell for certain. It waits for one, and so does all that comes after it.
pub(super) fn choose(
    work: &mut Working<'_>,
    permits: Permits,
    worker_id: &Arc<str>,
    namespaces: &[String],
    look: bool,
) -> Result<Choice> {
    if permits.total() == 0 {
        return Ok(Choice { backlog: true, ..Choice::default() });
    }
    let mut candidates = ready_here(work, namespaces);
    let stored = if look { work.claimable(namespaces, permits.total())? } else { Claimable::default() };
    let mut choice = Choice { backlog: stored.more, ..Choice::default() };
    let there = !stored.steps.is_empty();
    let elsewhere = stored.steps.into_iter().filter(|stored| work.at(stored.task_id).is_none());
    candidates.extend(elsewhere.map(|stored| (stored, None)));
    candidates = claim_order(
        candidates,
        |(candidate, _)| candidate,
        |(_, at), candidate| (age(candidate), *at, candidate.position),
    );
    choice.backlog |= candidates.len() > permits.total();
    let mut steps = Vec::with_capacity(permits.total().min(candidates.len()));
    let mut candidates = candidates.as_slice();
    let mut taken = 0;
    let unreadable = work.unreadable();
    // What others are at work on is passed over, and the next ones are looked at.
    while steps.len() < permits.total() && !candidates.is_empty() {
        let (next, later) = candidates.split_at(load_next(work, candidates, permits.total() - steps.len())?);
        candidates = later;
        for (candidate, at) in next {
            if steps.len() == permits.total() {
                break;
            }
            let Some(graph) = at.or_else(|| work.at(candidate.task_id)) else {
                // Whoever is at work on its task may leave it as it is.
                choice.backlog = true;
                continue;
            };
            let step = work.graph(graph).steps.get(candidate.position);
            // Somebody may have taken it before its task could be locked.
            let Some(step) = step.filter(|step| step.state == StepState::Enqueued) else { continue };
            taken += 1;
            if steps.len() >= permits.free && step.attempts + 1 >= step.max_attempts {
                (choice.backlog, choice.held_back) = (true, true);
                candidates = &[];
                break;
            }
            work.plan(graph, |graph, now, dice| plan::claim(graph, candidate.position, worker_id, now, dice))?;
            steps.push((graph, candidate.position));
        }
    }
    // What makes no sense is left alone from now on: the next look finds what comes after it.
    choice.backlog |= there && taken == 0;
    choice.contended = there && taken == 0 && work.unreadable() == unreadable;
    let inputs = work.inputs(&steps)?;
    let claimed = steps.into_iter().zip(inputs).enumerate();
    choice.claimed = claimed
        .map(|(number, ((graph, position), inputs))| Claimed { graph, position, inputs, ahead: number >= permits.free })
        .collect();
    Ok(choice)
}

type Found = (Candidate, Option<usize>);

/// Loads tasks of the next candidates, as many as `room` steps need. Gives how many of the candidates have then been dealt
/// with: those among them that are not loaded could not be had.
fn load_next(work: &mut Working<'_>, candidates: &[Found], room: usize) -> Result<usize> {
    let (mut known, mut wanted, mut most) = (HashSet::new(), Vec::new(), 0);
    for (number, (candidate, at)) in candidates.iter().enumerate() {
        let task_id = candidate.task_id;
        if at.is_none() && work.at(task_id).is_none() && known.insert(task_id) {
            wanted.push(task_id);
            most += usize::from(number < room);
        }
    }
    let loaded = if most == 0 { Vec::new() } else { work.load_claimable(&wanted, most)? };
    if loaded.len() < most {
        return Ok(candidates.len());
    }
    let farthest = wanted.iter().rfind(|task_id| loaded.contains(task_id));
    let last = candidates.iter().position(|(candidate, _)| Some(&candidate.task_id) == farthest);
    Ok(last.map_or(0, |last| last + 1).max(room).min(candidates.len()))
}

/// Enqueued steps of the tasks this transaction has loaded anyway.
fn ready_here(work: &Working<'_>, namespaces: &[String]) -> Vec<Found> {
    let mut ready = Vec::new();
    for (at, graph) in work.graphs().enumerate() {
        let task = &graph.task;
        if !namespaces.is_empty() && !namespaces.iter().any(|name| **name == *task.template.namespace) {
            continue;
        }
        for (position, step) in graph.steps.iter().enumerate() {
            if step.state == StepState::Enqueued {
                let namespace = Arc::clone(&task.template.namespace);
                ready.push((Candidate { namespace, priority: task.priority, task_id: task.id, position }, Some(at)));
            }
        }
    }
    ready
}

/// A task that has no number yet is the youngest.
fn age(candidate: &Candidate) -> i64 {
    if candidate.task_id == 0 {
        i64::MAX
    } else {
        candidate.task_id
    }
}
