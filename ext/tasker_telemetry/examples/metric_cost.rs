//! What metrics cost: nanoseconds for all that one step records, and the time and size of a scrape.
//! `cargo run --release --example metric_cost`
#![allow(clippy::print_stdout)]

use std::time::Instant;

use tasker_telemetry::record::metrics;

const STEPS: u32 = 1_000_000;

fn main() {
    let (task, engine) = (metrics::task_series("shop", "order"), metrics::engine());
    let step = task.step("charge_card");
    for round in 1..=3 {
        let began = Instant::now();
        for n in 0..STEPS {
            let ms = f64::from(n % 1_000) / 10.0;
            task.enqueued.add(1);
            task.claimed.add(1);
            task.queue_wait.record(ms);
            engine.handoff.record(ms);
            engine.gvl_wait.record(ms);
            step.execution.record(ms);
            step.executed.add(1);
            step.succeeded.add(1);
            task.settle.record(ms);
        }
        println!("round {round}: {:.0} ns a step", began.elapsed().as_nanos() as f64 / f64::from(STEPS));
    }
    for templates in [1, 20, 200] {
        for n in 0..templates {
            (0..5).for_each(|handler| {
                let series = metrics::task_series("shop", &format!("task_{n}"));
                series.duration.record(1.0);
                series.step(&format!("handler_{handler}")).execution.record(1.0);
            });
        }
        let began = Instant::now();
        let text = tasker_telemetry::prometheus_text();
        println!(
            "scrape with {templates} templates of 5 steps: {:.1} ms, {} KB",
            began.elapsed().as_secs_f64() * 1e3,
            text.len() / 1024
        );
    }
}
