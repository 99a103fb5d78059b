//! Owns: how a transaction comes by the tasks it works on: as they are remembered, or locked and read; and by what it may
//! claim.

use super::super::{claim, load};
use super::{bigint, PostgresTransaction, Script};
use crate::error::Result;
use crate::store::{Claimable, Hold, Loaded};

/// Up to so many wanted steps, their tasks are loaded together with the look for them.
const FEW: usize = 32;

impl PostgresTransaction<'_> {
    pub(super) fn take_hold(&mut self, task_ids: &[i64], hold: Hold) -> Result<Loaded> {
        let free = hold == Hold::IfFree;
        let mut loaded = Loaded::default();
        let mut unknown = Vec::with_capacity(task_ids.len());
        for &task_id in task_ids {
            let remembered = match hold {
                Hold::Remembered => self.remembered.recall(task_id),
                // It is read anew: what is remembered would be out of date.
                Hold::Locked | Hold::IfFree => self.remembered.take(task_id).and(None),
            };
            match remembered {
                Some(graph) => {
                    self.unlocked.insert(task_id);
                    loaded.graphs.push(graph);
                }
                None => unknown.push(task_id),
            }
        }
        if !unknown.is_empty() {
            let mut read = self.read(&unknown, free)?;
            loaded.graphs.append(&mut read.graphs);
            loaded.unreadable.append(&mut read.unreadable);
        }
        loaded.graphs.sort_by_key(|graph| graph.task.id);
        Ok(loaded)
    }

    pub(super) fn take_claimable(&mut self, task_ids: &[i64], most: usize) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        let mut unknown = Vec::with_capacity(task_ids.len());
        for &task_id in task_ids {
            self.remembered.take(task_id);
            if count(&loaded) == most || !self.take_found(task_id, &mut loaded) {
                unknown.push(task_id);
            }
        }
        let left = most - count(&loaded);
        if left > 0 && !unknown.is_empty() {
            let (catalogue, prepared) = (self.catalogue, self.writer.is_prepared());
            let mut read =
                self.run(async |connection| load::claimable(connection, catalogue, &unknown, left, prepared).await)?;
            // Others are at work on the first ones: farther the next time.
            *self.look_ahead = if count(&read) < left {
                (*self.look_ahead * 2).min(claim::LOOK_AHEAD_MOST)
            } else {
                (*self.look_ahead / 2).max(1)
            };
            loaded.graphs.append(&mut read.graphs);
            loaded.unreadable.append(&mut read.unreadable);
        }
        Ok(loaded)
    }

    /// Moves what came with the look for what may be claimed. False: it did not come with it.
    fn take_found(&mut self, task_id: i64, loaded: &mut Loaded) -> bool {
        if let Some(at) = self.found.graphs.iter().position(|graph| graph.task.id == task_id) {
            loaded.graphs.push(self.found.graphs.swap_remove(at));
        } else if let Some(at) = self.found.unreadable.iter().position(|(unreadable, _)| *unreadable == task_id) {
            loaded.unreadable.push(self.found.unreadable.swap_remove(at));
        } else {
            return false;
        }
        true
    }

    fn read(&mut self, task_ids: &[i64], free: bool) -> Result<Loaded> {
        let (catalogue, fresh) = (self.catalogue, self.is_fresh());
        if !fresh {
            let script = self.writer.is_prepared().then_some("");
            return self.run(async |connection| load::graphs(connection, catalogue, task_ids, free, script).await);
        }
        let begin = self.begin_with_more();
        let script = Some(begin.text());
        self.writer.run(async |connection| load::graphs(connection, catalogue, task_ids, free, script).await)
    }

    /// The BEGIN, for what goes along with it.
    fn begin_with_more(&mut self) -> Script {
        let mut script = Script::default();
        script.statement(&self.writer.begin_statement());
        self.begun = true;
        script
    }

    pub(super) fn look(&mut self, namespaces: &[String], limit: usize, except: &[i64]) -> Result<Claimable> {
        let fresh = self.is_fresh();
        if fresh && *self.look_ahead == 1 && limit <= FEW {
            let (catalogue, script) = (self.catalogue, self.begin_with_more());
            let (steps, found) = self.writer.run(async |connection| {
                claim::claimable_few(connection, catalogue, namespaces, limit, except, script).await
            })?;
            self.found = found;
            return Ok(Claimable { more: steps.len() > limit, steps });
        }
        let looked = limit.saturating_mul(*self.look_ahead);
        let steps = if fresh {
            let mut script = self.begin_with_more();
            script.execute("tasker_claimable", |values| {
                values.texts(namespaces).int(bigint(looked)).ints(except);
            });
            self.writer.run(async |connection| {
                claim::claimable(connection, namespaces, looked, except, Some(script.text())).await
            })?
        } else {
            self.run(async |connection| claim::claimable(connection, namespaces, looked, except, None).await)?
        };
        Ok(Claimable { more: steps.len() >= looked, steps })
    }
}

fn count(loaded: &Loaded) -> usize {
    loaded.graphs.len() + loaded.unreadable.len()
}
