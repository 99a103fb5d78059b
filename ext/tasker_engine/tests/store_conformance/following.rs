//! Event groups: who reads, how far, and what waits.

use std::collections::HashSet;
use std::ops::{Deref, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::clock::Micros;
use tasker_engine::error::Error;
use tasker_engine::event::{DomainEvent, DomainEventPayload, EventMetadata, EventTrace};
use tasker_engine::ids;
use tasker_engine::store::groups::{
    From, GroupSpec, GroupState, Groups, Leased, Position, Put, Scan, Settlement, Then, WOKEN,
};
use tasker_engine::store::{Commit, Store};

use crate::harness::until;
use crate::place::{Place, NOW};

const LEASE: Duration = Duration::from_secs(20);

/// A store, and its groups.
struct Open {
    store: Box<dyn Store>,
    groups: Arc<dyn Groups>,
}

impl Deref for Open {
    type Target = dyn Groups;

    fn deref(&self) -> &Self::Target {
        &*self.groups
    }
}

fn open(place: &Place) -> Open {
    let store = place.open();
    let groups = store.groups().unwrap();
    Open { store, groups }
}

fn spec(name: &str, from: From) -> GroupSpec {
    GroupSpec { name: name.into(), patterns: vec!["#".into()], key_order: true, from }
}

/// An event fired so many microseconds after the epoch as its row's number.
fn event(row: i64, name: &str, key: Option<&str>) -> Arc<DomainEvent> {
    let metadata = EventMetadata {
        task_uuid: None,
        step_uuid: None,
        step_name: None,
        namespace: "shop".into(),
        correlation_id: None,
        fired_at: Micros(row),
        fired_by: "test".into(),
    };
    let payload = DomainEventPayload { payload: row.to_string().into(), ..DomainEventPayload::default() };
    let mut event = DomainEvent::new(ids::uuid_v7(NOW), name.into(), payload, metadata);
    event.key = key.map(Arc::from);
    event.trace = Some(EventTrace { trace_id: 1, span_id: 2, parent_span_id: None, sampled: true });
    Arc::new(event)
}

/// Publishes events with these numbers, which are their rows' as well, and returns when they may be read.
fn publish(open: &mut Open, rows: RangeInclusive<i64>, name: &str, key: Option<&str>) {
    let events: Vec<_> = rows.clone().map(|row| event(row, name, key)).collect();
    let mut transaction = open.store.begin().unwrap();
    transaction.publish(&events).unwrap();
    transaction.commit(&Commit { events: true, ..Commit::default() }).unwrap();
    // Another database's transaction may be open on the server.
    open.open(&spec("reads along", From::Beginning), NOW).unwrap();
    until("events may be read", || {
        let scan = open.scan("reads along", Position::default(), 10_000).unwrap();
        scan.last.is_some_and(|last| last.row >= *rows.end()) && !scan.hidden
    });
}

fn lease(groups: &dyn Groups, group: &str, holder: &str) -> GroupState {
    match groups.lease(group, holder, LEASE).unwrap() {
        Leased::Mine(state) => state,
        other => panic!("{other:?}"),
    }
}

fn rows(scan: &Scan) -> Vec<i64> {
    scan.events.iter().map(|seen| seen.at.row).collect()
}

fn due(groups: &dyn Groups) -> Vec<i64> {
    groups.due("g", &[], 1_000).unwrap().rows.iter().map(|due| due.at.row).collect()
}

fn put(row: i64, key: &str, attempts: u32, then: Then) -> Put {
    Put { row, key: Some(key.into()), attempts, then, error: Some("{\"class\":\"E\"}".into()) }
}

fn after(seconds: u64) -> Then {
    Then::After(Duration::from_secs(seconds))
}

fn settle(groups: &dyn Groups, holder: &str, done: &[i64], put: Vec<Put>, wake: &[&str]) -> Leased {
    let cursor = lease_cursor(groups);
    let wake = wake.iter().map(|key| Arc::from(*key)).collect();
    let patterns = vec!["#".into()];
    groups.settle("g", holder, LEASE, &Settlement { cursor, patterns, done: done.to_vec(), put, wake }).unwrap()
}

fn lease_cursor(groups: &dyn Groups) -> Position {
    groups.scan("g", Position::default(), 1_000).unwrap().last.unwrap_or_default()
}

/// A group that holds its lease, and five events of one key.
fn following(place: &Place) -> Open {
    let mut groups = open(place);
    publish(&mut groups, 1..=5, "order.placed", Some("k"));
    groups.open(&spec("g", From::Beginning), NOW).unwrap();
    lease(&*groups, "g", "one");
    groups
}

pub fn a_group_begins_where_it_is_told_and_keeps_its_place(place: &Place) {
    let mut groups = open(place);
    publish(&mut groups, 1..=3, "order.placed", None);
    for (name, from) in
        [("all", From::Beginning), ("new", From::Now), ("since", From::At(Micros(3))), ("late", From::At(Micros(9)))]
    {
        groups.open(&spec(name, from), NOW).unwrap();
    }
    publish(&mut groups, 4..=4, "order.placed", None);
    let comes = |name: &str| rows(&groups.scan(name, lease(&*groups, name, "one").cursor, 100).unwrap());
    assert_eq!(["all", "new", "since", "late"].map(comes), [vec![1, 2, 3, 4], vec![4], vec![3, 4], vec![4]]);

    let again = GroupSpec { patterns: vec!["payment.*".into()], key_order: false, ..spec("new", From::Beginning) };
    groups.open(&again, NOW).unwrap();
    let state = lease(&*groups, "new", "one");
    assert_eq!((state.patterns, state.key_order), (vec!["payment.*".into()], false));
    assert_eq!(comes("new"), [4], "it has its place");
    assert_eq!(groups.lease("nobody's", "one", LEASE).unwrap(), Leased::Unknown);
}

pub fn one_process_at_a_time_reads_for_a_group(place: &Place) {
    let groups = open(place);
    groups.open(&spec("g", From::Now), NOW).unwrap();
    lease(&*groups, "g", "one");
    let Leased::Others(left) = groups.lease("g", "two", LEASE).unwrap() else { panic!() };
    assert!(left > LEASE / 2 && left <= LEASE, "{left:?}");
    place.pass(LEASE / 2);
    lease(&*groups, "g", "one");
    place.pass(LEASE / 2 + Duration::from_secs(1));
    assert!(matches!(groups.lease("g", "two", LEASE).unwrap(), Leased::Others(_)), "it was renewed");
    place.pass(LEASE);
    lease(&*groups, "g", "two");
    assert!(matches!(settle(&*groups, "one", &[], vec![], &[]), Leased::Others(_)));
    groups.release("g", "one").unwrap();
    assert!(matches!(groups.lease("g", "one", LEASE).unwrap(), Leased::Others(_)), "it was not one's to give");
    groups.release("g", "two").unwrap();
    lease(&*groups, "g", "one");
    assert!(matches!(settle(&*groups, "one", &[], vec![], &[]), Leased::Mine(_)));
    place.pass(LEASE / 2);
    let held = groups.list().unwrap().into_iter().find(|view| view.name == "g").unwrap().holder;
    assert!(held.is_some_and(|(holder, left)| holder == "one" && left <= LEASE / 2));
}

pub fn events_come_in_their_order_and_in_portions(place: &Place) {
    let groups = following(place);
    let first = groups.scan("g", Position::default(), 2).unwrap();
    assert_eq!((rows(&first), first.more, first.hidden), (vec![1, 2], true, false));
    assert_eq!((first.events[0].name.as_str(), first.events[0].key.as_deref()), ("order.placed", Some("k")));
    settle(&*groups, "one", &[], vec![put(4, "k", 1, Then::Dead)], &[]);
    let rest = groups.scan("g", first.last.unwrap(), 100).unwrap();
    assert_eq!((rows(&rest), rest.more), (vec![3, 5], false), "one stands among the deliveries");
    assert_eq!(rest.last.unwrap().row, 5);
    let next = groups.scan("g", rest.last.unwrap(), 100).unwrap();
    assert_eq!((next.events.len(), next.last), (0, None));
    let before = groups.scan("g", rest.last.unwrap().before(), 100).unwrap();
    assert_eq!(rows(&before), [5]);
    let messages = groups.messages(&[2, 5, 99]).unwrap();
    assert_eq!(messages.len(), 2);
    assert!(messages[&2].event.contains("\"order.placed\""), "{messages:?}");
    assert!(messages[&2].traceparent.as_deref().is_some_and(|trace| trace.starts_with("00-0000")), "{messages:?}");
}

pub fn what_failed_comes_again_when_its_time_has_come(place: &Place) {
    let groups = following(place);
    let failed = vec![put(1, "a", 1, after(10)), put(2, "b", 3, after(0)), put(3, "c", 1, Then::Dead)];
    settle(&*groups, "one", &[], failed, &[]);
    let found = groups.due("g", &[], 10).unwrap();
    assert_eq!(found.rows.iter().map(|due| (due.at.row, due.attempts)).collect::<Vec<_>>(), [(2, 3)]);
    let next = found.next.unwrap();
    assert!(next > Duration::from_secs(5) && next <= Duration::from_secs(10), "{next:?}");
    assert!(groups.due("g", &[2], 10).unwrap().rows.is_empty(), "it is in hand");
    place.pass(Duration::from_secs(10));
    assert_eq!(due(&*groups), [1, 2]);
    assert_eq!(groups.due("g", &[], 1).unwrap().rows.len(), 1, "a portion");
    settle(&*groups, "one", &[2], vec![put(1, "a", 2, after(0))], &[]);
    let found = groups.due("g", &[], 10).unwrap();
    assert_eq!((found.rows.len(), found.rows[0].attempts, found.next), (1, 2, None));
}

pub fn nothing_is_written_for_one_who_lost_the_lease(place: &Place) {
    let groups = following(place);
    settle(&*groups, "one", &[], vec![put(1, "a", 1, after(0)), put(2, "k", 0, Then::Parked)], &[]);
    place.pass(LEASE * 2);
    let cursor = lease(&*groups, "g", "two").cursor;
    assert_eq!(cursor.row, 5);
    let late = Settlement {
        cursor: Position { row: 1, ..cursor },
        done: vec![1],
        put: vec![put(3, "c", 1, after(0))],
        wake: vec!["k".into()],
        patterns: vec!["#".into()],
    };
    let before = due(&*groups);
    assert!(matches!(groups.settle("g", "one", LEASE, &late).unwrap(), Leased::Others(_)));
    assert_eq!((due(&*groups), lease(&*groups, "g", "two").cursor), (before, cursor));
}

pub fn a_cursor_stays_when_the_group_wants_other_events_meanwhile(place: &Place) {
    let groups = following(place);
    let before = lease(&*groups, "g", "one").cursor;
    groups.open(&GroupSpec { patterns: vec!["payment.*".into()], ..spec("g", From::Now) }, NOW).unwrap();
    let Leased::Mine(state) = settle(&*groups, "one", &[], vec![put(1, "k", 1, Then::Dead)], &[]) else { panic!() };
    assert_eq!((state.cursor, state.patterns), (before, vec!["payment.*".into()]));
    assert_eq!(lease(&*groups, "g", "one").cursor, before);
    assert_eq!(groups.dead("g", 9).unwrap().len(), 1, "the rest is written");
}

pub fn a_key_waits_behind_a_retry_and_not_behind_a_dead_letter(place: &Place) {
    let groups = following(place);
    let parked = || (2..=4).map(|row| put(row, "k", 0, Then::Parked));
    settle(&*groups, "one", &[], [put(1, "k", 1, after(10))].into_iter().chain(parked()).collect(), &[]);
    let blocked = |keys: &[&str]| groups.blocked("g", keys).unwrap();
    assert_eq!(blocked(&["a", "k"]), HashSet::from(["k".to_owned()]));
    place.pass(Duration::from_secs(10));
    assert_eq!(due(&*groups), [1], "the others wait for it");
    settle(&*groups, "one", &[], vec![put(1, "k", 2, after(10))], &["k"]);
    assert_eq!(due(&*groups), [] as [i64; 0], "woken, and yet behind it");
    settle(&*groups, "one", &[], vec![put(1, "k", 3, Then::Dead)], &[]);
    assert_eq!(due(&*groups), [2, 3, 4]);
    settle(&*groups, "one", &[2, 3, 4], vec![], &[]);
    assert!(blocked(&["k"]).is_empty(), "a dead letter is in nobody's way");
}

pub fn what_is_woken_comes_in_portions_and_in_order(place: &Place) {
    let mut groups = following(place);
    let many = i64::try_from(WOKEN).unwrap() + 5;
    publish(&mut groups, 6..=many, "order.placed", Some("k"));
    let parked = (2..=many).rev().map(|row| put(row, "k", 0, Then::Parked));
    settle(&*groups, "one", &[], parked.collect(), &[]);
    assert!(due(&*groups).is_empty());
    settle(&*groups, "one", &[], vec![], &["k", "a"]);
    assert_eq!(due(&*groups), (2..=many - 4).collect::<Vec<_>>());
}

pub fn who_takes_over_wakes_what_waits_for_nothing(place: &Place) {
    let groups = following(place);
    let waiting = vec![
        put(1, "k", 0, Then::Parked),
        put(2, "k", 0, Then::Parked),
        put(3, "a", 1, after(60)),
        put(4, "a", 0, Then::Parked),
    ];
    settle(&*groups, "one", &[], waiting, &[]);
    lease(&*groups, "g", "one");
    assert!(due(&*groups).is_empty(), "a renewal wakes nothing");
    groups.release("g", "one").unwrap();
    lease(&*groups, "g", "two");
    assert_eq!(due(&*groups), [1]);
    groups.open(&GroupSpec { key_order: false, ..spec("g", From::Now) }, NOW).unwrap();
    groups.release("g", "two").unwrap();
    lease(&*groups, "g", "one");
    assert_eq!(due(&*groups), [1, 2], "the first waits for its retry still");
}

pub fn dead_letters_are_shown_delivered_again_and_forgotten(place: &Place) {
    let groups = following(place);
    settle(&*groups, "one", &[], (1..=4).map(|row| put(row, "k", 7, Then::Dead)).collect(), &[]);
    let letters = groups.dead("g", 2).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.row).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((letters[0].attempts, letters[0].error.as_deref()), (7, Some("{\"class\":\"E\"}")));
    assert!(letters[0].key.as_deref() == Some("k") && letters[0].event.contains("\"order.placed\""), "{letters:?}");
    let seen = groups.news().number();
    assert_eq!(groups.requeue("g", Some(&[1, 5, 99])).unwrap(), 1);
    assert!(groups.news().number() > seen, "whoever reads for the group is told");
    let found = groups.due("g", &[], 10).unwrap();
    assert_eq!((found.rows.len(), found.rows[0].attempts), (1, 0), "with a fresh budget");
    assert_eq!(groups.forget("g", Some(&[1, 2])).unwrap(), 1, "only what is dead");
    assert_eq!(groups.requeue("g", None).unwrap(), 2);
    assert_eq!(due(&*groups), [1, 3, 4]);
    assert_eq!(groups.forget("g", None).unwrap(), 0);
    for error in [
        groups.dead("x", 1).unwrap_err(),
        groups.requeue("x", None).unwrap_err(),
        groups.forget("x", None).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::NotFound(message) if message.contains("\"x\"")), "{error}");
    }
}

pub fn groups_are_listed_with_what_is_behind_them_and_can_be_forgotten(place: &Place) {
    let mut groups = following(place);
    publish(&mut groups, 6..=7, "payment.made", None);
    settle(
        &*groups,
        "one",
        &[],
        vec![put(1, "k", 1, after(9)), put(2, "k", 0, Then::Parked), put(3, "a", 1, Then::Dead)],
        &[],
    );
    publish(&mut groups, 8..=9, "payment.made", None);
    let view = groups.list().unwrap().into_iter().find(|view| view.name == "g").unwrap();
    assert_eq!((view.retrying, view.dead, view.key_order, view.began_at), (2, 1, true, NOW));
    assert_eq!(view.behind, [("payment.made".to_owned(), 2, Micros(8))]);
    assert_eq!(view.patterns, ["#"]);
    assert!(matches!(groups.remove("g"), Err(Error::IllegalTransition(_))), "it is in use");
    groups.release("g", "one").unwrap();
    assert!(groups.remove("g").unwrap() && !groups.remove("g").unwrap());
    assert!(groups.list().unwrap().iter().all(|view| view.name != "g"));
    groups.open(&spec("g", From::Beginning), NOW).unwrap();
    assert!(due(&*groups).is_empty(), "its deliveries are gone with it");
}
