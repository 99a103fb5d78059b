//! The server goes away while a worker runs, and comes back.

use std::time::{Duration, Instant};

use tasker_engine::bootstrap::Engine;
use tasker_engine::config::WebConfig;

use crate::harness::postgres::Database;
use crate::harness::{config, finished, register, submit, worker, Handlers, LINEAR, PATIENCE};
use crate::scrape::get;
use crate::story;

/// Nobody gets in, and who is in is thrown out.
fn close(database: &Database) {
    database.server(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name()));
    cut(database);
}

fn cut(database: &Database) {
    let name = database.name();
    database.server(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
}

fn open(database: &Database) {
    database.server(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.name()));
}

#[test]
fn a_worker_waits_for_its_server_and_says_so() {
    let Some(database) = Database::new() else { return };
    let runtime = story::runtime();
    let engine = Engine::open(&config(&database.url())).unwrap();
    let web = WebConfig { port: Some(0), ..WebConfig::default() };
    let address = engine.start_web(runtime.handle(), &web).unwrap();
    register(&engine, LINEAR);
    engine.start_worker(worker(2)).unwrap();
    let ready = |wanted: u16| {
        let began = Instant::now();
        while get(address, "/health/ready", None).0 != wanted {
            assert!(began.elapsed() < PATIENCE, "never {wanted}");
            std::thread::yield_now();
        }
    };
    ready(200);
    let task = submit(&engine, "linear").task_uuid;
    close(&database);
    let handlers = Handlers::start(&engine, 2, |_| Ok("1".into()));
    ready(503);
    let refused = engine.submit(vec![crate::harness::request("linear", "{}")]).unwrap_err().to_string();
    assert!(refused.contains("database") || refused.contains("PostgreSQL"), "{refused}");
    open(&database);
    assert_eq!(finished(&engine, task).state, "complete", "what was under way goes on");
    ready(200);
    engine.close();
    handlers.stop();
}

#[test]
fn connections_that_are_cut_all_the_time_cost_no_task() {
    let Some(database) = Database::new() else { return };
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, LINEAR);
    engine.start_worker(worker(4)).unwrap();
    let handlers = Handlers::start(&engine, 4, |_| Ok("1".into()));
    let mut tasks = Vec::new();
    let began = Instant::now();
    while tasks.len() < 200 && began.elapsed() < PATIENCE {
        match engine.submit(vec![crate::harness::request("linear", "{}")]) {
            Ok(mut answers) => tasks.push(answers.remove(0).unwrap().task_uuid),
            Err(_) => std::thread::yield_now(),
        }
        if tasks.len() % 20 == 10 {
            cut(&database);
        }
    }
    for task in tasks {
        let view = loop {
            // The reader's connections are cut as well.
            let view = engine.wait(task, Some(Duration::from_secs(60)), &tasker_engine::interrupt::Interrupt::new());
            match view.and_then(|_| engine.task(task)) {
                Ok(view) => break view,
                Err(_) => assert!(began.elapsed() < Duration::from_secs(120)),
            }
        };
        assert_eq!(view.state, "complete");
    }
    engine.close();
    handlers.stop();
    assert_eq!(database.sql("SELECT count(*) FROM pgmq.q_default_steps"), "0");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM tasker.step_transitions WHERE to_state = 'complete' \
        GROUP BY task_id, position HAVING count(*) > 1) twice";
    assert_eq!(database.sql(twice), "0", "each step's result is of one attempt");
}
