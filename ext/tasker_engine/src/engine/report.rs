//! Owns: telling people what a committed transaction did, in the order in which it happened: log lines, spans, counts.

mod lifecycle;
mod lines;
pub(super) mod worker;

use super::attempts::{Attempts, Stale};
use super::shared::Counters;
use super::trace;
use super::transaction::Outcome;
use crate::channel::StepEvent;
use crate::clock::Clock;
use crate::events::{self, EventRouter, InProcessEventBus};
use crate::graph::Graph;
use crate::ids::Dice;
use tasker_telemetry::record::spans as recorder;

/// Reports every change in `graphs`, some of which were `created`. Spans take their ids from `dice`.
pub(super) fn report(graphs: &[Graph], created: &[usize], attempts: &Attempts, counters: &Counters, dice: &mut Dice) {
    let mut spans = Vec::new();
    let record = recorder::enabled();
    for (at, graph) in graphs.iter().enumerate() {
        if graph.task_transitions.iter().any(|transition| transition.to.is_final()) {
            Counters::add(&counters.finalized, 1);
        }
        if created.contains(&at) {
            lines::created(graph);
        }
        lines::moves(graph);
        if record {
            trace::spans(graph, attempts, dice, &mut spans);
        }
    }
    if !spans.is_empty() {
        recorder::record_all(spans);
    }
}

/// Tells this process of what was published, and of what moved when somebody wants to hear of that.
pub(super) fn events(bus: &InProcessEventBus, outcome: &Outcome, attempts: &Attempts, clock: &Clock) {
    EventRouter::gone(bus, &outcome.events, clock);
    for dropped in &outcome.dropped_events {
        events::dropped(&dropped.name, &dropped.namespace, dropped.delivery_mode, &dropped.why);
    }
    if bus.wants_lifecycle() {
        let created = |at: usize| outcome.created.contains(&at);
        let all = outcome.graphs.iter().enumerate();
        bus.tell(all.flat_map(|(at, graph)| lifecycle::items(graph, created(at), attempts)).collect());
    }
}

/// Reports that an attempt's event goes to the handler threads.
pub(super) fn fired(event: &StepEvent) {
    lines::fired(event);
}

/// Reports a result that was refused, because its attempt is no longer current.
pub(super) fn stale(refused: &Stale) {
    if recorder::enabled() {
        recorder::record_all(trace::stale(refused).into_iter().collect());
    }
    lines::stale(refused);
}
