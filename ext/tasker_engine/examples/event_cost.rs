//! Measures events outside of steps, without Ruby: `cargo run --release --example event_cost -- DATABASE`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/support/harness.rs"]
mod harness;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use harness::{config, Folder};
use tasker_engine::bootstrap::Engine;
use tasker_engine::events::Publication;

fn events(mode: &str, count: usize) -> Vec<Publication> {
    let event = format!(r#"{{"name":"order.placed","payload":{{"order_id":7}},"delivery_mode":"{mode}"}}"#);
    let all = format!("[{}]", vec![event; count].join(","));
    serde_json::from_str(&all).unwrap()
}

/// Microseconds of each call, sorted.
fn calls(engine: &Engine, mode: &str, count: usize) -> Vec<f64> {
    let mut took: Vec<f64> = (0..count)
        .map(|_| {
            let one = events(mode, 1);
            let began = Instant::now();
            engine.publish_events(one).unwrap();
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took
}

fn main() {
    tasker_telemetry::init_console_only();
    let folder = Folder::new();
    let database = std::env::args().nth(1).unwrap_or_else(|| folder.database());
    let engine = Engine::open(&config(&database)).unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = Arc::clone(&heard);
    let subscription = engine.bus().subscribe("order.*", move |_| {
        hears.fetch_add(1, Ordering::Relaxed);
    });
    let batches: Vec<_> = (0..500).map(|_| events("fast", 1000)).collect();
    let began = Instant::now();
    for (number, batch) in batches.into_iter().enumerate() {
        engine.publish_events(batch).unwrap();
        // As fast as the subscriber takes them: none is dropped.
        while heard.load(Ordering::Relaxed) + 8_000 < (number + 1) * 1000 {
            std::thread::yield_now();
        }
    }
    while heard.load(Ordering::Relaxed) < 500_000 {
        std::thread::yield_now();
    }
    println!("fast, batches of 1000: {:.0} events/s to a subscriber", 5e5 / began.elapsed().as_secs_f64());
    drop(subscription);
    let batches: Vec<_> = (0..50).map(|_| events("durable", 1000)).collect();
    let began = Instant::now();
    batches.into_iter().for_each(|batch| drop(engine.publish_events(batch).unwrap()));
    println!("durable, batches of 1000: {:.0} events/s", 5e4 / began.elapsed().as_secs_f64());
    for (mode, count) in [("durable", 1000), ("fast", 10_000)] {
        let took = calls(&engine, mode, count);
        println!("{mode}, alone: p50 {:.1} us, p95 {:.1} us", took[count / 2], took[count * 95 / 100]);
    }
}
