//! Fast events: after the commit, in this process, to whoever subscribed; nobody is waited for.

use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Value};
use tasker_engine::bootstrap::Engine;
use tasker_engine::events::{BusItem, InProcessEventBus, InProcessEventBusStats, Subscription};
use tasker_engine::interrupt::Interrupt;

use crate::harness::{config, finished, manual, run, submit, working, Folder, PATIENCE};
use crate::names;

/// The counts are the process's: one test at a time looks at them.
static COUNTS: Mutex<()> = Mutex::new(());

fn subscribe(engine: &Engine, pattern: &str) -> (Subscription, Receiver<String>) {
    let (sender, heard) = channel();
    let subscription = engine.bus().subscribe(pattern, move |event| drop(sender.send(event.event_name.to_string())));
    (subscription.unwrap(), heard)
}

fn publish(engine: &Engine, name: &str, mode: &str) {
    let event = json!([{"name": name, "delivery_mode": mode}]).to_string();
    engine.publish_events(serde_json::from_str(&event).unwrap()).unwrap();
}

fn next(bus: &InProcessEventBus) -> BusItem {
    assert!(bus.wait(PATIENCE, &Interrupt::new()).unwrap());
    bus.try_poll().unwrap()
}

#[test]
fn subscribers_hear_of_what_fits_their_pattern_until_they_leave() {
    let _counts = COUNTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    let before = engine.bus().stats();
    let (orders, heard_orders) = subscribe(&engine, "order.*");
    let (_all, heard_all) = subscribe(&engine, "#");
    for (name, mode) in [("order.placed", "fast"), ("payment.made", "broadcast"), ("order.kept", "durable")] {
        publish(&engine, name, mode);
    }
    assert_eq!(heard_orders.recv_timeout(PATIENCE).unwrap(), "order.placed");
    drop(orders);
    publish(&engine, "order.last", "fast");
    assert_eq!(heard_orders.iter().count(), 0);
    let all: Vec<String> = (0..3).map(|_| heard_all.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(all, ["order.placed", "payment.made", "order.last"]);
    let InProcessEventBusStats { rust_handler_dispatches, ffi_channel_dispatches, .. } = engine.bus().stats();
    assert_eq!(rust_handler_dispatches - before.rust_handler_dispatches, 4);
    assert_eq!(ffi_channel_dispatches, before.ffi_channel_dispatches);
}

#[test]
fn a_subscriber_that_hangs_or_panics_holds_up_neither_steps_nor_other_subscribers() {
    let _counts = COUNTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Folder::new();
    let yaml = "
name: loud
steps:
  - name: only
    handler: noop
    publishes_events: [{name: step.done, delivery_mode: broadcast}]
";
    let engine = working(&folder.database(), manual(), 1, yaml);
    let (release, hangs) = channel::<()>();
    let hangs = Mutex::new(hangs);
    let hung = engine.bus().subscribe("#", move |_| hangs.lock().unwrap().recv().unwrap_or(())).unwrap();
    let panics = engine.bus().subscribe("#", |_| panic!("simulated")).unwrap();
    let (_there, heard) = subscribe(&engine, "step.*");
    for _ in 0..3 {
        let task = submit(&engine, "loud");
        run(&engine, "only", "1");
        finished(&engine, task.task_uuid);
    }
    for _ in 0..3 {
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "step.done");
    }
    assert_eq!(names(&folder), ["step.done"; 3]);
    drop((release, hung, panics));
}

#[test]
fn what_does_not_fit_into_the_channel_is_dropped_and_counted() {
    let _counts = COUNTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.database())).unwrap();
    let bus = engine.bus();
    publish(&engine, "order.unheard", "fast");
    bus.listen(true, false);
    let before = bus.stats();
    for _ in 0..10_002 {
        publish(&engine, "order.placed", "fast");
    }
    assert_eq!(bus.stats().ffi_channel_dispatches - before.ffi_channel_dispatches, 10_000);
    let BusItem::Domain(first) = next(bus) else { panic!("no domain event") };
    assert_eq!(&*first.event_name, "order.placed");
    let told: Value = serde_json::from_str(&BusItem::Domain(Arc::clone(&first)).json()).unwrap();
    assert_eq!(told["event_id"], json!(first.event_id));
    bus.listen(false, false);
    assert!(bus.try_poll().is_none());
    assert!(!bus.wait(Duration::from_millis(1), &Interrupt::new()).unwrap());
    let interrupt = Interrupt::new();
    interrupt.set();
    assert!(bus.wait(PATIENCE, &interrupt).is_err());
}

#[test]
fn a_fast_event_of_a_step_comes_after_its_commit_and_is_not_stored() {
    let _counts = COUNTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Folder::new();
    let yaml = "
name: quick
steps:
  - name: only
    handler: noop
    publishes_events: [{name: step.quick, delivery_mode: fast}, {name: step.kept}]
";
    let engine = working(&folder.database(), manual(), 1, yaml);
    engine.bus().listen(true, false);
    let task = submit(&engine, "quick");
    run(&engine, "only", r#"{"n":1}"#);
    let BusItem::Domain(event) = next(engine.bus()) else { panic!("no domain event") };
    assert_eq!(engine.task(task.task_uuid).unwrap().steps[0].state, "complete");
    assert_eq!((&*event.event_name, &*event.payload.payload), ("step.quick", r#"{"n":1}"#));
    assert_eq!(names(&folder), ["step.kept"]);
}
