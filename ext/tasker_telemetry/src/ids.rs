//! Owns: every identifier the engine makes: UUIDv7 for tasks, steps, events and correlation; W3C
//! trace and span ids. Refuses: parsing of anything but UUIDs.
//!
//! All of them come from one small generator per thread, seeded by the operating system and stamped
//! with the process id: a forked child finds a stamp that is not its own and seeds afresh, so parent
//! and child never repeat each other's ids.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use uuid::{Builder, Uuid};

use crate::time::Micros;

struct Source {
    pid: u32,
    rng: SmallRng,
}

thread_local! {
    static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
}

fn with_rng<T>(draw: impl FnOnce(&mut SmallRng) -> T) -> T {
    with_rng_in(std::process::id(), draw)
}

fn with_rng_in<T>(pid: u32, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
    SOURCE.with_borrow_mut(|slot| {
        let source = match slot {
            Some(source) if source.pid == pid => source,
            stale => stale.insert(Source { pid, rng: SmallRng::from_os_rng() }),
        };
        draw(&mut source.rng)
    })
}

/// Chance, handed to whoever decides: the same seed gives the same decisions.
#[derive(Debug)]
pub struct Dice(SmallRng);

impl Dice {
    /// Seeded by the operating system.
    pub fn new() -> Dice {
        Dice(SmallRng::from_os_rng())
    }

    /// Seeded by hand, for a run that can be repeated.
    pub fn seeded(seed: u64) -> Dice {
        Dice(SmallRng::seed_from_u64(seed))
    }

    /// A UUIDv7 whose time part is `now`.
    pub fn uuid_v7(&mut self, now: Micros) -> Uuid {
        uuid_from(&mut self.0, now)
    }

    /// A W3C span id: 8 bytes, never all zero.
    pub fn span_id(&mut self) -> u64 {
        self.0.next_u64() | 1
    }

    /// A number in `0.0..1.0`, for jitter.
    pub fn fraction(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Default for Dice {
    fn default() -> Dice {
        Dice::new()
    }
}

fn uuid_from(rng: &mut SmallRng, now: Micros) -> Uuid {
    let mut random = [0u8; 10];
    rng.fill_bytes(&mut random);
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A UUIDv7 (RFC 9562) whose time part is `now`.
pub fn uuid_v7(now: Micros) -> Uuid {
    with_rng(|rng| uuid_from(rng, now))
}

/// A W3C trace id: 16 bytes, never all zero.
pub fn trace_id() -> u128 {
    with_rng(new_trace_id)
}

/// The ids of a span that begins in process `pid`, which is this one: those who have just asked the kernel need not ask
/// again. The span's trace is `trace_id`, or a new one.
pub fn span_ids(pid: u32, trace_id: Option<u128>) -> (u128, u64) {
    with_rng_in(pid, |rng| (trace_id.unwrap_or_else(|| new_trace_id(rng)), rng.next_u64() | 1))
}

fn new_trace_id(rng: &mut SmallRng) -> u128 {
    (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64() | 1)
}

/// A W3C span id: 8 bytes, never all zero.
pub fn span_id() -> u64 {
    with_rng(|rng| rng.next_u64() | 1)
}

/// The id of the `handler.execution` span inside the attempt whose span id is `span_id`.
///
/// It is derived, not drawn, so that whoever knows the attempt (the row that survives a crash, the
/// process that claims it next) knows the handler's span too, with nothing more to store.
pub fn handler_span_id(span_id: u64) -> u64 {
    let mut mixed = span_id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_version_7_and_carry_the_time() {
        let id = uuid_v7(Micros(1_700_000_000_123_456));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.as_u128() >> 80, 1_700_000_000_123);
    }

    #[test]
    fn handler_span_ids_differ_from_their_attempt() {
        let span = span_id();
        assert_ne!(handler_span_id(span), span);
        assert_eq!(handler_span_id(span), handler_span_id(span));
    }
}
