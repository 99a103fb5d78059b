//! Owns: the one bounded channel from the bus to Ruby. What it wants to hear is one number that everybody can read at the
//! cost of a load; with nothing wanted the engine makes nothing for it. Refuses: to wait: what does not fit is dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::lifecycle::Lifecycle;
use crate::error::{Error, Result};
use crate::event::DomainEvent;
use crate::interrupt::{lock, time_left, Interrupt};

const DOMAIN: u8 = 1;
const LIFECYCLE: u8 = 2;

/// Something for whoever listens.
#[derive(Debug, Clone)]
pub enum BusItem {
    /// An event of the application's.
    Domain(Arc<DomainEvent>),
    /// What became of a task or a step.
    Lifecycle(Arc<Lifecycle>),
}

impl BusItem {
    /// `domain` or `lifecycle`.
    pub fn kind(&self) -> &'static str {
        match self {
            BusItem::Domain(_) => "domain",
            BusItem::Lifecycle(_) => "lifecycle",
        }
    }

    /// Its JSON text.
    pub fn json(&self) -> String {
        match self {
            BusItem::Domain(event) => event.message().to_owned(),
            BusItem::Lifecycle(item) => item.json(),
        }
    }
}

pub(super) struct Outlet {
    wanted: AtomicU8,
    capacity: usize,
    items: Mutex<VecDeque<BusItem>>,
    ready: Condvar,
}

impl Outlet {
    pub(super) fn new(capacity: usize) -> Outlet {
        Outlet { wanted: AtomicU8::new(0), capacity, items: Mutex::default(), ready: Condvar::new() }
    }

    pub(super) fn listen(&self, domain: bool, lifecycle: bool) {
        let wanted = if domain { DOMAIN } else { 0 } | if lifecycle { LIFECYCLE } else { 0 };
        self.wanted.store(wanted, Relaxed);
        let mut items = lock(&self.items);
        items.retain(|item| match item {
            BusItem::Domain(_) => domain,
            BusItem::Lifecycle(_) => lifecycle,
        });
    }

    pub(super) fn wants_domain(&self) -> bool {
        self.wanted.load(Relaxed) & DOMAIN != 0
    }

    pub(super) fn wants_lifecycle(&self) -> bool {
        self.wanted.load(Relaxed) & LIFECYCLE != 0
    }

    /// Puts an item in. False: it is full.
    pub(super) fn offer(&self, item: BusItem) -> bool {
        let mut items = lock(&self.items);
        if items.len() >= self.capacity {
            return false;
        }
        items.push_back(item);
        drop(items);
        self.ready.notify_one();
        true
    }

    /// The next item, when there is one. Never blocks.
    pub(super) fn try_take(&self) -> Option<BusItem> {
        lock(&self.items).pop_front()
    }

    /// Waits until there may be an item, at most `timeout`; takes none.
    pub(super) fn wait(self: &Arc<Self>, timeout: Duration, interrupt: &Interrupt) -> Result<bool> {
        let outlet = Arc::clone(self);
        interrupt.wakes(move || {
            drop(lock(&outlet.items));
            outlet.ready.notify_all();
        });
        let deadline = Instant::now() + timeout;
        let mut items = lock(&self.items);
        loop {
            if interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            if !items.is_empty() {
                return Ok(true);
            }
            let Some(left) = time_left(Some(deadline), timeout) else { return Ok(false) };
            items = self.ready.wait_timeout(items, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}
