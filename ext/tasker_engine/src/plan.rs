//! Owns: every decision of the engine, as functions that touch nothing but the graph they are given:
//! what follows from a submission, a claim, a settlement, a lease that ran out, an operator's word.
//! Refuses: reading or writing anything durable. A store loads graphs, the worker calls these, the
//! store applies what changed.

mod claim;
mod discover;
mod evaluate;
mod finalize;
mod initialize;
mod operate;
mod retry;

pub use claim::{claim, hand_back, Lease};
pub use discover::discover;
pub use evaluate::{evaluate, settle, Settlement, Verdict};
pub use finalize::cancel;
pub use initialize::{initialize, submit, NewTask};
pub use operate::{rerun_step, resolve_step, resolve_task};
pub use retry::{expire, wake};
