//! Two processes do any two things to the same tasks, in every order of their calls: one of them wins, the other begins
//! again or finds nothing to do; the journal stays whole; and no two ever wait for each other.

#[path = "permutations/operations.rs"]
mod operations;
#[path = "permutations/schedule.rs"]
mod schedule;
#[path = "permutations/world.rs"]
mod world;

use tasker_engine::error::Error;
use tasker_engine::store::postgres::PostgresStore;

use crate::harness::config;
use crate::harness::postgres::Database;
use operations::{Operation, OPERATIONS};
use schedule::{orders, Outside};
pub use world::fresh;
use world::World;

/// PERMUTATIONS=1 for every order of every pair; otherwise every so many orders.
fn every(some: usize) -> usize {
    if std::env::var_os("PERMUTATIONS").is_some() {
        1
    } else {
        some
    }
}

/// Plays pairs of operations, each in the orders that are its turn.
fn play(isolation: &str, queries: [&str; 2], every: usize) {
    let Some(database) = Database::new() else { return };
    let name = database.name();
    database.server(&format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"));
    let open =
        |query: &str| PostgresStore::open(&config(&format!("{}{query}", database.url())), Default::default()).unwrap();
    let (mut a, mut b) = (open(queries[0]), open(queries[1]));
    let mut outside = Outside::new(&database.url());
    let mut turn = 0;
    for first in OPERATIONS {
        for second in OPERATIONS {
            for order in orders() {
                turn += 1;
                if turn % every == 0 {
                    let played = format!("{isolation}: {} and {} in the order {order:?}", first.0, second.0);
                    one([&mut a, &mut b], [first.1, second.1], &order, &mut outside, &played);
                }
            }
        }
    }
}

fn one(stores: [&mut PostgresStore; 2], both: [Operation; 2], order: &[usize], outside: &mut Outside, played: &str) {
    let [a, b] = stores;
    let world = World::new(a, b);
    let ended = schedule::run([a, b], both, &world, order, outside);
    for (who, ended) in ended.iter().enumerate() {
        let fair = match ended {
            // The word for a deadlock.
            Err(Error::Contention(why)) => !why.contains("40P01"),
            Err(Error::LeaseLost(_)) => true,
            other => other.is_ok(),
        };
        assert!(fair, "{played}: {who} ended with {ended:?}");
    }
    let both_failed = ended.iter().all(|ended| matches!(ended, Err(Error::Contention(_))));
    assert!(!both_failed, "{played}: nobody won: {ended:?}");
    // Who lost begins again, and gets on.
    for (store, operation, who) in [(&mut *a, both[0], 0), (&mut *b, both[1], 1)] {
        if let Err(Error::Contention(_)) = &ended[who] {
            let again = schedule::alone(store, operation, &world, who);
            assert!(matches!(again, Ok(()) | Err(Error::LeaseLost(_))), "{played}: {who}, again: {again:?}");
        }
    }
    let wrong = outside.wrong();
    assert!(wrong.is_empty(), "{played}: {wrong:?}");
    outside.clear();
}

#[test]
fn any_two_operations_in_any_order() {
    play("read committed", ["", ""], every(11));
}

#[test]
fn statements_of_their_own_are_no_worse_than_scripts() {
    // What stands behind a pooler sends each statement by itself.
    let query = if Database::new().is_some_and(|database| database.url().contains('?')) { "&" } else { "?" };
    let pooler = format!("{query}pgbouncer=true");
    play("read committed", ["", &pooler], every(29));
    play("read committed", [&pooler, &pooler], every(31));
}

#[test]
fn whatever_isolation_the_database_begins_with() {
    play("repeatable read", ["", ""], every(37));
    play("serializable", ["", ""], every(41));
}
