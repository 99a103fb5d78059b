//! Owns: graphs as the last transaction left them, of tasks in which nothing can move but what this process holds: it need
//! not read them anew. Refuses: being right. Whoever writes what follows from one must find its journal as it was; if
//! another process wrote to it meanwhile, that fails.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::Graph;
use crate::state::StepState;
use crate::step::Step;
use crate::store::Observer;

/// The most tasks that are remembered.
const MOST: usize = 4096;
/// Larger contexts and results are not remembered.
const BYTES: usize = 4096;

/// The graphs, by task.
pub(super) struct Remembered {
    graphs: HashMap<i64, Graph>,
    /// Whose claims are this process's.
    me: Option<Arc<str>>,
    observer: Arc<dyn Observer>,
}

impl Remembered {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Remembered {
        Remembered { graphs: HashMap::new(), me: None, observer }
    }

    /// This process works as that worker from now on.
    pub(super) fn register(&mut self, worker_id: &Arc<str>) {
        self.graphs.clear();
        self.me = Some(Arc::clone(worker_id));
    }

    /// Nothing is remembered: the server may have forgotten what was committed last.
    pub(super) fn clear(&mut self) {
        self.graphs.clear();
    }

    /// The task's graph, which is no longer remembered.
    pub(super) fn take(&mut self, task_id: i64) -> Option<Graph> {
        self.graphs.remove(&task_id)
    }

    /// As [`Remembered::take`], by who can do with what is remembered.
    pub(super) fn recall(&mut self, task_id: i64) -> Option<Graph> {
        let found = self.take(task_id);
        self.observer.task(found.is_some());
        found
    }

    /// What is worth remembering of a graph as a transaction leaves it, once that is committed.
    pub(super) fn memory(&self, graph: &Graph) -> Option<Graph> {
        if !self.is_mine(graph) {
            return None;
        }
        let mut memory = Graph::loaded(graph.task.clone(), graph.steps.clone());
        memory.task.context = memory.task.context.filter(|context| context.len() <= BYTES);
        for step in &mut memory.steps {
            step.settled = false;
            step.changed = false;
            step.error = None;
            // Nothing here waits: a message that there was went with the claim.
            step.message_id = None;
            step.result = step.result.take().filter(|result| result.len() <= BYTES);
        }
        Some(memory)
    }

    /// Remembers what was committed. Where it grows too long it begins anew: some of it is of tasks that others have ended,
    /// and nobody asks for them again.
    pub(super) fn keep(&mut self, memories: Vec<Graph>) {
        if self.graphs.len() + memories.len() > MOST {
            self.graphs.clear();
        }
        self.graphs.extend(memories.into_iter().take(MOST).map(|graph| (graph.task.id, graph)));
    }

    fn is_mine(&self, graph: &Graph) -> bool {
        let Some(me) = &self.me else { return false };
        let mine = |step: &Step| step.state == StepState::InProgress && step.worker_id.as_ref() == Some(me);
        let settled = |step: &Step| {
            matches!(
                step.state,
                StepState::Pending
                    | StepState::Complete
                    | StepState::Error
                    | StepState::Cancelled
                    | StepState::ResolvedManually
            )
        };
        graph.steps.iter().any(mine) && graph.steps.iter().all(|step| mine(step) || settled(step))
    }
}
