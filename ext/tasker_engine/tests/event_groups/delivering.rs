//! What a group gets, and what follows from what became of it.

use std::time::{Duration, Instant};

use tasker_engine::error::Error;

use crate::harness::{until, Folder};
use crate::{
    claim, claim_all, claim_now, handled, number, numbers, opening, outcome, settle, subscriber, Publisher, LEASE,
};

const RETRY_NOW: &str = r#""error":{"class":"E","message":"m"},"retry_in":0"#;
const DEAD: &str = r#""error":{"class":"E","message":"m"},"retry_in":null"#;

#[test]
fn a_group_gets_what_fits_its_patterns_in_order_and_once() {
    let folder = Folder::new();
    let mut publisher = Publisher::open(&folder);
    let engine = subscriber(&folder, &["order.*", "payment.#"], false);
    publisher.publish_all((0..300).map(|n| (["order.placed", "payment.a.b", "cart.filled"][n % 3], None, n)));
    let wanted: Vec<usize> = (0..300).filter(|n| n % 3 != 2).collect();
    let first = claim_all(&engine, 150);
    assert_eq!(claim_now(&engine, 0).len(), 0);
    let rest = claim_all(&engine, 50);
    assert_eq!([numbers(&first), numbers(&rest)].concat(), wanted);
    assert!(first.iter().all(|delivery| delivery.attempt == 1 && delivery.key.is_none()));
    assert!(claim_now(&engine, 100).is_empty(), "all are in hand");
    handled(&engine, &rest);
    handled(&engine, &first);
    until("nothing is pending", || engine.groups().unwrap().list().unwrap()[0].pending == 0);
    publisher.publish("order.placed", None, [7]);
    assert_eq!(numbers(&claim(&engine, 10)), [7]);
}

#[test]
fn an_event_is_heard_of_soon_by_another_process() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["#"], false));
    publisher.publish("warm.up", None, [0]);
    handled(&engine, &claim(&engine, 10));
    let mut took: Vec<Duration> = (1..=40)
        .map(|n| {
            let mut asked = engine.claiming_events("g", 10, LEASE, crate::harness::PATIENCE).unwrap();
            let interrupt = tasker_engine::interrupt::Interrupt::new();
            // It waits: nothing is there.
            assert!(asked.wait(Duration::from_millis(5), &interrupt).is_none());
            let came = std::thread::spawn(move || (asked.answer().unwrap(), Instant::now()));
            let began = Instant::now();
            publisher.publish("order.placed", None, [n]);
            let (deliveries, at) = came.join().unwrap();
            assert_eq!(numbers(&deliveries), [n]);
            handled(&engine, &deliveries);
            at.saturating_duration_since(began)
        })
        .collect();
    took.sort();
    assert!(took[20] < Duration::from_millis(20), "half of them came later than {:?}", took[20]);
}

#[test]
fn what_failed_comes_again_as_another_attempt_and_at_last_is_a_dead_letter() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["#"], false));
    publisher.publish("order.placed", None, 0..3);
    let first = claim_all(&engine, 3);
    settle(
        &engine,
        vec![outcome(&first[0], RETRY_NOW), outcome(&first[1], r#""ok":true"#), outcome(&first[2], r#""later":0"#)],
    );
    let mut again = claim_all(&engine, 2);
    again.sort_by_key(number);
    let seen: Vec<_> = again.iter().map(|delivery| (number(delivery), delivery.attempt)).collect();
    assert_eq!(seen, [(0, 2), (2, 1)], "one that was put off has lost no attempt");
    settle(&engine, vec![outcome(&again[0], DEAD), outcome(&again[1], r#""ok":true"#)]);
    assert!(claim_now(&engine, 10).is_empty());

    let groups = engine.groups().unwrap();
    let letters = groups.store().dead("g", 10).unwrap();
    assert_eq!((letters.len(), letters[0].attempts), (1, 2));
    assert_eq!(letters[0].error.as_deref(), Some(r#"{"class":"E","message":"m"}"#));
    let look = groups.list().unwrap().remove(0);
    assert_eq!((look.dead, look.retrying, look.pending), (1, 0, 0));
    assert_eq!(groups.store().requeue("g", None).unwrap(), 1);
    let back = claim(&engine, 10);
    assert_eq!((numbers(&back), back[0].attempt), (vec![0], 1));
    handled(&engine, &back);
    assert_eq!(groups.list().unwrap()[0].dead, 0);
}

#[test]
fn events_of_a_key_wait_for_the_one_that_failed_and_others_pass() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["#"], true));
    let key = |n: usize| Some(["a", "b"][n % 2].to_owned());
    publisher.publish_all((0..6).map(|n| ("order.placed", key(n), n)));
    let first = claim_all(&engine, 6);
    assert_eq!(first[1].key.as_deref(), Some("b"));
    let hour = r#""error":{},"retry_in":3600"#;
    let taken_back = settle(&engine, vec![outcome(&first[0], hour), outcome(&first[1], r#""ok":true"#)]).unwrap();
    assert_eq!(taken_back, [first[2].delivery, first[4].delivery]);
    handled(&engine, &[first[3].clone(), first[5].clone()]);
    publisher.publish_all((6..9).map(|n| ("order.placed", key(n), n)));
    assert_eq!(numbers(&claim(&engine, 10)), [7], "of a's, those that come now wait too");
    let look = engine.groups().unwrap().list().unwrap().remove(0);
    assert_eq!(look.retrying, 5);
}

#[test]
fn events_of_a_key_come_in_their_order_when_the_one_before_them_is_given_up() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["#"], true));
    publisher.publish("order.placed", Some("a"), 0..3);
    let first = claim_all(&engine, 1);
    // Two are read with it or after it; none of them is taken by anybody.
    settle(&engine, vec![outcome(&first[0], RETRY_NOW)]);
    publisher.publish("order.placed", Some("a"), [3]);
    let again = claim(&engine, 10);
    assert_eq!(numbers(&again), [0]);
    // The one that was published meanwhile waits behind it, wherever the group has read to.
    assert!(claim_now(&engine, 10).is_empty());
    settle(&engine, vec![outcome(&again[0], DEAD)]);
    assert_eq!(numbers(&claim_all(&engine, 3)), [1, 2, 3]);
}

#[test]
fn one_that_hangs_keeps_no_other_back_and_is_not_given_out_again() {
    let folder = Folder::new();
    let (mut publisher, engine) = (Publisher::open(&folder), subscriber(&folder, &["#"], true));
    publisher.publish("order.placed", Some("hangs"), [0]);
    let hanging = claim_all(&engine, 1);
    publisher.publish("order.placed", Some("other"), 1..4_001);
    for _ in 0..4 {
        handled(&engine, &claim_all(&engine, 1_000));
    }
    publisher.publish_all([("order.placed", Some("hangs".into()), 5_000), ("order.placed", None, 5_001)]);
    let next = claim(&engine, 10);
    assert_eq!(numbers(&next), [5_001], "its key waits");
    handled(&engine, &next);
    let look = engine.groups().unwrap().list().unwrap().remove(0);
    assert_eq!((look.pending, look.retrying), (0, 2), "the cursor has passed it");
    handled(&engine, &hanging);
    assert_eq!(numbers(&claim(&engine, 10)), [5_000]);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_word_about_it() {
    let folder = Folder::new();
    let engine = subscriber(&folder, &["#"], false);
    let refused = |opening| engine.groups().unwrap().open(&opening).unwrap_err().to_string();
    assert!(refused(opening("", &["#"], false)).contains("1 to 128 bytes"));
    assert!(refused(opening("x", &[], false)).contains("patterns"));
    assert!(refused(opening("x", &["a..b"], false)).contains("a..b"));
    let mut odd = opening("x", &["#"], false);
    odd.from = "yesterday".into();
    assert!(refused(odd).contains("yesterday"));
    let claiming = |name: &str, lease| engine.claiming_events(name, 1, lease, Duration::ZERO).map(drop).unwrap_err();
    assert!(matches!(claiming("unknown", LEASE), Error::NotFound(message) if message.contains("not open")));
    assert!(matches!(claiming("g", LEASE * 2), Error::InvalidInput(message) if message.contains("120 s")));
}
