//! Owns: the thread that renews the leases of this process's groups, whatever its handlers do, and looks now and then how
//! all groups are. Refuses: holding up a process that ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{GroupLook, Held};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::interrupt::{lock, time_left, wait_on};
use crate::store::groups::Groups as Store;
use crate::sync::{Condvar, Mutex};

/// How often a cursor that passed events without handing any out is written down, at the least.
const KEEP: Duration = Duration::from_secs(1);
/// How often all groups are looked at, for the gauges.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    /// Waits. Whether the thread is to end.
    fn wait(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut stopped = lock(&self.stopped);
        while !*stopped {
            let Some(left) = time_left(Some(deadline), pause) else { return false };
            stopped = wait_on(&self.told, stopped, left);
        }
        true
    }
}

/// The thread; it ends when this is dropped, after what it is about.
pub(super) struct Keeper(Arc<Stop>);

impl Keeper {
    pub(super) fn start(
        groups: &Held,
        store: &Arc<dyn Store>,
        clock: &Clock,
        looks: &Arc<Mutex<Vec<GroupLook>>>,
    ) -> Result<Keeper> {
        let stop = Arc::new(Stop::default());
        let (stopped, groups, store) = (Arc::clone(&stop), Arc::clone(groups), Arc::clone(store));
        let (clock, looks) = (clock.clone(), Arc::clone(looks));
        let keep = move || {
            let mut looked: Option<Instant> = None;
            let mut pause = Duration::ZERO;
            while !stopped.wait(pause) {
                pause = keep_all(&groups);
                if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                    looked = Some(Instant::now());
                    match store.list() {
                        Ok(views) => {
                            let now = clock.now();
                            *lock(&looks) = views.into_iter().map(|view| GroupLook::of(view, now)).collect();
                        }
                        Err(error) => tracing::debug!(%error, "Event groups could not be looked at"),
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("tasker-events".into()).spawn(keep);
        thread.map(|_| Keeper(stop)).map_err(|error| Error::cannot_start("a thread", &error))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        *lock(&self.0.stopped) = true;
        self.0.told.notify_all();
    }
}

/// Renews what is held. Gives how long until the next time.
fn keep_all(groups: &Held) -> Duration {
    let groups: Vec<_> = lock(groups).values().map(Arc::clone).collect();
    let mut pause = KEEP;
    for group in groups {
        match group.keep() {
            Ok(Some(lease)) => pause = pause.min(lease / 4),
            Ok(None) => {}
            Err(error) => tracing::warn!(group = group.name, %error, "An event group's lease could not be renewed"),
        }
    }
    pause
}
