//! Owns: what subscribers and operators ask of event groups, for callers that look around meanwhile. Refuses: the engine's
//! thread, which has no part in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::asked::Asked;
use super::Engine;
use crate::error::{Error, Result};
use crate::groups::{Delivery, Group, Groups, Looked, Opening, Outcome, MOST};
use crate::interrupt::{time_left, Interrupt};
use crate::store::groups::News;
use crate::store::Reader;

/// How long events are left alone that may not be read yet: a transaction that began before theirs is still open. At
/// first, twice as long each further time, and at most.
const HIDDEN: Duration = Duration::from_millis(2);
const HIDDEN_MOST: Duration = Duration::from_millis(50);
/// How often a process looks whether it may read for a group that another one reads for.
const STAND_BY: Duration = Duration::from_millis(250);
/// How long a look that found nothing is followed by none, whatever is heard.
const REST: Duration = Duration::from_millis(1);

impl Engine {
    /// The event groups of this process.
    ///
    /// # Errors
    /// [`Error::Configuration`]: the store has none.
    pub fn groups(&self) -> Result<&Arc<Groups>> {
        self.groups.as_ref().ok_or_else(|| Error::Configuration("this store has no event groups".into()))
    }

    /// Asks the groups for something that may take a while.
    pub fn asking_groups<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Groups) -> Result<T> + Send + 'static,
    ) -> Result<Asked<T>> {
        let groups = Arc::clone(self.groups()?);
        Ok(Asked::by(&self.reader, move || ask(&groups)))
    }

    /// Opens a group.
    pub fn opening_group(&self, opening: Opening) -> Result<Asked<()>> {
        self.asking_groups(move |groups| groups.open(&opening))
    }

    /// The next events for a group, at most `limit`, under a lease of this length. Waits for them, at most `wait`; then
    /// there are none.
    ///
    /// # Errors
    /// As for [`Groups::open`] and [`Groups::settle`]; the group must be open here.
    pub fn claiming_events(
        &self,
        name: &str,
        limit: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Asked<Vec<Delivery>>> {
        let group = self.groups()?.to_claim(name, lease)?;
        let mut claiming = Claiming {
            group,
            reader: Arc::clone(&self.reader),
            limit: limit.min(MOST),
            lease,
            deadline: Instant::now().checked_add(wait),
            look: None,
            seen: 0,
            hidden: HIDDEN,
        };
        Ok(Asked::new(move |timeout, interrupt| claiming.wait(timeout, interrupt)))
    }

    /// As [`Groups::settle`].
    pub fn settling_events(&self, name: String, outcomes: Vec<Outcome>) -> Result<Asked<Option<Vec<i64>>>> {
        self.asking_groups(move |groups| groups.settle(&name, &outcomes))
    }

    /// Gives a group back.
    pub fn closing_group(&self, name: String) -> Result<Asked<()>> {
        self.asking_groups(move |groups| groups.close(&name))
    }
}

/// Somebody who waits for events of a group. What a look brings is kept for whoever claims next, should this one leave.
struct Claiming {
    group: Arc<Group>,
    reader: Arc<dyn Reader>,
    limit: usize,
    lease: Duration,
    deadline: Option<Instant>,
    look: Option<Asked<Looked>>,
    /// The news there were when the look began.
    seen: u64,
    hidden: Duration,
}

impl Claiming {
    /// As [`Asked::wait`].
    fn wait(&mut self, timeout: Duration, interrupt: &Interrupt) -> Option<Result<Vec<Delivery>>> {
        let until = Instant::now() + timeout;
        loop {
            if interrupt.is_set() {
                return None;
            }
            let ready = if self.look.is_none() { self.group.take(self.limit) } else { Vec::new() };
            if !ready.is_empty() {
                return Some(Ok(ready));
            }
            let left = time_left(Some(until), timeout)?;
            let looked = match self.looking().wait(left, interrupt)? {
                Ok(looked) => looked,
                Err(error) => {
                    self.look = None;
                    return Some(Err(error));
                }
            };
            self.look = None;
            let Some(pause) = self.pause(looked) else { continue };
            let left = time_left(Some(until), pause)?;
            let Some(left) = time_left(self.deadline, left) else {
                // The look may have brought some all the same, for one who left.
                return Some(Ok(self.group.take(self.limit)));
            };
            match looked {
                Looked::Elsewhere(_) => Arc::<News>::default().wait(0, left, interrupt),
                _ => {
                    std::thread::sleep(REST.min(left));
                    self.group.store().news().wait(self.seen, left, interrupt);
                }
            }
        }
    }

    fn looking(&mut self) -> &mut Asked<Looked> {
        let (group, reader, limit, lease) = (&self.group, &self.reader, self.limit, self.lease);
        let seen = &mut self.seen;
        self.look.get_or_insert_with(|| {
            *seen = group.store().news().number();
            let group = Arc::clone(group);
            Asked::by(reader, move || group.look(limit, lease))
        })
    }

    /// How long to wait for the next look; `None`: not at all.
    fn pause(&mut self, looked: Looked) -> Option<Duration> {
        match looked {
            Looked::Found => None,
            Looked::Elsewhere(left) => Some(left.clamp(REST, STAND_BY)),
            Looked::Nothing { due, hidden } => {
                let look = self.group.store().listen().min(due);
                let hidden = hidden.then_some(self.hidden);
                self.hidden = if hidden.is_some() { (self.hidden * 2).min(HIDDEN_MOST) } else { HIDDEN };
                Some(hidden.map_or(look, |hidden| hidden.min(look)))
            }
        }
    }
}
