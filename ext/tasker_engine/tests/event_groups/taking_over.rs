//! What becomes of a group whose process is gone, or that is given back.

use std::time::Duration;

use crate::harness::{until, Folder};
use crate::{claim, claim_all, claim_now, handled, numbers, outcome, settle, subscriber, Publisher};

/// The shortest lease there is.
const SHORT: Duration = Duration::from_millis(500);

#[test]
fn what_was_in_hand_of_one_that_is_gone_comes_again_to_the_next() {
    let folder = Folder::new();
    let (mut publisher, first) = (Publisher::open(&folder), subscriber(&folder, &["#"], true));
    publisher.publish("order.placed", Some("k"), 0..6);
    let short = |engine: &tasker_engine::bootstrap::Engine| {
        engine.claiming_events("g", 6, SHORT, crate::harness::PATIENCE).unwrap().answer().unwrap()
    };
    let events = short(&first);
    assert_eq!(events.len(), 6);
    let retry = r#""error":{},"retry_in":0"#;
    let how = |n: usize| if n < 2 { r#""ok":true"# } else { retry };
    let outcomes = (0..3).map(|n| outcome(&events[n], how(n)));
    assert_eq!(settle(&first, outcomes.collect()).unwrap().len(), 3, "those behind it are taken back");
    let second = subscriber(&folder, &["#"], true);
    assert!(claim_now(&second, 10).is_empty(), "it is the first one's, which renews its lease");
    let left = || second.groups().unwrap().list().unwrap()[0].lease_seconds.unwrap_or_default();
    let mut before = left();
    until("the lease is renewed, whatever its handlers do", || left() > std::mem::replace(&mut before, left()));
    assert!(claim_now(&second, 10).is_empty());
    // Its process ends without a word: its engine and its thread are gone, and nobody renews.
    first.close();
    let mut came = Vec::new();
    until("the second one takes over", || {
        came.extend(claim_now(&second, 10));
        !came.is_empty()
    });
    assert_eq!((numbers(&came), came[0].attempt), (vec![2], 2), "not those that were handled");
    assert_eq!(settle(&first, vec![outcome(&events[4], r#""ok":true"#)]), None, "it has lost the group");
    handled(&second, &came);
    assert_eq!(numbers(&claim_all(&second, 3)), [3, 4, 5], "in their order");
}

#[test]
fn one_that_gives_its_group_back_is_followed_at_once() {
    let folder = Folder::new();
    let (mut publisher, first) = (Publisher::open(&folder), subscriber(&folder, &["#"], false));
    let second = subscriber(&folder, &["#"], false);
    publisher.publish("order.placed", None, 0..3);
    let events = claim_all(&first, 3);
    handled(&first, &events[..1]);
    first.closing_group("g".into()).unwrap().answer().unwrap();
    assert_eq!(numbers(&claim(&second, 10)), [1, 2]);
    assert!(first.claiming_events("g", 1, SHORT, Duration::ZERO).is_err(), "it is not open there any more");
}
