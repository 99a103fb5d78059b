//! Owns: a batch of submissions on its way: checked and handed to the engine in parts, answered in order.

use std::sync::Arc;
use std::time::Duration;

use super::asked::{unexpected, Asked};
use crate::clock::Clock;
use crate::engine::{Inbox, Reply, Ticket, Work};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::plan::NewTask;
use crate::store::catalogue::Catalogue;
use crate::store::Reader;
use crate::submission;
use crate::task::{Submitted, TaskRequest};

/// Tasks one transaction takes from a batch of submissions.
const SUBMIT_TOGETHER: usize = 200;

/// Where what a batch needs is to be had.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) inbox: Arc<Inbox>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) clock: Clock,
    /// Whether a read may hang.
    pub(super) remote: bool,
}

/// The batch.
pub(super) struct Submitting {
    means: Means,
    requests: std::vec::IntoIter<TaskRequest>,
    answers: Vec<Result<Submitted>>,
    stage: Stage,
}

enum Stage {
    Idle,
    Checking(Asked<Vec<Result<NewTask>>>),
    /// Which answers the ticket is for.
    Sent(Vec<usize>, Ticket),
}

impl Submitting {
    pub(super) fn new(means: Means, requests: Vec<TaskRequest>) -> Submitting {
        let answers = Vec::with_capacity(requests.len());
        Submitting { means, requests: requests.into_iter(), answers, stage: Stage::Idle }
    }

    /// As [`Asked::wait`].
    pub(super) fn wait(&mut self, timeout: Duration, interrupt: &Interrupt) -> Option<Result<Vec<Result<Submitted>>>> {
        loop {
            let outcome = match &mut self.stage {
                Stage::Idle if self.requests.len() == 0 => return Some(Ok(std::mem::take(&mut self.answers))),
                Stage::Idle => {
                    self.stage = Stage::Checking(self.check());
                    Ok(())
                }
                Stage::Checking(asked) => {
                    let checked = asked.wait(timeout, interrupt)?;
                    checked.and_then(|checked| self.send(checked))
                }
                Stage::Sent(slots, ticket) => {
                    let reply = ticket.wait(timeout, interrupt)?;
                    let slots = std::mem::take(slots);
                    self.stage = Stage::Idle;
                    reply.and_then(|reply| self.note(slots, reply))
                }
            };
            if let Err(error) = outcome {
                return Some(Err(error));
            }
        }
    }

    fn check(&mut self) -> Asked<Vec<Result<NewTask>>> {
        let requests: Vec<TaskRequest> = self.requests.by_ref().take(SUBMIT_TOGETHER).collect();
        let Means { catalogue, reader, clock, remote, .. } = self.means.clone();
        let known = requests.iter().all(|request| catalogue.is_registered(&request.namespace, &request.name));
        let check = move || {
            let check = |request| submission::check(request, &catalogue, reader.as_ref(), &clock);
            Ok(requests.into_iter().map(check).collect())
        };
        if remote && !known {
            Asked::aside(check)
        } else {
            Asked::here(check)
        }
    }

    fn send(&mut self, checked: Vec<Result<NewTask>>) -> Result<()> {
        let mut good = Vec::with_capacity(checked.len());
        let mut slots = Vec::with_capacity(checked.len());
        for task in checked {
            match task {
                Ok(task) => {
                    slots.push(self.answers.len());
                    good.push(task);
                    self.answers.push(Err(Error::Internal("not submitted".into())));
                }
                Err(error) => self.answers.push(Err(error)),
            }
        }
        self.stage =
            if good.is_empty() { Stage::Idle } else { Stage::Sent(slots, self.means.inbox.send(Work::Submit(good))?) };
        Ok(())
    }

    fn note(&mut self, slots: Vec<usize>, reply: Reply) -> Result<()> {
        let Reply::Submitted(tasks) = reply else { return Err(unexpected()) };
        for (slot, (task_uuid, correlation_id, trace_id, created)) in slots.into_iter().zip(tasks) {
            let trace_id = format!("{trace_id:032x}");
            self.answers[slot] = Ok(Submitted { task_uuid, correlation_id, trace_id, created });
        }
        Ok(())
    }
}
