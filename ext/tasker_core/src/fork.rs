//! Owns: what happens around a fork that passes through `Process._fork`: before it, nobody may be in the
//! middle of something; after it, the child forgets what is not its own. Refuses: forking.

use std::cell::RefCell;

use magnus::{function, Error, Object, RModule, Ruby};
use tasker_engine::fork::{self, Fork};

use crate::errors::guard;
use crate::runtime;

thread_local! {
    /// Between the two calls, on the thread that forks.
    static FORKING: RefCell<Option<Fork>> = const { RefCell::new(None) };
}

/// Waits until no transaction is under way, at most a second. Keeps the GVL: no other thread of Ruby's
/// can begin one meanwhile, and those that are under way do not need it.
fn before_fork(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || {
        FORKING.set(Some(fork::prepare()));
        Ok(())
    })
}

/// In the parent, and in the child, whether the fork succeeded or not.
fn after_fork(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || {
        FORKING.set(None);
        Ok(())
    })
}

fn after_fork_child(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || {
        runtime::enter_process();
        Ok(())
    })
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("before_fork", function!(before_fork, 0))?;
    native.define_singleton_method("after_fork", function!(after_fork, 0))?;
    native.define_singleton_method("after_fork_child", function!(after_fork_child, 0))
}
