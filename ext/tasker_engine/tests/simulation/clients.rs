//! Those who ask: they submit, cancel, run again and resolve, start and stop workers, and remember what they were told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rand::Rng;
use tasker_engine::clock::Micros;
use tasker_engine::error::{Error, Result};
use tasker_engine::plan::NewTask;
use tasker_engine::simulation::{self, Reply, Work};
use tasker_engine::state::TaskState;
use tasker_engine::task::TaskTrace;
use uuid::{Builder, Uuid};

use crate::world::{World, START};

/// A question whose answer has not come.
pub struct Asked {
    process: usize,
    work: Work,
    answer: simulation::Asked,
    asked_at: i64,
    /// The task it is about was acknowledged before.
    is_there: bool,
    /// The worker that the process had then.
    worker_id: Option<Arc<str>>,
}

/// How often something was asked of a task: at least so often it happened, and at most.
#[derive(Default, Clone, Copy)]
pub struct Count {
    pub most: usize,
}

#[derive(Default)]
pub struct Clients {
    pub asked: Vec<Asked>,
    pub known: Vec<Uuid>,
    /// Tasks of which a client was told that they are there, and that they are not.
    pub acknowledged: BTreeSet<Uuid>,
    pub refused: BTreeSet<Uuid>,
    pub cancelled: BTreeSet<Uuid>,
    pub resolved: BTreeSet<Uuid>,
    pub keys: HashMap<(Arc<str>, String), Uuid>,
    /// What was asked of tasks and not refused.
    pub reruns: BTreeMap<Uuid, Count>,
    pub is_probing: bool,
    pub submitted: usize,
    request_at: i64,
}

impl Clients {
    pub fn new() -> Clients {
        Clients { request_at: START + 1000, ..Clients::default() }
    }

    pub fn next_at(&self, is_calm: bool) -> i64 {
        if is_calm {
            i64::MAX
        } else {
            self.request_at
        }
    }
}

impl World {
    pub fn ask(&mut self, process: usize, work: Work) {
        let Ok(answer) = self.slots[process].door.ask(work.clone()) else { return };
        self.note(|| format!("#{process} is asked {}", brief(&work)));
        if let Work::RerunStep(task, _) = &work {
            self.clients.reruns.entry(*task).or_default().most += 1;
        }
        let is_there = match &work {
            Work::Cancel(task) | Work::ResolveTask(task) => self.clients.acknowledged.contains(task),
            _ => false,
        };
        let worker_id = self.slots[process].door.status().worker_id;
        self.clients.asked.push(Asked { process, work, answer, asked_at: self.now, is_there, worker_id });
    }

    pub fn start_worker(&mut self, process: usize) {
        let config = self.slots[process].config.clone();
        self.ask(process, Work::StartWorker(config));
    }

    /// A client asks something of some process.
    pub fn request(&mut self) {
        let gap = self.profile.requests;
        self.clients.request_at = self.now + self.dice.random_range(0..gap.max(1));
        let alive: Vec<usize> = (0..self.slots.len()).filter(|&number| self.slots[number].alive).collect();
        if alive.is_empty() || self.clients.asked.len() > 8 {
            return;
        }
        let process = alive[self.dice.random_range(0..alive.len())];
        if self.clients.known.is_empty() || self.dice.random_bool(0.7) {
            if self.clients.submitted < self.profile.tasks {
                let count = if self.dice.random_bool(0.8) { 1 } else { 3 };
                let tasks: Vec<NewTask> = (0..count).map(|_| self.new_task(None)).collect();
                self.clients.submitted += count;
                self.ask(process, Work::Submit(tasks));
            }
            return;
        }
        let task = self.clients.known[self.dice.random_range(0..self.clients.known.len())];
        let step = format!("s{}", self.dice.random_range(0..6));
        let work = match self.dice.random_range(0..10) {
            0..2 => Work::Cancel(task),
            2..6 => Work::RerunStep(task, step),
            6..8 => Work::ResolveStep(task, step, Arc::from("\"resolved\"")),
            8 => Work::ResolveTask(task),
            _ => Work::KeepTemplate(Arc::clone(&self.data.templates[self.dice.random_range(0..3)])),
        };
        self.ask(process, work);
    }

    pub fn new_task(&mut self, template: Option<usize>) -> NewTask {
        let at = template.unwrap_or_else(|| self.dice.random_range(0..self.data.templates.len() - 1));
        let template = Arc::clone(&self.data.templates[at]);
        let task_uuid = Builder::from_random_bytes(self.dice.random()).into_uuid();
        self.clients.known.push(task_uuid);
        let key = self.dice.random_bool(0.3).then(|| format!("key {}", self.dice.random_range(0..2)));
        let later = self.dice.random_bool(0.2).then(|| self.dice.random_range(0..5_000_000));
        NewTask {
            task_uuid,
            template,
            template_id: at as i64 + 1,
            context: Arc::from("{}"),
            priority: self.dice.random_range(0..2),
            correlation_id: task_uuid,
            parent_correlation_id: None,
            idempotency_key: key,
            trace: TaskTrace {
                trace_id: self.dice.random(),
                root_span_id: 1,
                parent_span_id: None,
                sampled: false,
                root_recorded: false,
            },
            run_at: later.map(|micros: i64| Micros(self.now + micros)),
        }
    }

    /// Takes the answers that have come.
    pub fn hear_answers(&mut self) {
        let mut still = Vec::new();
        for asked in std::mem::take(&mut self.clients.asked) {
            let mut asked = asked;
            match asked.answer.answer() {
                Some(answer) => self.hear(asked, answer),
                None => still.push(asked),
            }
        }
        still.append(&mut self.clients.asked);
        self.clients.asked = still;
    }

    fn hear(&mut self, asked: Asked, answer: Result<Reply>) {
        let Asked { process, work, is_there, worker_id, .. } = asked;
        self.note(|| format!("#{process} answers {}: {}", brief(&work), said(&answer)));
        if matches!(answer, Err(Error::Unknown(_))) {
            return;
        }
        match (work, answer) {
            (Work::Submit(tasks), Ok(Reply::Submitted(told))) => self.hear_submitted(&tasks, &told),
            (Work::Submit(tasks), Err(_)) => self.clients.refused.extend(tasks.iter().map(|task| task.task_uuid)),
            (Work::Cancel(task), Ok(Reply::State(state))) => {
                self.holds(state == TaskState::Cancelled, || format!("a cancelled task is {state}"));
                self.clients.cancelled.insert(task);
            }
            (Work::ResolveTask(task), Ok(_)) => drop(self.clients.resolved.insert(task)),
            (Work::RerunStep(task, _), Err(_)) => self.clients.reruns.entry(task).or_default().most -= 1,
            (Work::Cancel(task) | Work::ResolveTask(task), Err(Error::NotFound(_))) => {
                self.holds(!is_there, || format!("task {task} was acknowledged and is not found"));
            }
            (Work::StopWorker, Ok(_)) => self.check_stopped(process, worker_id),
            _ => {}
        }
    }

    fn hear_submitted(&mut self, tasks: &[NewTask], told: &[(Uuid, Uuid, u128, bool)]) {
        self.holds(tasks.len() == told.len(), || "an answer for each task".into());
        for (new, (uuid, _, _, created)) in tasks.iter().zip(told) {
            self.holds(!created || *uuid == new.task_uuid, || format!("task {uuid} was created for another"));
            self.holds(self.data.by_uuid.contains_key(uuid), || format!("task {uuid} is acknowledged and not stored"));
            self.clients.acknowledged.insert(*uuid);
            let Some(key) = new.idempotency_key.clone() else {
                self.holds(*created, || format!("task {uuid} without a key was not created"));
                continue;
            };
            let first = *self.clients.keys.entry((Arc::clone(&new.template.name), key)).or_insert(*uuid);
            self.holds(first == *uuid, || format!("tasks {first} and {uuid} have the same key"));
        }
    }

    /// A process is gone: what it was asked is never answered.
    pub fn forget_asked(&mut self, process: usize) {
        self.clients.asked.retain(|asked| asked.process != process);
    }

    /// Questions that have waited for longer than `most`.
    pub fn unanswered(&self, most: i64) -> Option<String> {
        let asked = self.clients.asked.iter().find(|asked| self.now - asked.asked_at > most)?;
        Some(format!("#{} owes an answer to {}", asked.process, brief(&asked.work)))
    }

    /// Whether a process has been asked to start or stop its worker.
    pub fn is_asked(&self, process: usize) -> bool {
        let affairs = |work: &Work| matches!(work, Work::StartWorker(_) | Work::Drain | Work::StopWorker);
        self.clients.asked.iter().any(|asked| asked.process == process && affairs(&asked.work))
    }
}

fn brief(work: &Work) -> String {
    match work {
        Work::Submit(tasks) => {
            let names = |task: &NewTask| {
                format!("{} {} {:?} at {:?}", task.template.name, task.task_uuid, task.idempotency_key, task.run_at)
            };
            format!("to submit {:?}", tasks.iter().map(names).collect::<Vec<_>>())
        }
        Work::KeepTemplate(_) => "to keep a template".into(),
        Work::StartWorker(config) => format!(
            "to start a worker of {} with a lease of {} s for {:?}",
            config.concurrency, config.lease_seconds, config.namespaces
        ),
        other => format!("{other:?}"),
    }
}

fn said(answer: &Result<Reply>) -> String {
    match answer {
        Ok(reply) => format!("{reply:?}"),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}
