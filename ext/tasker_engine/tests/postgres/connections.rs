//! What the health check says of connections and queues is what the server says.

use std::sync::Arc;

use tasker_engine::bootstrap::Engine;
use tasker_engine::config::WebConfig;

use crate::harness::postgres::Database;
use crate::harness::{config, register, until, worker, SINGLE};
use crate::scrape::json;

#[test]
fn connections_and_queues_are_counted() {
    let Some(database) = Database::new() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let engine = Engine::open(&config(&database.url())).unwrap();
    register(&engine, SINGLE);
    register(&engine, &SINGLE.replace("name: single", "name: other\nnamespace: other"));
    let web = WebConfig { enabled: Some(true), port: Some(0), ..WebConfig::default() };
    let address = engine.start_web(runtime.handle(), &web).unwrap();
    engine.start_worker(worker(1)).unwrap();
    let health = || json(address, "/health").1["checks"].clone();
    until("the queues were looked at", || health()["message_queue"]["queues_monitored"] == 2);
    let open = |health: serde_json::Value| {
        let number = |key: &str| health["database"][key].as_u64().unwrap();
        number("connections_active") + number("connections_idle")
    };
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", database.name());
    let server = || database.server(&there).parse::<u64>().unwrap();
    // The one that writes, the one that listens, and one that was used once.
    until("all are there", || server() == 3);
    until("they are counted", || open(health()) == 3);
    let readers: Vec<_> = (0..3).map(|_| Arc::clone(&engine)).collect();
    std::thread::scope(|scope| {
        for reader in &readers {
            scope.spawn(|| (0..50).for_each(|_| drop(reader.count_tasks().unwrap())));
        }
    });
    until("those, too, are counted", || open(health()) == server());
    assert_eq!(health()["database"]["connections_max"], 7);
    engine.close();
}
