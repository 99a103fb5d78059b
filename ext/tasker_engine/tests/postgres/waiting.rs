//! Who waits for a task that another process carries out hears of its end, and asks the server for next to nothing.

use std::time::{Duration, Instant};

use tasker_engine::bootstrap::Engine;
use tasker_engine::interrupt::Interrupt;
use uuid::Uuid;

use crate::harness::postgres::Database;
use crate::harness::{config, next_event, register, request, submit, succeed, until, worker, PATIENCE, SINGLE};

/// Far below the time after which a waiter looks by itself.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn an_end_in_another_process_is_heard_of_at_once() {
    let Some(database) = Database::new() else { return };
    let [works, waits] = [0, 1].map(|_| Engine::open(&config(&database.url())).unwrap());
    register(&works, SINGLE);
    works.start_worker(worker(1)).unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let task = submit(&waits, "single").task_uuid;
        let event = next_event(&works);
        let took = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| waits.wait(task, Some(PATIENCE), &Interrupt::new()).unwrap());
            succeed(&works, &event, "1");
            let ended = Instant::now();
            assert!(waiter.join().unwrap());
            ended.elapsed()
        });
        longest = longest.max(took);
    }
    assert!(longest < AT_ONCE, "a wait took {longest:?}");
    works.close();
    waits.close();
}

/// What the connection that listens said last.
fn last_said(database: &Database) -> String {
    let said = "SELECT query FROM pg_stat_activity WHERE query LIKE '%LISTEN%\"tasker%' AND datname =";
    database.server(&format!("{said} '{}'", database.name()))
}

#[test]
fn only_a_worker_hears_of_work() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, SINGLE);
    for _ in 0..2 {
        engine.start_worker(worker(1)).unwrap();
        until("it hears of work", || last_said(&database) == "LISTEN \"tasker\"");
        engine.stop_worker(PATIENCE, &Interrupt::new()).unwrap();
        until("it does not any more", || last_said(&database) == "UNLISTEN \"tasker\"");
    }
    engine.close();
}

/// What another process does that ends tasks.
fn end(database: &Database, tasks: &[Uuid]) {
    let uuids = tasks.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",");
    database.sql(&format!(
        "UPDATE tasker.tasks SET state = 'complete', completed_at = now() WHERE task_uuid = ANY ('{{{uuids}}}'); \
         SELECT pg_notify('tasker_ended', '{uuids}')"
    ));
}

/// Transactions in a database while so many tasks end, and somebody waits for each, or nobody.
fn transactions(tasks: usize, waited_for: bool) -> i64 {
    let Some(database) = Database::new() else { return 0 };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, SINGLE);
    let submitted = engine.submit((0..=tasks).map(|_| request("single", "{}")).collect()).unwrap();
    let uuids: Vec<_> = submitted.into_iter().map(|task| task.unwrap().task_uuid).collect();
    let (first, others) = uuids.split_first().unwrap();
    let wait = &|uuid: Uuid| engine.wait(uuid, Some(PATIENCE), &Interrupt::new());
    std::thread::scope(|scope| {
        // From the first wait on it is told of ends.
        scope.spawn(move || assert!(wait(*first).unwrap()));
        until("it listens", || last_said(&database) == "LISTEN \"tasker_ended\"");
        end(&database, &[*first]);
        for uuid in others.iter().filter(|_| waited_for) {
            scope.spawn(move || assert!(wait(*uuid).unwrap()));
        }
        others.chunks(10).for_each(|some| end(&database, some));
    });
    engine.close();
    drop(engine);
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", database.name());
    until("its sessions have ended", || database.server(&sessions) == "0");
    let count = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{}'", database.name());
    database.server(&count).parse().unwrap()
}

#[test]
fn many_that_wait_cost_a_look_each() {
    const TASKS: usize = 200;
    let (alone, waited_for) = (transactions(TASKS, false), transactions(TASKS, true));
    let (looks, tasks) = (waited_for - alone, i64::try_from(TASKS).unwrap());
    assert!(looks <= tasks * 5 / 4, "{looks} looks for {TASKS} tasks ({alone} transactions without waiters)");
}
