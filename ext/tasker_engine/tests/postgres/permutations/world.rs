//! Tasks in all the states that two processes can meet them in.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::graph::Graph;
use tasker_engine::ids::Dice;
use tasker_engine::plan;
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::store::{Commit, Hold, Holdings, Store, WorkerProcess};

use crate::harness::failure;
use crate::place::{new_task, seconds, settle, NOW};

pub const LEASE: Duration = Duration::from_secs(600);

pub struct World {
    /// Both free steps are claimed by the first process, which remembers the tasks.
    pub claimed: [i64; 2],
    /// Nobody has begun it.
    pub free: i64,
    /// Its first step has failed for good, the second is claimed by the first process.
    pub failed: i64,
    /// Its first step waits for its retry.
    pub retrying: i64,
    /// It was cancelled long ago.
    pub over: i64,
    pub all: Vec<i64>,
    /// The processes' workers.
    pub workers: [Arc<str>; 2],
    /// A key that no task has yet.
    pub key: String,
    pub template: plan::NewTask,
}

impl World {
    pub fn new(a: &mut PostgresStore, b: &mut PostgresStore) -> World {
        let unique = tasker_engine::ids::uuid_v7(NOW);
        let workers: [Arc<str>; 2] = [format!("a {unique}").into(), format!("b {unique}").into()];
        for (store, worker) in [(&mut *a, &workers[0]), (&mut *b, &workers[1])] {
            register(store, worker);
        }
        let template = new_task(a, "default");
        let mut graphs: Vec<Graph> = (0..6).map(|_| fresh(&template)).collect();
        let mut transaction = a.begin().unwrap();
        transaction.write(&mut graphs).unwrap();
        transaction.commit(&Commit::default()).unwrap();
        let all: Vec<i64> = graphs.iter().map(|graph| graph.task.id).collect();
        let &[one, two, free, failed, retrying, over] = all.as_slice() else { unreachable!() };
        let mut transaction = a.begin().unwrap();
        let mut graphs = transaction.load(&all, Hold::Locked).unwrap().graphs;
        for graph in graphs.iter_mut() {
            let id = graph.task.id;
            let claims: &[usize] = if [one, two, failed].contains(&id) { &[0, 1] } else { &[0] };
            for &position in claims.iter().filter(|_| id != free && id != over) {
                plan::claim(graph, position, &workers[0], seconds(1), &mut Dice::new()).unwrap();
            }
            if id == failed || id == retrying {
                settle(graph, 0, Err(failure("no", id == retrying)), seconds(2));
            }
            if id == over {
                plan::cancel(graph, seconds(1)).unwrap();
            }
        }
        transaction.write(&mut graphs).unwrap();
        let holdings = Some((workers[0].clone(), LEASE, Holdings { tasks: all.clone(), unbegun: Vec::new() }));
        transaction.commit(&Commit { holdings, ..Commit::default() }).unwrap();
        World { claimed: [one, two], free, failed, retrying, over, all, workers, key: unique.to_string(), template }
    }
}

pub fn fresh(template: &plan::NewTask) -> Graph {
    let new = plan::NewTask { task_uuid: tasker_engine::ids::uuid_v7(NOW), ..template.clone() };
    let mut graph = plan::submit(&new, NOW, &mut Dice::new());
    plan::initialize(&mut graph, NOW).unwrap();
    graph
}

fn register(store: &mut PostgresStore, worker: &Arc<str>) {
    let process = WorkerProcess { worker_id: worker.clone(), host: "here".into(), pid: 1, process_started: "1".into() };
    let mut transaction = store.begin().unwrap();
    transaction.register_worker(&process, LEASE, NOW).unwrap();
    transaction.commit(&Commit::default()).unwrap();
}
