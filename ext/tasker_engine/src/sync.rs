//! Owns: the primitives threads wait for each other with: std's. `examples/concurrency` puts others in their place, which
//! run the threads in the orders that are bad for them. Refuses: any cost for that.

pub(crate) use std::sync::{atomic, Condvar, Mutex, MutexGuard, PoisonError};
