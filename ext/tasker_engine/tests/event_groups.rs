//! Durable subscribers of engines: what is delivered, in which order, again after a crash, and how soon. On SQLite, or on a
//! server when TEST_STORE is `postgres`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "event_groups/delivering.rs"]
mod delivering;
#[path = "support/harness.rs"]
mod harness;
#[path = "event_groups/reading.rs"]
mod reading;
#[path = "event_groups/taking_over.rs"]
mod taking_over;

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;
use tasker_engine::config::Config;
use tasker_engine::event::{DomainEvent, DomainEventPayload, EventMetadata};
use tasker_engine::groups::{Delivery, Opening, Outcome};
use tasker_engine::ids;
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::store::sqlite::SqliteStore;
use tasker_engine::store::{Commit, Store};

use harness::{config, Folder, PATIENCE};

/// Long enough for any test.
const LEASE: Duration = Duration::from_secs(60);

/// Another process that publishes.
struct Publisher(Box<dyn Store>);

impl Publisher {
    fn open(folder: &Folder) -> Publisher {
        let config: Config = config(&folder.database());
        let catalogue = Arc::new(Catalogue::default());
        Publisher(if config.is_remote() {
            Box::new(PostgresStore::open(&config, catalogue).unwrap())
        } else {
            Box::new(SqliteStore::open(&config, catalogue).unwrap())
        })
    }

    /// Publishes events of one name and with one key, in a transaction: their payloads are these numbers.
    fn publish(&mut self, name: &str, key: Option<&str>, numbers: impl IntoIterator<Item = usize>) {
        self.publish_all(numbers.into_iter().map(|number| (name, key.map(str::to_owned), number)));
    }

    /// The same for events of several names and keys.
    fn publish_all<'a>(&mut self, events: impl IntoIterator<Item = (&'a str, Option<String>, usize)>) {
        let events: Vec<Arc<DomainEvent>> =
            events.into_iter().map(|(name, key, number)| Arc::new(event(name, key, number))).collect();
        let mut transaction = self.0.begin().unwrap();
        transaction.publish(&events).unwrap();
        transaction.commit(&Commit { events: true, ..Commit::default() }).unwrap();
    }
}

fn event(name: &str, key: Option<String>, number: usize) -> DomainEvent {
    let now = Clock::System.now();
    let metadata = EventMetadata {
        task_uuid: None,
        step_uuid: None,
        step_name: None,
        namespace: "shop".into(),
        correlation_id: None,
        fired_at: now,
        fired_by: "test".into(),
    };
    let payload = DomainEventPayload { payload: number.to_string().into(), ..DomainEventPayload::default() };
    let mut event = DomainEvent::new(ids::uuid_v7(now), name.into(), payload, metadata);
    event.key = key.map(Arc::from);
    event
}

fn opening(name: &str, patterns: &[&str], key_order: bool) -> Opening {
    let patterns: Vec<&str> = patterns.to_vec();
    let json = serde_json::json!({ "name": name, "patterns": patterns, "from": "beginning", "key_order": key_order });
    serde_json::from_value(json).unwrap()
}

/// A process that reads for group `g`.
fn subscriber(folder: &Folder, patterns: &[&str], key_order: bool) -> Arc<Engine> {
    let engine = Engine::open(&config(&folder.database())).unwrap();
    engine.opening_group(opening("g", patterns, key_order)).unwrap().answer().unwrap();
    engine
}

/// The next events, waiting for them.
fn claim(engine: &Engine, limit: usize) -> Vec<Delivery> {
    engine.claiming_events("g", limit, LEASE, PATIENCE).unwrap().answer().unwrap()
}

/// Those that are there.
fn claim_now(engine: &Engine, limit: usize) -> Vec<Delivery> {
    engine.claiming_events("g", limit, LEASE, Duration::ZERO).unwrap().answer().unwrap()
}

/// As many events as are wanted, in as many claims as it takes.
fn claim_all(engine: &Engine, count: usize) -> Vec<Delivery> {
    let mut claimed = Vec::new();
    while claimed.len() < count {
        let next = claim(engine, count - claimed.len());
        assert!(!next.is_empty(), "{} of {count} came", claimed.len());
        claimed.extend(next);
    }
    claimed
}

/// What an event was published with.
fn number(delivery: &Delivery) -> usize {
    let event: serde_json::Value = serde_json::from_str(delivery.event.get()).unwrap();
    usize::try_from(event["payload"]["payload"].as_u64().unwrap()).unwrap()
}

fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    deliveries.iter().map(number).collect()
}

fn outcome(delivery: &Delivery, how: &str) -> Outcome {
    serde_json::from_str(&format!("{{\"delivery\":{},{how}}}", delivery.delivery)).unwrap()
}

/// Says what became of deliveries. Gives those that are taken back.
fn settle(engine: &Engine, outcomes: Vec<Outcome>) -> Option<Vec<i64>> {
    engine.settling_events("g".into(), outcomes).unwrap().answer().unwrap()
}

/// They were handled.
fn handled(engine: &Engine, deliveries: &[Delivery]) {
    let outcomes = deliveries.iter().map(|delivery| outcome(delivery, r#""ok":true"#)).collect();
    assert_eq!(settle(engine, outcomes), Some(Vec::new()));
}
