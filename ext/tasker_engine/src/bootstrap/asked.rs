//! Owns: what was asked of the engine and is still to be answered: it can be waited for in parts, by callers that must
//! look around meanwhile. Refuses: asking twice.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Inbox, Reply, Ticket, Work};
use crate::error::{Error, Result};
use crate::interrupt::{Interrupt, Slot};
use crate::store::Reader;

/// Longer than anybody waits in one go.
const LONG: Duration = Duration::from_secs(3600);

type Step<T> = dyn FnMut(Duration, &Interrupt) -> Option<Result<T>> + Send;

/// Something asked of the engine. Dropped without an answer, it is withdrawn if the engine has not begun with it.
pub struct Asked<T>(Box<Step<T>>);

impl<T> Asked<T> {
    pub(super) fn new(step: impl FnMut(Duration, &Interrupt) -> Option<Result<T>> + Send + 'static) -> Asked<T> {
        Asked(Box::new(step))
    }

    /// Waits for the answer, at most `timeout`. `None`: it has not come, or the caller was called back; it can be
    /// waited for again.
    pub fn wait(&mut self, timeout: Duration, interrupt: &Interrupt) -> Option<Result<T>> {
        (self.0)(timeout, interrupt)
    }

    /// Waits for as long as it takes.
    ///
    /// # Errors
    /// What the engine answered.
    pub fn answer(mut self) -> Result<T> {
        loop {
            if let Some(answer) = self.wait(LONG, &Interrupt::new()) {
                return answer;
            }
        }
    }
}

impl<T: Send + 'static> Asked<T> {
    /// A request to the engine's thread.
    pub(super) fn request(inbox: &Arc<Inbox>, work: Work, read: fn(Reply) -> Result<T>) -> Asked<T> {
        let mut asked = Request::Unsent(Arc::clone(inbox), Some(work));
        Asked::new(move |timeout, interrupt| {
            if let Request::Unsent(inbox, work) = &mut asked {
                match work.take().map(|work| inbox.send(work))? {
                    Ok(ticket) => asked = Request::Sent(ticket),
                    Err(error) => return Some(Err(error)),
                }
            }
            let Request::Sent(ticket) = &mut asked else { return None };
            ticket.wait(timeout, interrupt).map(|answer| answer.and_then(read))
        })
    }

    /// What takes no time worth waiting for.
    pub(super) fn here(work: impl FnOnce() -> Result<T> + Send + 'static) -> Asked<T> {
        let mut work = Some(work);
        Asked::new(move |_, _| work.take().map(|work| work()))
    }

    /// What may hang, in a thread of its own: who waits for it may leave.
    pub(super) fn aside(work: impl FnOnce() -> Result<T> + Send + 'static) -> Asked<T> {
        Asked::beside(work, |run| {
            let thread = std::thread::Builder::new().name("tasker-aside".into()).spawn(run);
            thread.map(drop).map_err(|error| Error::cannot_start("a thread", &error))
        })
    }

    /// What may hang, in a thread that the reader has for it.
    pub(super) fn by(reader: &Arc<dyn Reader>, work: impl FnOnce() -> Result<T> + Send + 'static) -> Asked<T> {
        let reader = Arc::clone(reader);
        Asked::beside(work, move |run| reader.aside(run))
    }

    fn beside(
        work: impl FnOnce() -> Result<T> + Send + 'static,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> Result<()> + Send + 'static,
    ) -> Asked<T> {
        let slot = Slot::new();
        let mut start = Some((Arc::clone(&slot), work, spawn));
        Asked::new(move |timeout, interrupt| {
            if let Some((slot, work, spawn)) = start.take() {
                let run = move || slot.put(catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked())));
                if let Err(error) = spawn(Box::new(run)) {
                    return Some(Err(error));
                }
            }
            slot.wait(timeout, interrupt)
        })
    }
}

enum Request {
    Unsent(Arc<Inbox>, Option<Work>),
    Sent(Ticket),
}

fn panicked() -> Error {
    Error::Internal("a thread that asked the database panicked".into())
}

pub(super) fn unexpected() -> Error {
    Error::Internal("the engine gave an answer to another question".into())
}
