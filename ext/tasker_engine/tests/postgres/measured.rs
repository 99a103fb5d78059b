//! What only PostgreSQL's store measures: notifications, and tasks that need not be read again.

use tasker_engine::bootstrap::Engine;

use crate::harness::postgres::Database;
use crate::harness::{config, next_event, register, submit, succeed, until, worker};
use crate::scrape::Scrape;
use crate::story;

const WIDE: &str = "
name: wide
steps:
  - {name: one, handler: one}
  - {name: other, handler: other}
  - {name: last, handler: last, dependencies: [one, other]}
";

fn number(name: &str, labels: &[(&str, &str)]) -> f64 {
    Scrape::parse(&tasker_telemetry::prometheus_text()).sum(name, labels)
}

fn notifications() -> f64 {
    number("tasker_queue_notification_milliseconds_count", &[])
}

/// A process hears what it tells others itself; and of a task whose steps it holds it reads nothing again.
#[test]
fn notifications_and_what_is_remembered_are_measured() {
    story::alone("measured::notifications_and_what_is_remembered_are_measured", &[], || {
        let Some(database) = Database::new() else { return };
        let engine = Engine::open(&config(&database.url())).unwrap();
        register(&engine, WIDE);
        engine.start_worker(worker(2)).unwrap();
        let listens = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND query = 'LISTEN \"tasker\"'";
        until("it listens", || database.sql(listens) == "1");
        submit(&engine, "wide");
        let held = [next_event(&engine), next_event(&engine)];
        assert_eq!(notifications(), 0.0, "it took both steps at once, and told nobody");
        submit(&engine, "wide");
        until("it has heard itself", || notifications() == 1.0);
        let tasks = |what: &str| number(&format!("tasker_store_cache_{what}_total"), &[("cache", "tasks")]);
        assert_eq!((tasks("hits"), tasks("misses")), (0.0, 0.0));
        succeed(&engine, &held[0], "{}");
        until("it did not read the task again", || tasks("hits") == 1.0);
        assert_eq!(tasks("misses"), 0.0);
        for operation in ["claimable", "load", "write", "commit"] {
            let count = number("tasker_store_operation_duration_milliseconds_count", &[("operation", operation)]);
            assert!(count > 0.0, "{operation}");
        }
        engine.close();
    });
}
