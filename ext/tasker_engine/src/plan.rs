//! Owns: every decision of the engine, as functions of the graph, the time and the dice they are given: what follows
//! from a submission, a claim, a settlement, a lease that ran out, an operator's word. The same arguments give the same
//! decision. Refuses: reading a clock, drawing at random by itself, reading or writing anything durable. A store loads
//! graphs, the engine calls these, the store writes what changed.

mod claim;
mod discover;
mod evaluate;
mod finalize;
mod initialize;
mod operate;
mod publish;
mod retry;

pub use claim::{claim, release};
pub use discover::discover;
pub use evaluate::{evaluate, settle, Settlement, Verdict};
pub use finalize::cancel;
pub use initialize::{initialize, submit, NewTask};
pub use operate::{rerun_step, resolve_step, resolve_task};
pub use publish::{announce, announces, misfit, Announcement, Dropped};
pub use retry::{expire, wake};
