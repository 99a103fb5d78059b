//! Measures the engine without Ruby: `cargo run --release --example throughput -- TASKS DATABASE MODE`. With a MODE
//! (`durable`, `fast`, `broadcast`) every step publishes an event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/support/harness.rs"]
mod harness;

use std::time::{Duration, Instant};

use harness::{config, register, request, submit, worker, Folder, Handlers, LINEAR};
use tasker_engine::bootstrap::Engine;
use tasker_engine::interrupt::Interrupt;

fn template(mode: Option<&str>) -> String {
    let Some(mode) = mode else { return LINEAR.to_owned() };
    let events = format!(", publishes_events: [{{name: step.done, delivery_mode: {mode}}}]");
    LINEAR.replace("handler: noop", &format!("handler: noop{events}"))
}

fn main() {
    tasker_telemetry::init_console_only();
    let tasks: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let folder = Folder::new();
    let database = std::env::args().nth(2).unwrap_or_else(|| folder.database());
    let engine = Engine::open(&config(&database)).unwrap();
    register(&engine, &template(std::env::args().nth(3).as_deref()));
    let began = Instant::now();
    let requests = (0..tasks).map(|n| request("linear", &format!("{{\"order_id\":{n}}}"))).collect();
    let submitted = engine.submit(requests).unwrap();
    println!("submitted {} tasks in {:?}", submitted.len(), began.elapsed());
    let handlers = Handlers::start(&engine, 2, |_| Ok("{}".into()));
    let began = Instant::now();
    engine.start_worker(worker(10)).unwrap();
    loop {
        let done = engine.status()["totals"]["tasks_finalized"].as_u64().unwrap();
        if done >= tasks as u64 {
            break;
        }
        let _ = engine.wait(
            submitted[tasks - 1].as_ref().unwrap().task_uuid,
            Some(Duration::from_millis(50)),
            &Interrupt::new(),
        );
    }
    let elapsed = began.elapsed().as_secs_f64();
    println!("{:.0} steps/s; {}", tasks as f64 * 4.0 / elapsed, engine.status()["totals"]);
    let mut latencies: Vec<f64> = (0..500)
        .map(|_| {
            let began = Instant::now();
            let task = submit(&engine, "linear");
            engine.wait(task.task_uuid, None, &Interrupt::new()).unwrap();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    latencies.sort_by(f64::total_cmp);
    println!("linear4 p50 {:.2} ms p99 {:.2} ms", latencies[250], latencies[495]);
    engine.stop_worker(Duration::from_secs(1), &Interrupt::new()).unwrap();
    handlers.stop();
}
