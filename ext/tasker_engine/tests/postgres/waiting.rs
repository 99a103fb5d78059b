//! Who waits for a task that another process carries out hears of its end, and asks the server for next to nothing.

use std::time::{Duration, Instant};

use tasker_engine::bootstrap::Engine;
use tasker_engine::interrupt::Interrupt;

use crate::harness::postgres::Database;
use crate::harness::{config, next_event, register, request, submit, succeed, total, until, worker, PATIENCE, SINGLE};

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

/// How many sessions listen: a worker's does from its start.
fn listens(database: &Database) -> String {
    format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'LISTEN%'", database.name())
}

/// Transactions of the database for so many tasks that end while somebody waits for each, or nobody.
fn transactions(tasks: usize, waited_for: bool) -> i64 {
    let Some(database) = Database::new() else { return 0 };
    let [works, waits] = [0, 1].map(|_| Engine::open(&config(&database.url())).unwrap());
    register(&works, SINGLE);
    works.start_worker(worker(tasks)).unwrap();
    // From the first wait on it is told of ends.
    let first = submit(&waits, "single").task_uuid;
    let event = next_event(&works);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| assert!(waits.wait(first, Some(PATIENCE), &Interrupt::new()).unwrap()));
        until("it listens", || waiter.is_finished() || database.server(&listens(&database)) == "2");
        succeed(&works, &event, "1");
    });
    let submitted = waits.submit((0..tasks).map(|_| request("single", "{}")).collect()).unwrap();
    let uuids: Vec<_> = submitted.into_iter().map(|task| task.unwrap().task_uuid).collect();
    let events: Vec<_> = (0..tasks).map(|_| next_event(&works)).collect();
    std::thread::scope(|scope| {
        for uuid in uuids.iter().filter(|_| waited_for) {
            scope.spawn(|| assert!(waits.wait(*uuid, Some(PATIENCE), &Interrupt::new()).unwrap()));
        }
        // One after the other, as they would end.
        for (number, event) in (2..).zip(&events) {
            succeed(&works, event, "1");
            until("it is settled", || total(&works, "steps_settled") >= number);
        }
    });
    drop((works, waits));
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", database.name());
    until("its sessions have ended", || database.server(&sessions) == "0");
    let count = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{}'", database.name());
    database.server(&count).parse().unwrap()
}

#[test]
fn many_that_wait_cost_a_look_each() {
    const TASKS: usize = 200;
    let (alone, waited_for) = (transactions(TASKS, false), transactions(TASKS, true));
    let looks = waited_for - alone;
    let tasks = i64::try_from(TASKS).unwrap();
    assert!(looks <= tasks * 5 / 4, "{looks} looks for {TASKS} tasks ({alone} transactions without waiters)");
}
