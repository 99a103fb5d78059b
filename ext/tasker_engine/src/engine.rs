//! Owns: the engine's one thread: it takes what has arrived (requests, completions, the passing of
//! time), carries all of it in one transaction, and hands out what follows. Refuses: running
//! handlers, talking to callers directly.
//!
//! # Group commit
//! Whatever arrives while a transaction is in flight waits for the next one, which takes all of it.
//! Idle, that is one step at the lowest latency; loaded, it is many steps per commit. No timer.

mod attempts;
mod claims;
mod dispatch;
mod ends;
mod in_flight;
mod inbox;
mod machine;
mod measure;
mod monitor;
mod prefetch;
mod pulse;
mod quarantine;
mod report;
mod running;
mod shared;
mod thread;
mod trace;
mod transaction;

pub(crate) use ends::{Ends, Expected, Recent};
pub(crate) use inbox::{Inbox, Ticket};
pub use inbox::{Reply, Work};
pub use machine::Machine;
pub(crate) use machine::ThisMachine;
pub(crate) use monitor::Monitor;
pub(crate) use pulse::BreakerState;
pub(crate) use shared::Shared;
pub(crate) use thread::EngineThread;
pub use thread::Turn;
