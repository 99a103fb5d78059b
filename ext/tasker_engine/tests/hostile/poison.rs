//! Rows that make no sense to this version: their tasks are left alone and told of, everything else goes on.

use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::config::WebConfig;
use uuid::Uuid;

use crate::harness::*;
use crate::{number, sql, story};

/// What is done to a task's rows, and how the reason names it.
const BREAKAGES: [(&str, &str); 5] = [
    ("UPDATE tasks SET correlation_id = 'nobody' WHERE id = $", "correlation_id"),
    ("UPDATE tasks SET trace_id = x'00ff' WHERE id = $", "trace_id"),
    ("DELETE FROM steps WHERE task_id = $ AND position = 3", "steps"),
    ("DELETE FROM journal WHERE task_id = $", "journal"),
    ("UPDATE steps SET attempts = 'many' WHERE task_id = $ AND position = 1", "attempts"),
];

fn id_of(folder: &Folder, task: Uuid) -> i64 {
    number(folder, &format!("SELECT id FROM tasks WHERE task_uuid = '{task}'"))
}

fn quarantined(engine: &Engine) -> Vec<(i64, String)> {
    let listed = engine.status()["quarantined"].as_array().unwrap().clone();
    let entry =
        |entry: &serde_json::Value| (entry["task"].as_i64().unwrap(), entry["why"].as_str().unwrap().to_owned());
    listed.iter().map(entry).collect()
}

#[test]
fn a_task_that_makes_no_sense_is_left_alone_and_everything_else_goes_on() {
    for (breakage, word) in BREAKAGES {
        let folder = Folder::new();
        let client = Engine::open(&config(&folder.sqlite())).unwrap();
        register(&client, LINEAR);
        // It is the oldest: whoever claims comes to it first.
        let [broken, first, second] = [(); 3].map(|()| submit(&client, "linear").task_uuid);
        let id = id_of(&folder, broken);
        sql(&folder, &breakage.replace('$', &id.to_string()));
        let engine = working(&folder.sqlite(), manual(), 1, LINEAR);
        let handlers = Handlers::start(&engine, 1, |_| Ok("1".into()));
        for task in [first, second] {
            until(breakage, || total(&engine, "tasks_finalized") == 2);
            assert_eq!(finished(&engine, task).state, "complete", "{breakage}");
        }
        let told = quarantined(&engine);
        assert!(matches!(&told[..], [(number, why)] if *number == id && why.contains(word)), "{breakage}: {told:?}");
        assert_eq!(total(&engine, "store_errors"), 0, "{breakage}");
        let refused = engine.cancel(broken).unwrap_err().to_string();
        assert!(refused.contains("left alone") && refused.contains(&broken.to_string()), "{refused}");
        handlers.stop();
    }
}

#[test]
fn a_task_that_was_mended_goes_on_after_a_minute_with_the_result_that_was_kept() {
    let (folder, clock) = (Folder::new(), manual());
    let engine = working(&folder.sqlite(), clock.clone(), 1, LINEAR);
    let task = submit(&engine, "linear").task_uuid;
    let (event, id) = (next_event(&engine), id_of(&folder, task));
    sql(&folder, &format!("UPDATE tasks SET state = x'00', trace_id = 'z' || trace_id WHERE id = {id}"));
    succeed(&engine, &event, "\"kept\"");
    settled(&engine);
    assert_eq!(quarantined(&engine).len(), 1);
    let in_progress = format!("SELECT count(*) FROM steps WHERE task_id = {id} AND state = 'in_progress'");
    assert_eq!(number(&folder, &in_progress), 1);
    // Whoever finds this worker dead finds the task, too.
    let named = "SELECT count(*) FROM workers, json_each(workers.tasks) t WHERE t.value = ";
    assert_eq!(number(&folder, &format!("{named}{id}")), 1);

    let mended = "UPDATE tasks SET state = 'steps_in_process', trace_id = substr(trace_id, 2) WHERE id = ";
    sql(&folder, &format!("{mended}{id}"));
    clock.advance(Duration::from_secs(59));
    settled(&engine);
    assert_eq!((quarantined(&engine).len(), number(&folder, &in_progress)), (1, 1));
    clock.advance(Duration::from_secs(2));
    run(&engine, "two", "2");
    assert!(quarantined(&engine).is_empty());
    let view = engine.task(task).unwrap();
    assert_eq!((result_of(&view, "one").as_str(), view.steps[0].attempts), ("\"kept\"", 1));
    assert_eq!(total(&engine, "stale_completions"), 0);
}

#[test]
fn a_step_that_was_mended_is_claimed_after_a_minute() {
    let (folder, clock) = (Folder::new(), manual());
    let client = Engine::open(&config(&folder.sqlite())).unwrap();
    register(&client, LINEAR);
    let id = id_of(&folder, submit(&client, "linear").task_uuid);
    sql(&folder, &format!("UPDATE tasks SET trace_id = 'z' || trace_id WHERE id = {id}"));
    let engine = working(&folder.sqlite(), clock.clone(), 1, LINEAR);
    no_event(&engine);
    clock.advance(Duration::from_secs(61));
    settled(&engine);
    no_event(&engine);
    assert_eq!(quarantined(&engine).len(), 1, "it still makes no sense");
    sql(&folder, &format!("UPDATE tasks SET trace_id = substr(trace_id, 2) WHERE id = {id}"));
    clock.advance(Duration::from_secs(61));
    run(&engine, "one", "1");
}

#[test]
fn a_dead_workers_broken_task_stays_to_be_taken_over() {
    let (folder, clock) = (Folder::new(), manual());
    let engine = working(&folder.sqlite(), clock.clone(), 2, LINEAR);
    let tasks = [(); 2].map(|()| submit(&engine, "linear").task_uuid);
    let (_broken, _whole) = (next_event(&engine), next_event(&engine));
    drop(engine);
    let id = id_of(&folder, tasks[0]);
    sql(&folder, &format!("UPDATE tasks SET trace_id = 'z' || trace_id WHERE id = {id}"));
    clock.advance(Duration::from_secs(31));
    let engine = working(&folder.sqlite(), clock.clone(), 2, LINEAR);
    let again = next_event(&engine);
    assert_eq!((again.task_uuid, again.attempt), (tasks[1], 2));
    no_event(&engine);
    sql(&folder, &format!("UPDATE tasks SET trace_id = substr(trace_id, 2) WHERE id = {id}"));
    clock.advance(Duration::from_secs(61));
    settled(&engine);
    let mended = next_event(&engine);
    assert_eq!((mended.task_uuid, mended.attempt), (tasks[0], 2));
}

#[test]
fn what_is_left_alone_is_logged_and_counted() {
    let story = || {
        tasker_telemetry::init_console_only();
        let (runtime, folder) = (story::runtime(), Folder::new());
        let engine = working(&folder.sqlite(), manual(), 1, LINEAR);
        let web = WebConfig { port: Some(0), ..WebConfig::default() };
        let address = engine.start_web(runtime.handle(), &web).unwrap();
        let task = submit(&engine, "linear").task_uuid;
        let (event, id) = (next_event(&engine), id_of(&folder, task));
        sql(&folder, &format!("UPDATE tasks SET trace_id = 'zzz' WHERE id = {id}"));
        succeed(&engine, &event, "1");
        settled(&engine);
        let (_, metrics) = crate::scrape::get(address, "/metrics", None);
        let counted = crate::scrape::Scrape::parse(&metrics).sum("tasker_tasks_quarantined_total", &[]);
        assert_eq!(counted, 1.0, "{metrics}");
    };
    let Some(output) = story::alone("poison::what_is_left_alone_is_logged_and_counted", &[], story) else { return };
    let told = story::console(&output);
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("left alone")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].contains("trace_id"), "{told}");
}
