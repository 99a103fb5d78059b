//! In which order groups read events, whoever commits first.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::clock::Micros;
use tasker_engine::event::{DomainEvent, DomainEventPayload, EventMetadata};
use tasker_engine::ids;
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::groups::{From, GroupSpec, Position, Scan};
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::store::Store;

use crate::harness::postgres::Database;
use crate::harness::{config, until};

const WRITE: &str = "INSERT INTO tasker.events (event_id, namespace, name, fired_at, message) \
    VALUES (gen_random_uuid(), 'shop', '%', now(), '{}')";

fn names(scan: &Scan) -> Vec<&str> {
    scan.events.iter().map(|seen| seen.name.as_str()).collect()
}

/// A connection of its own with an open transaction.
struct Open(tokio::runtime::Runtime, sqlx::PgConnection);

impl Open {
    fn begin(database: &Database) -> Open {
        use sqlx::Connection;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(sqlx::PgConnection::connect(&database.url())).unwrap();
        let mut open = Open(runtime, connection);
        open.run("BEGIN; SELECT pg_current_xact_id()");
        open
    }

    fn run(&mut self, sql: &str) {
        use sqlx::Executor;
        self.0.block_on(self.1.execute(sql)).unwrap();
    }
}

#[test]
fn an_event_waits_for_every_transaction_that_began_before_its_own() {
    let Some(database) = Database::new() else { return };
    let store = PostgresStore::open(&config(&database.url()), Arc::new(Catalogue::default())).unwrap();
    let groups = store.groups().unwrap();
    let spec = |from| GroupSpec { name: "g".into(), patterns: vec!["#".into()], key_order: false, from };
    groups.open(&spec(From::Beginning), Micros(1)).unwrap();
    let scan = |after| groups.scan("g", after, 10).unwrap();

    let mut early = Open::begin(&database);
    database.sql(&WRITE.replace('%', "late"));
    let seen = scan(Position::default());
    assert_eq!((names(&seen), seen.last, seen.hidden), (vec![], None, true), "the early one may write one yet");
    early.run(&WRITE.replace('%', "early"));
    early.run("COMMIT");
    // Another database of the server may have an open transaction.
    until("nothing is hidden", || !scan(Position::default()).hidden);
    let seen = scan(Position::default());
    assert_eq!(names(&seen), ["early", "late"], "in the order of their transactions, not of their numbers");
    assert!(seen.events[0].at.row > seen.events[1].at.row);
    let after = scan(seen.events[0].at);
    assert_eq!(names(&after), ["late"]);
    assert_eq!(names(&scan(after.last.unwrap())), [] as [&str; 0]);
}

#[test]
fn who_reads_for_a_group_is_told_of_events_and_nobody_is_without_one() {
    let Some(database) = Database::new() else { return };
    let open = || PostgresStore::open(&config(&database.url()), Arc::new(Catalogue::default())).unwrap();
    let (mut publisher, reader) = (open(), open());
    let groups = reader.groups().unwrap();
    let publish = |store: &mut PostgresStore| {
        let mut transaction = store.begin().unwrap();
        transaction.publish(&[event()]).unwrap();
        let commit = tasker_engine::store::Commit { events: true, ..Default::default() };
        transaction.commit(&commit).unwrap();
    };
    until("it listens", || groups.listen() > Duration::from_millis(100) && groups.news().number() > 0);
    let told = groups.news().number();
    publish(&mut publisher);
    let spec = GroupSpec { name: "g".into(), patterns: vec!["#".into()], key_order: false, from: From::Now };
    groups.open(&spec, Micros(1)).unwrap();
    groups.lease("g", "me", Duration::from_secs(60)).unwrap();
    publish(&mut publisher);
    until("it is told", || groups.news().number() > told);
    assert_eq!(groups.news().number(), told + 1, "of the second one: nobody followed the first");
}

fn event() -> Arc<DomainEvent> {
    let metadata = EventMetadata {
        task_uuid: None,
        step_uuid: None,
        step_name: None,
        namespace: "shop".into(),
        correlation_id: None,
        fired_at: Micros(1),
        fired_by: "test".into(),
    };
    let payload = DomainEventPayload { payload: "1".into(), ..DomainEventPayload::default() };
    Arc::new(DomainEvent::new(ids::uuid_v7(Micros(1)), "order.placed".into(), payload, metadata))
}
