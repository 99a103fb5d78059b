//! Owns: the statements a session prepares for each queue. They are what `pgmq.send` and `pgmq.delete` execute on the
//! queue's table. Those functions plan it anew at each call, which is half the cost of a small transaction's message.

use std::sync::Arc;

use super::queue;
use super::writer::Writer;
use crate::error::Result;

/// The most queues that have statements of their own: each costs the server's session memory.
const MOST: usize = 64;

/// The queues of a session that are written to in one way.
pub(super) struct QueueStatements {
    /// What is prepared for a namespace under a number.
    statements: fn(&str, usize) -> String,
    session: u64,
    prepared: Vec<(Arc<str>, usize)>,
    wanted: Vec<Arc<str>>,
    refused: Vec<Arc<str>>,
    /// Names are not used twice: what a failed message had prepared is not known.
    names: usize,
}

impl QueueStatements {
    pub(super) fn of(statements: fn(&str, usize) -> String) -> QueueStatements {
        let (prepared, wanted, refused) = (Vec::new(), Vec::new(), Vec::new());
        QueueStatements { statements, session: 0, prepared, wanted, refused, names: 0 }
    }

    /// What the names of a namespace's statements end with; `None`: nothing is prepared for its queue yet.
    pub(super) fn suffix(&mut self, namespace: &Arc<str>) -> Option<usize> {
        let prepared = self.prepared.iter().find(|(known, _)| known == namespace).map(|(_, name)| *name);
        let known = prepared.is_some() || self.wanted.contains(namespace) || self.refused.contains(namespace);
        if !known && self.prepared.len() + self.wanted.len() < MOST {
            self.wanted.push(Arc::clone(namespace));
        }
        prepared
    }

    /// Prepares what was found missing, between transactions. A queue for which that fails goes on by PGMQ's functions.
    ///
    /// # Errors
    /// As [`Writer::run`], if the connection is lost.
    pub(super) fn prepare(&mut self, writer: &mut Writer) -> Result<()> {
        if self.session != writer.session() {
            let prepared = self.prepared.drain(..).map(|(namespace, _)| namespace);
            self.wanted.extend(prepared);
            self.refused.clear();
            self.session = writer.session();
        }
        for namespace in std::mem::take(&mut self.wanted) {
            self.names += 1;
            match writer.execute(&(self.statements)(&namespace, self.names)) {
                Ok(()) => self.prepared.push((namespace, self.names)),
                Err(error) if !writer.is_connected() => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, %namespace, "A queue's statements cannot be prepared; using PGMQ's functions");
                    self.refused.push(namespace);
                }
            }
        }
        Ok(())
    }
}

/// For the messages of steps.
pub(super) fn of_steps(namespace: &str, name: usize) -> String {
    let queue = queue::steps(namespace);
    let sent = |values: &str| {
        format!("WITH sent AS (INSERT INTO pgmq.q_{queue} (vt, message, headers) VALUES ({values}) RETURNING msg_id)")
    };
    format!(
        "PREPARE tasker_new_step_sent_{name} (bigint, int, uuid, text, text, int, text, bool, timestamptz, int, int, \
           timestamptz, text, text, jsonb, jsonb, timestamptz) AS {} \
           INSERT INTO tasker.steps (task_id, position, step_uuid, name, namespace, priority, state, queued, state_since, \
           attempts, max_attempts, due_at, worker_id, span_id, message_id) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, \
           $10, $11, $12, $13, $14, msg_id FROM sent;\
         PREPARE tasker_message_{name} (bigint, int, jsonb, jsonb, timestamptz) AS {} \
           UPDATE tasker.steps SET message_id = msg_id FROM sent WHERE task_id = $1 AND position = $2;\
         PREPARE tasker_delete_{name} (bigint) AS DELETE FROM pgmq.q_{queue} WHERE msg_id = $1",
        sent("$17, $15, $16"),
        sent("$5, $3, $4")
    )
}
