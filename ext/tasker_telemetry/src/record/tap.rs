//! Owns: a look at the latest spans inside the process, for a demo, a console or a spec.
//! Refuses: to grow: it keeps the last [`KEPT`] spans, and none until it is turned on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::span::{OwnName, SpanRecord};

/// How many spans are kept.
pub const KEPT: usize = 10_000;

static OPEN: AtomicBool = AtomicBool::new(false);
static LATEST: Mutex<VecDeque<SpanRecord<OwnName>>> = Mutex::new(VecDeque::new());

/// Turns the tap on or off. Off, it forgets what it has.
pub fn capture(on: bool) {
    OPEN.store(on, Ordering::Relaxed);
    if !on {
        LATEST.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Whether the tap is on.
pub(crate) fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// The kept spans, in the order they were recorded.
pub fn captured() -> Vec<SpanRecord<OwnName>> {
    LATEST.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

pub(crate) fn keep(spans: impl Iterator<Item = SpanRecord<OwnName>>) {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    for span in spans {
        if latest.len() == KEPT {
            latest.pop_front();
        }
        latest.push_back(span);
    }
}
