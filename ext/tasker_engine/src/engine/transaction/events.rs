//! Owns: the domain events of a transaction: those of the attempts that end in it, and those that were published outside.

use std::sync::Arc;

use super::Working;
use crate::engine::in_flight::AttemptInputs;
use crate::error::Result;
use crate::event::{DomainEvent, Said};
use crate::plan::{self, Announcement};
use crate::store::Inputs;
use tasker_telemetry::record::sampling;

impl Working<'_> {
    /// Takes up what the attempt that has just ended publishes. `inputs` is what its worker remembers of what it worked on.
    pub(super) fn announce(
        &mut self,
        at: usize,
        position: usize,
        said: Option<&Said>,
        inputs: Option<&AttemptInputs>,
    ) -> Result<()> {
        if !plan::announces(self.graph(at), position, said) {
            return Ok(());
        }
        let AttemptInputs { context, steps } = self.worked_on(at, position, inputs)?;
        let graph = &self.graphs[at];
        let Announcement { events, dropped } = plan::announce(graph, position, said, &context, &steps, self.means.dice);
        let sampled = sampling::steps(&graph.task.template.namespace).keeps(graph.steps[position].step_uuid);
        for mut event in events {
            if let Some(trace) = &mut event.trace {
                trace.sampled &= sampled;
            }
            self.events.push(Arc::new(event));
        }
        self.dropped_events.extend(dropped);
        Ok(())
    }

    /// What the attempt worked on: as its worker remembers it, else as it is stored.
    fn worked_on(&mut self, at: usize, position: usize, inputs: Option<&AttemptInputs>) -> Result<AttemptInputs> {
        if let Some(inputs) = inputs {
            return Ok(inputs.clone());
        }
        let declared = &self.graph(at).task.template.steps[position].publishes_events;
        let reads_steps =
            declared.iter().any(|event| event.key.as_ref().is_some_and(|key| key.steps().next().is_some()));
        if let (Some(context), false) = (&self.graph(at).task.context, reads_steps) {
            return Ok(AttemptInputs { context: Arc::clone(context), steps: Vec::new() });
        }
        let mut found = self.inputs(&[(at, position)])?;
        let Inputs { context, dependency_results } = found.swap_remove(0);
        Ok(AttemptInputs { context, steps: dependency_results })
    }

    /// Takes up events that were published outside of attempts.
    pub(super) fn publish(&mut self, events: &[Arc<DomainEvent>]) {
        self.events.extend(events.iter().map(Arc::clone));
    }

    /// Writes those of the events that travel through the store, all at once.
    pub(super) fn write_events(&mut self) -> Result<()> {
        let durable = |event: &&Arc<DomainEvent>| event.delivery_mode.is_durable();
        let durable: Vec<Arc<DomainEvent>> = self.events.iter().filter(durable).cloned().collect();
        if durable.is_empty() {
            return Ok(());
        }
        self.transaction.publish(&durable)
    }
}
