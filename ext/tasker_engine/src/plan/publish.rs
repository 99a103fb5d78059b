//! Owns: which domain events the end of an attempt publishes, and whether what its handler published may be: all of it
//! follows from the graph, from what came with the completion, and from the template. Refuses: events of what is no end of
//! an attempt: a claim that is given back, a step that is cancelled or resolved by hand.

use std::sync::Arc;

use serde_json::json;

use crate::event::{
    check_key, check_name, check_payload, AttemptFacts, DeliveryMode, DomainEvent, DomainEventPayload, EventMetadata,
    EventTrace, KeySource, Said, EVENTS_OF_ATTEMPT,
};
use crate::graph::Graph;
use crate::ids::Dice;
use crate::state::StepState;
use crate::step::StepError;
use crate::template::EventDeclaration;

/// What the end of an attempt publishes.
#[derive(Debug, Default)]
pub struct Announcement {
    /// The events, in order.
    pub events: Vec<DomainEvent>,
    /// Those that are not published, because their payload does not fit.
    pub dropped: Vec<Dropped>,
}

/// An event that is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// How it would have travelled.
    pub delivery_mode: DeliveryMode,
    /// What is wrong with it.
    pub why: String,
}

/// Why an attempt that succeeded fails for good all the same: something that it publishes through the store does not fit its
/// schema, or is not allowed. `result` is the attempt's.
pub fn misfit(graph: &Graph, position: usize, result: &str, said: Option<&Said>) -> Option<StepError> {
    let declared = declared(graph, position);
    if declared.is_empty() && said.is_none() {
        return None;
    }
    let refusal = said.and_then(|said| refused(said, declared)).or_else(|| {
        let durable = declared.iter().filter(|event| event.delivery_mode.is_durable());
        durable.filter(|event| event.condition.holds(true, false)).find_map(|event| {
            let payload = said.and_then(|said| said.payload(&event.name)).map_or(result, |payload| payload);
            event.misfit(payload).map(|what| format!("event {}: {what}", event.name))
        })
    });
    refusal.map(|message| StepError {
        class_name: "TaskerCore::ValidationError".into(),
        message,
        retryable: false,
        ..StepError::default()
    })
}

/// What is not allowed in what a handler published.
fn refused(said: &Said, declared: &[EventDeclaration]) -> Option<String> {
    if said.events.len() > EVENTS_OF_ATTEMPT {
        let count = said.events.len();
        return Some(format!("the attempt published {count} events; at most {EVENTS_OF_ATTEMPT} are allowed"));
    }
    let published = said.events.iter().find_map(|event| {
        let allowed = check_name(&event.name)
            .and_then(|()| event.key.as_ref().map_or(Ok(()), |key| check_key(&event.name, key)))
            .and_then(|()| check_payload(&event.name, &event.payload));
        allowed.err().or_else(|| {
            let declared =
                declared.iter().find(|known| known.name == event.name && event.delivery_mode.is_durable())?;
            declared.misfit(&event.payload).map(|what| format!("event {}: {what}", event.name))
        })
    });
    published.or_else(|| said.payloads.iter().find_map(|(name, payload)| check_payload(name, payload).err()))
}

/// Whether the attempt that has just ended at `position` publishes anything.
pub fn announces(graph: &Graph, position: usize, said: Option<&Said>) -> bool {
    let declared = declared(graph, position);
    if declared.is_empty() && said.is_none() {
        return false;
    }
    let Some((success, goes_on)) = outcome(graph, position) else { return false };
    let published = success && said.is_some_and(|said| !said.events.is_empty());
    published || declared.iter().any(|event| event.condition.holds(success, goes_on))
}

/// What the attempt that has just ended at `position` publishes. `context` is its task's, `steps` are results of its
/// dependencies, as far as keys are made from them.
pub fn announce(
    graph: &Graph,
    position: usize,
    said: Option<&Said>,
    context: &Arc<str>,
    steps: &[(Arc<str>, Arc<str>)],
    dice: &mut Dice,
) -> Announcement {
    let mut announcement = Announcement::default();
    let Some((success, goes_on)) = outcome(graph, position) else { return announcement };
    let Some(mut maker) = Maker::of(graph, position, context, dice) else { return announcement };
    let (result, namespace) = (Arc::clone(&maker.result), Arc::clone(&maker.metadata.namespace));
    let source = KeySource { input: context, steps, result: success.then_some(&*result) };
    let drop = |name: &Arc<str>, delivery_mode, why| Dropped {
        name: Arc::clone(name),
        namespace: Arc::clone(&namespace),
        delivery_mode,
        why,
    };
    for event in said.iter().filter(|_| success).flat_map(|said| &said.events) {
        let known = declared(graph, position).iter().find(|known| known.name == event.name);
        if let Some(why) = known.and_then(|known| known.misfit(&event.payload)) {
            announcement.dropped.push(drop(&event.name, event.delivery_mode, why));
            continue;
        }
        let mut made = maker.make(Arc::clone(&event.name), Arc::clone(&event.payload), event.delivery_mode);
        made.event_id = event.event_id;
        made.key = event.key.clone().or_else(|| known.and_then(|known| known.key.as_ref()?.of(source)));
        announcement.events.push(made);
    }
    let holds = |event: &&EventDeclaration| event.condition.holds(success, goes_on);
    for event in declared(graph, position).iter().filter(holds) {
        let made_by_class = said.and_then(|said| said.payload(&event.name));
        let payload = made_by_class.map_or_else(|| Arc::clone(&result), Arc::clone);
        if let Some(why) = event.misfit(&payload) {
            announcement.dropped.push(drop(&event.name, event.delivery_mode, why));
            continue;
        }
        let mut made = maker.make(Arc::clone(&event.name), payload, event.delivery_mode);
        made.key = event.key.as_ref().and_then(|key| key.of(source));
        announcement.events.push(made);
    }
    announcement
}

fn declared(graph: &Graph, position: usize) -> &[EventDeclaration] {
    graph.task.template.steps.get(position).map_or(&[], |step| &step.publishes_events)
}

/// How the attempt that has just ended did: whether its result was kept, and whether another one follows.
fn outcome(graph: &Graph, position: usize) -> Option<(bool, bool)> {
    let step = graph.steps.get(position).filter(|step| step.settled)?;
    match step.state {
        StepState::Complete => Some((true, false)),
        StepState::Error => Some((false, false)),
        StepState::WaitingForRetry | StepState::Enqueued => Some((false, true)),
        _ => None,
    }
}

/// Makes the events of one attempt: what they say alike is made once.
struct Maker<'a> {
    graph: &'a Graph,
    facts: AttemptFacts,
    /// The payload where nobody made one: the result, or what is known of the error.
    result: Arc<str>,
    success: bool,
    metadata: EventMetadata,
    parent: Option<u64>,
    dice: &'a mut Dice,
}

impl<'a> Maker<'a> {
    fn of(graph: &'a Graph, position: usize, context: &Arc<str>, dice: &'a mut Dice) -> Option<Maker<'a>> {
        let (task, step) = (&graph.task, graph.steps.get(position)?);
        let template = task.template.steps.get(position)?;
        let ends =
            |transition: &&crate::graph::StepTransition| transition.position == position && transition.ended.is_some();
        let ended = graph.step_transitions.iter().rev().find(ends)?;
        let result = match (&step.result, &step.error) {
            (_, Some(error)) => failure(error),
            (Some(result), None) => Arc::clone(result),
            (None, None) => Arc::from("null"),
        };
        Some(Maker {
            graph,
            facts: AttemptFacts {
                task_name: Arc::clone(&task.template.name),
                step_name: Arc::clone(&template.name),
                attempt: ended.attempt,
                context: Arc::clone(context),
            },
            result,
            success: step.error.is_none(),
            metadata: EventMetadata {
                task_uuid: Some(task.task_uuid),
                step_uuid: Some(step.step_uuid),
                step_name: Some(Arc::clone(&template.name)),
                namespace: Arc::clone(&task.template.namespace),
                correlation_id: Some(task.correlation_id),
                fired_at: ended.at,
                fired_by: ended.worker_id.clone().unwrap_or_else(|| Arc::from("")),
            },
            parent: ended.ended.as_ref().and_then(|ended| ended.token),
            dice,
        })
    }

    fn make(&mut self, name: Arc<str>, payload: Arc<str>, delivery_mode: DeliveryMode) -> DomainEvent {
        let result = Arc::clone(&self.result);
        let payload = DomainEventPayload {
            task_sequence_step: Some(self.facts.clone()),
            execution_result: Some(if self.success { Ok(result) } else { Err(result) }),
            payload,
        };
        let trace = &self.graph.task.trace;
        let event_id = self.dice.uuid_v7(self.metadata.fired_at);
        let mut event = DomainEvent::new(event_id, name, payload, self.metadata.clone());
        event.delivery_mode = delivery_mode;
        event.trace = Some(EventTrace {
            trace_id: trace.trace_id,
            span_id: self.dice.span_id(),
            parent_span_id: self.parent,
            sampled: trace.sampled,
        });
        event
    }
}

/// What an event says of an error: no backtrace, and the message as logs may show it.
fn failure(error: &StepError) -> Arc<str> {
    let StepError { class_name, code, field, attempt, retryable, .. } = error;
    let told = json!({
        "class": class_name, "message": error.shown(), "code": code, "field": field, "attempt": attempt,
        "retryable": retryable,
    });
    told.to_string().into()
}
