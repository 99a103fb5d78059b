//! Who reads for a group by which patterns, and how fast.

use std::time::{Duration, Instant};

use tasker_engine::interrupt::Interrupt;

use crate::harness::{until, Folder, PATIENCE};
use crate::{claim, claim_all, claim_now, handled, numbers, opening, subscriber, Publisher, LEASE};

#[test]
fn a_group_that_is_opened_with_other_patterns_goes_by_them_at_once_and_misses_nothing() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["order.*"], false));
    publisher.publish("order.placed", None, [0]);
    let first = claim_all(&engine, 1);
    publisher.publish_all([("payment.made", None, 1), ("order.placed", None, 2)]);
    assert_eq!(numbers(&claim_all(&engine, 1)), [2], "read up to here by the old patterns");
    // A newer version of the subscriber, in another process.
    let newer = subscriber(&folder, &["order.*", "payment.*"], false);
    assert!(claim_now(&newer, 10).is_empty(), "another process reads");
    handled(&engine, &first);
    let again = claim_all(&engine, 2);
    assert_eq!(numbers(&again), [0, 1], "what was handled with the old ones comes again, and what they have passed");
    handled(&engine, &again);
    newer.groups().unwrap().open(&opening("g", &["payment.*"], false)).unwrap();
    publisher.publish_all([("order.placed", None, 3), ("payment.made", None, 4)]);
    engine.groups().unwrap().open(&opening("g", &["payment.*"], false)).unwrap();
    assert_eq!(numbers(&claim(&engine, 10)), [4]);
}

#[test]
fn a_claim_that_is_called_back_loses_nothing() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["#"], false));
    publisher.publish("order.placed", None, 0..50);
    for _ in 0..50 {
        // It leaves at some moment of its look.
        let mut asked = engine.claiming_events("g", 1, LEASE, PATIENCE).unwrap();
        let interrupt = Interrupt::new();
        if let Some(answer) = asked.wait(Duration::from_micros(50), &interrupt) {
            handled(&engine, &answer.unwrap());
        }
    }
    let left = |engine: &_| crate::claim_now(engine, 1_000).len();
    until("the last look is over", || engine.groups().unwrap().list().unwrap()[0].holder.is_some());
    let look = engine.groups().unwrap().list().unwrap().remove(0);
    let mut came = 0;
    until("all that is pending comes", || {
        came += left(&engine);
        came == look.pending
    });
    assert!(claim_now(&engine, 10).is_empty());
}

#[test]
fn a_group_takes_ten_thousand_events_a_second() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["order.*"], true));
    for batch in 0..20 {
        let numbers = batch * 1_000..(batch + 1) * 1_000;
        publisher.publish_all(numbers.map(|n| ("order.placed", Some((n % 97).to_string()), n)));
    }
    let (began, mut last, mut count) = (Instant::now(), [None; 97], 0);
    while count < 20_000 {
        let events = claim(&engine, 500);
        for n in numbers(&events) {
            assert!(last[n % 97] < Some(n), "in the order of its key");
            last[n % 97] = Some(n);
        }
        count += events.len();
        handled(&engine, &events);
    }
    let rate = f64::from(20_000) / began.elapsed().as_secs_f64();
    assert!(rate > 10_000.0 || cfg!(debug_assertions) && rate > 3_000.0, "{rate:.0} events/s");
}
