//! The series of tasks: what begins them, and how many there are.

use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;
use tasker_engine::task::TaskRequest;
use tasker_telemetry::record::metrics;

use crate::harness::{config, register, request, submit, Folder};
use crate::{scraped, story, SLOW};

#[test]
fn too_many_templates_share_one_series() {
    story::alone("tasks::too_many_templates_share_one_series", &[], || {
        tasker_telemetry::keep_numbers();
        for n in 0..300 {
            metrics::task_series("default", &format!("task_{n}")).created.add(1);
        }
        let scrape = scraped();
        assert_eq!(scrape.sum("tasker_tasks_created_total", &[]), 300.0);
        assert_eq!(scrape.sum("tasker_tasks_created_total", &[("task_name", "other")]), 100.0);
    });
}

#[test]
fn a_task_that_waits_for_its_time_is_created_and_not_started() {
    story::alone("tasks::a_task_that_waits_for_its_time_is_created_and_not_started", &[], || {
        let folder = Folder::new();
        let engine = Engine::open(&config(&folder.database())).unwrap();
        register(&engine, SLOW);
        let in_an_hour = Clock::System.now().0 as f64 / 1e6 + 3600.0;
        engine.submit(vec![TaskRequest { run_at: Some(in_an_hour), ..request("slow", "{}") }]).unwrap();
        submit(&engine, "slow");
        let total = |name: &str| scraped().sum(&format!("tasker_tasks_{name}_total"), &[]);
        assert_eq!((total("created"), total("started")), (2.0, 1.0));
    });
}
