//! What goes wrong in the store: calls that fail, answers that are lost, a server that is away.

use rand::Rng;
use tasker_engine::error::{Error, Result};
use tasker_engine::graph::Graph;

use crate::world::World;

/// Which kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Begin,
    Load,
    Read,
    Write,
    Commit,
}

/// What the committer hears.
pub enum Answer {
    Given,
    /// An error, and nothing happened.
    Refused(Error),
    /// Nothing, and it did not happen.
    LostBefore,
    /// Nothing, and it happened.
    LostAfter,
}

/// How long a worker may be out of step after faults in a row: its longest pause after a failure, and some.
pub const AFTER_FAULT: i64 = 2_000_000;
/// After a single one.
const AFTER_ONE: i64 = 300_000;

impl World {
    /// Fails a call now and then.
    pub fn fault(&mut self, process: usize, call: Call) -> Result<()> {
        let kind = if self.slots[process].doomed {
            "the process is gone"
        } else if self.now < self.data.away_until {
            "the server is away"
        } else if self.now < self.data.full_until && matches!(call, Call::Write | Call::Commit) {
            "the disk is full"
        } else if self.dice.random_bool(self.fault_rate()) {
            "it fails"
        } else {
            return Ok(());
        };
        self.note(|| format!("#{process} {call:?}: {kind}"));
        self.impair(process);
        let contended = kind == "it fails" && call != Call::Begin && self.dice.random_bool(0.3);
        Err(if contended {
            Error::Contention("simulated: a lock was waited for too long".into())
        } else {
            Error::Store(format!("simulated: {kind}"))
        })
    }

    /// How a commit ends.
    pub fn answer(&mut self, process: usize) -> Answer {
        if self.slots[process].doomed || !self.dice.random_bool(self.fault_rate() * 2.0) {
            return Answer::Given;
        }
        self.impair(process);
        let answer = match self.dice.random_range(0..4) {
            0 => Answer::Refused(Error::Store("simulated: the commit fails".into())),
            1 => Answer::Refused(Error::Contention("simulated: deadlock".into())),
            2 => Answer::LostBefore,
            _ => Answer::LostAfter,
        };
        self.note(|| {
            let kind = match answer {
                Answer::LostBefore => "never happened, answer lost",
                Answer::LostAfter => "happens, answer lost",
                _ => "fails",
            };
            format!("#{process} commit {kind}")
        });
        answer
    }

    /// Data the server does not take: for good in results, for a while in tasks.
    pub fn refuses(&mut self, graph: &Graph) -> Result<()> {
        let poisoned = graph.steps.iter().filter(|step| step.settled).any(|step| {
            step.result.as_ref().is_some_and(|result| result.contains("poison"))
                || self.now < self.data.unwritable_until
                    && step.error.as_ref().is_some_and(|error| error.message.contains("poison"))
        });
        if poisoned {
            self.trouble(AFTER_FAULT);
            self.note(|| format!("task {} is refused", graph.task.id));
            return Err(Error::Refused("simulated: invalid byte sequence".into()));
        }
        Ok(())
    }

    fn fault_rate(&self) -> f64 {
        if self.is_calm {
            0.0
        } else {
            self.profile.faults
        }
    }

    /// Something went wrong for a process: what it owes is owed later.
    pub fn impair(&mut self, process: usize) {
        let slot = &mut self.slots[process];
        let again = self.now - slot.impaired_at < AFTER_FAULT;
        slot.impaired_at = self.now;
        self.trouble(if again { AFTER_FAULT } else { AFTER_ONE });
    }

    pub fn trouble(&mut self, duration: i64) {
        self.trouble_until = self.trouble_until.max(self.now + duration);
    }
}
