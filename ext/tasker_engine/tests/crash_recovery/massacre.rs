//! A worker that is killed again and again at random, with hundreds of tasks on its hands.

use std::collections::HashMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{json, Value};
use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;
use tasker_engine::store::TransitionView;
use uuid::Uuid;

use crate::child::{self, Process};
use crate::harness::*;

const TASKS: usize = 500;
const KILLS: usize = 8;

/// `LINEAR` in shape; every step survives as many crashes as there are here.
const STURDY: &str = "
name: sturdy
steps:
  - {name: one, handler: noop, retry: {max_attempts: 50}}
  - {name: two, handler: noop, dependencies: [one], retry: {max_attempts: 50}}
  - {name: three, handler: noop, dependencies: [two], retry: {max_attempts: 50}}
  - {name: four, handler: noop, dependencies: [three], retry: {max_attempts: 50}}
";

/// Every result says which attempt of which process it is from.
fn handle(event: &tasker_engine::channel::StepEvent) -> Outcome {
    Ok(json!({"attempt": event.attempt, "event": event.event_id, "pid": std::process::id()}).to_string())
}

fn work_until_killed(database: &str) -> ! {
    let engine = working(database, Clock::System, 10, STURDY);
    // Now and then a handler never comes back, so that a kill always hits something.
    let _handlers = Handlers::start(&engine, 4, |event| {
        if event.event_id.as_u128() % 40 == 0 {
            child::say("stuck");
            child::wait_for_the_end();
        }
        handle(event)
    });
    child::wait_for_the_end()
}

#[test]
fn hundreds_of_tasks_survive_a_worker_that_is_killed_again_and_again() {
    if let Some(database) = child::database() {
        work_until_killed(&database);
    }
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    register(&engine, STURDY);
    let requests = (0..TASKS).map(|_| request("sturdy", "{}")).collect();
    let tasks: Vec<Uuid> =
        engine.submit(requests).unwrap().into_iter().map(|answer| answer.unwrap().task_uuid).collect();
    let mut dice = SmallRng::seed_from_u64(7);
    for _ in 0..KILLS {
        let test = "massacre::hundreds_of_tasks_survive_a_worker_that_is_killed_again_and_again";
        let mut process = Process::start(test, &folder.database());
        for _ in 0..dice.random_range(1..=3) {
            assert_eq!(process.hear(), "stuck");
        }
        process.kill();
    }
    let survivor = working(&folder.database(), Clock::System, 10, STURDY);
    let handlers = Handlers::start(&survivor, 4, handle);
    let mut repeated = 0;
    for task in tasks {
        repeated += check(&engine, task);
    }
    assert!(repeated >= KILLS as u32, "every kill hit a step: {repeated}");
    assert_eq!(engine.count_tasks().unwrap(), [("complete".to_owned(), TASKS as i64)]);
    handlers.stop();
}

/// The task is complete, each of its results is from exactly one attempt, and the attempts that are
/// recorded are those that began. Gives how many were repeated.
fn check(engine: &Engine, task: Uuid) -> u32 {
    let view = finished(engine, task);
    assert_eq!(view.state, "complete");
    let mut of_step: HashMap<String, Vec<TransitionView>> = HashMap::new();
    for transition in engine.transitions(task).unwrap() {
        if let Some(step) = transition.step.clone() {
            of_step.entry(step).or_default().push(transition);
        }
    }
    let mut repeated = 0;
    for step in &view.steps {
        let moves = &of_step[&step.name];
        let to = |state: &str| moves.iter().filter(|t| t.to_state == state).collect::<Vec<_>>();
        let result: Value = serde_json::from_str(step.result.as_ref().unwrap().get()).unwrap();
        let [complete] = to("complete")[..] else { panic!("{}: {moves:?}", step.name) };
        assert_eq!(complete.metadata["attempt"], result["attempt"], "the result is that of the attempt that settled");
        assert_eq!(complete.metadata["attempt"], json!(step.attempts), "and that was the last one");
        let holder = complete.metadata["worker"].as_str().unwrap();
        assert!(holder.contains(&format!("-{}-", result["pid"])), "{holder} {result}");
        let begun: Vec<u64> = to("in_progress").iter().map(|t| t.metadata["attempt"].as_u64().unwrap()).collect();
        let unstarted = moves.iter().filter(|t| t.metadata["reason"] == "released").count();
        assert_eq!(begun.len() - unstarted, step.attempts as usize, "{moves:?}");
        let lost = moves.iter().filter(|t| t.metadata["reason"] == "lease_expired").count();
        assert_eq!(lost as u32, step.attempts - 1, "every attempt but the last was lost to a kill");
        repeated += lost as u32;
    }
    repeated
}
