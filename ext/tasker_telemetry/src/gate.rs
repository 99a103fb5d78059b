//! Owns: a filter that can be exchanged while the process runs, and is shut until it is first set. A
//! shut gate costs a span or an event nothing: its callsite is switched off.
//! Refuses: locks. `tracing_subscriber::reload` has one, which a fork could leave locked for ever in
//! the child.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::EnvFilter;

/// Where a gate's filter is kept: one static for each gate.
pub(crate) type Slot = ArcSwapOption<EnvFilter>;

/// The filter of one layer.
pub(crate) struct Gate {
    slot: &'static Slot,
    admits: fn(&Metadata<'_>) -> bool,
    passes: fn(&Event<'_>) -> bool,
}

impl Gate {
    /// A gate that lets nothing through that `admits` refuses, whatever its filter says; `admits`
    /// may be asked once for each callsite. `passes` is asked for every single event.
    pub(crate) fn new(slot: &'static Slot, admits: fn(&Metadata<'_>) -> bool, passes: fn(&Event<'_>) -> bool) -> Gate {
        Gate { slot, admits, passes }
    }
}

/// Opens the gates of these slots with `directives`, or shuts them with `None`.
pub(crate) fn set(slots: &[&'static Slot], directives: Option<&str>) {
    for slot in slots {
        slot.store(directives.map(|text| Arc::new(EnvFilter::new(text))));
    }
    tracing::callsite::rebuild_interest_cache();
}

impl<S> Filter<S> for Gate {
    fn enabled(&self, meta: &Metadata<'_>, cx: &Context<'_, S>) -> bool {
        let filter = self.slot.load();
        filter.as_deref().is_some_and(|filter| (self.admits)(meta) && Filter::<S>::enabled(filter, meta, cx))
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        match self.slot.load().as_deref() {
            Some(filter) if (self.admits)(meta) => Filter::<S>::callsite_enabled(filter, meta),
            _ => Interest::never(),
        }
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        (self.passes)(event)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match self.slot.load().as_deref() {
            Some(filter) => Filter::<S>::max_level_hint(filter),
            None => Some(LevelFilter::OFF),
        }
    }

    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        if let Some(filter) = self.slot.load().as_deref() {
            Filter::<S>::on_new_span(filter, attrs, id, cx);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        if let Some(filter) = self.slot.load().as_deref() {
            Filter::<S>::on_record(filter, id, values, cx);
        }
    }

    fn on_enter(&self, id: &Id, cx: Context<'_, S>) {
        if let Some(filter) = self.slot.load().as_deref() {
            Filter::<S>::on_enter(filter, id, cx);
        }
    }

    fn on_exit(&self, id: &Id, cx: Context<'_, S>) {
        if let Some(filter) = self.slot.load().as_deref() {
            Filter::<S>::on_exit(filter, id, cx);
        }
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        if let Some(filter) = self.slot.load().as_deref() {
            Filter::<S>::on_close(filter, id, cx);
        }
    }
}
