//! Owns: waking the engine's thread.

use std::time::{Duration, Instant};

use crate::interrupt::{lock, time_left, wait_on};
use crate::sync::{Condvar, Mutex};

/// A bell the engine sleeps beside: completions and requests ring it.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Wakes the engine, now or when it next comes to sleep.
    pub fn ring(&self) {
        let mut rung = lock(&self.rung);
        if !*rung {
            *rung = true;
            self.heard.notify_one();
        }
    }

    /// Sleeps until the bell rings, at most `timeout`. Gives whether it rang.
    pub fn sleep(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut rung = lock(&self.rung);
        while !*rung {
            let Some(left) = time_left(Some(deadline), timeout) else { break };
            rung = wait_on(&self.heard, rung, left);
        }
        std::mem::take(&mut rung)
    }
}
