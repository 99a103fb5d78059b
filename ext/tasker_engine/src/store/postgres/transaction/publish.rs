//! Owns: how a transaction writes domain events: few together with the COMMIT, many with a statement of their own.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::events::{self, Rows};
use super::PostgresTransaction;
use crate::error::Result;
use crate::event::DomainEvent;
use crate::store::postgres::write::Probe;

/// The most events, and bytes of them, that go together with the COMMIT.
const FEW: usize = 16;
const FEW_BYTES: usize = 256 * 1024;

/// Namespaces whose queue of events is there, as far as this session has seen.
#[derive(Default)]
pub(in super::super) struct EventQueues {
    known: HashSet<Arc<str>>,
    /// Those of this transaction: known once it is committed.
    made: Vec<Arc<str>>,
    /// Whether this transaction wrote events.
    written: bool,
}

impl EventQueues {
    /// The transaction was committed.
    pub(in super::super) fn committed(&mut self) {
        self.known.extend(self.made.drain(..));
        self.written = false;
    }

    /// It was not, unless [`EventQueues::committed`] was called; and a queue that is gone may be why.
    pub(in super::super) fn roll_back(&mut self) {
        if self.written {
            *self = EventQueues::default();
        }
    }
}

impl PostgresTransaction<'_> {
    pub(super) fn write_events(&mut self, written: &[Arc<DomainEvent>]) -> Result<()> {
        let Some(first) = written.first() else { return Ok(()) };
        self.event_queues.written = true;
        let namespaces = Rows::namespaces(written);
        let unknown: Vec<&Arc<str>> =
            namespaces.iter().copied().filter(|namespace| !self.event_queues.known.contains(*namespace)).collect();
        if !unknown.is_empty() {
            self.run(async |connection| events::create_queues(connection, &unknown).await)?;
            self.event_queues.made.extend(unknown.into_iter().cloned());
        }
        self.probe.get_or_insert(Probe::Event(first.event_id));
        let rows = Rows::of(written);
        let one = <[&Arc<str>; 1]>::try_from(namespaces).ok().map(|[namespace]| namespace);
        let bytes: usize = written.iter().map(|event| event.message().len()).sum();
        if self.writer.is_prepared() && written.len() <= FEW && bytes <= FEW_BYTES {
            let prepared = one.and_then(|namespace| self.event_statements.suffix(namespace));
            let name = prepared.map_or_else(|| "tasker_events".to_owned(), |name| format!("tasker_events_{name}"));
            self.script.execute(&name, |values| rows.literals(values));
            return Ok(());
        }
        let statement = one.map_or_else(|| events::WRITE.to_owned(), |namespace| events::write_to(namespace));
        self.run(async |connection| rows.write(connection, &statement).await)
    }
}
