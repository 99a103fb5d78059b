//! One database, two engines: as it is when one process submits and another one works.

use tasker_engine::bootstrap::Engine;
use tasker_engine::error::Error;
use tasker_engine::interrupt::Interrupt;

use crate::harness::*;

#[test]
fn one_engine_submits_and_waits_while_the_other_one_works() {
    let folder = Folder::new();
    let worker_side = working(&folder.database(), tasker_engine::clock::Clock::System, 2, DIAMOND);
    let handlers = Handlers::start(&worker_side, 2, |event| Ok(format!("\"{}\"", event.step_name)));
    // It has registered no template: it finds them in the database.
    let client = Engine::open(&config(&folder.database())).unwrap();
    let began = std::time::Instant::now();
    for _ in 0..20 {
        let task = submit(&client, "diamond");
        let view = finished(&client, task.task_uuid);
        assert_eq!((view.state.as_str(), result_of(&view, "bottom").as_str()), ("complete", "\"bottom\""));
    }
    // Who is told of ends looks only every five seconds.
    assert!(began.elapsed() < std::time::Duration::from_secs(50), "after {:?}", began.elapsed());
    assert_eq!(total(&client, "steps_claimed"), 0);
    // Whoever waits may hear of the end before the worker has counted it.
    until("all are counted", || total(&worker_side, "steps_settled") == 80);
    handlers.stop();
}

#[test]
fn two_workers_share_the_steps_and_none_runs_twice() {
    let folder = Folder::new();
    let engines = [(); 2].map(|()| working(&folder.database(), tasker_engine::clock::Clock::System, 3, LINEAR));
    let handlers = engines.each_ref().map(|engine| Handlers::start(engine, 3, |_| Ok("1".into())));
    let requests = (0..200).map(|_| request("linear", "{}")).collect();
    for task in engines[0].submit(requests).unwrap() {
        let view = finished(&engines[1], task.unwrap().task_uuid);
        assert!(view.steps.iter().all(|step| step.attempts == 1), "{view:?}");
    }
    until("all are counted", || engines.iter().map(|engine| total(engine, "steps_settled")).sum::<u64>() == 800);
    assert_eq!(engines.each_ref().map(|engine| total(engine, "stale_completions")), [0, 0]);
    handlers.into_iter().for_each(Handlers::stop);
}

#[test]
fn a_cancellation_from_elsewhere_reaches_the_worker_when_it_renews() {
    let folder = Folder::new();
    let clock = manual();
    let worker_side = working(&folder.database(), clock.clone(), 1, SINGLE);
    let client = Engine::open(&config(&folder.database())).unwrap();
    let task = submit(&client, "single");
    let event = next_event(&worker_side);
    client.cancel(task.task_uuid).unwrap();
    clock.advance(std::time::Duration::from_secs(11));
    settled(&worker_side);
    assert!(worker_side.channel().cancelled(event.event_id));
    succeed(&worker_side, &event, "1");
    settled(&worker_side);
    assert_eq!(client.task(task.task_uuid).unwrap().state, "cancelled");
    assert!(client.task(task.task_uuid).unwrap().steps[0].result.is_none());
}

#[test]
fn a_wait_for_a_task_that_is_not_there_says_so() {
    let engine = Engine::open(&config(":memory:")).unwrap();
    let nobody = tasker_engine::ids::uuid_v7(tasker_engine::clock::Clock::System.now());
    assert!(matches!(engine.wait(nobody, None, &Interrupt::new()), Err(Error::NotFound(_))));
}

#[test]
fn a_step_no_handler_of_one_worker_takes_up_goes_to_the_other_one() {
    let folder = Folder::new();
    let clock = manual();
    let without_threads = working(&folder.database(), clock.clone(), 1, SINGLE);
    let task = submit(&without_threads, "single");
    settled(&without_threads);
    let other = working(&folder.database(), manual(), 1, SINGLE);
    no_event(&other);
    clock.advance(std::time::Duration::from_secs(3));
    run(&other, "only", "1");
    assert_eq!(finished(&other, task.task_uuid).steps[0].attempts, 1);
}
