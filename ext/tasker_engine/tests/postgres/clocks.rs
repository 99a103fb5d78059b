//! Leases go by the server's clock: what a worker believes the time to be decides about nobody's claim.

use std::time::Duration;

use tasker_engine::clock::Clock;

use crate::harness::postgres::Database;
use crate::harness::{finished, manual, next_event, no_event, settled, submit, succeed, working, LINEAR};

const HOUR: i64 = 3_600_000_000;

/// A worker whose clock was set by that much.
fn off(micros: i64) -> Clock {
    let clock = manual();
    clock.jump(micros);
    clock
}

#[test]
fn a_clock_that_is_an_hour_off_neither_loses_nor_steals_a_lease() {
    for (mine, other) in [(0, HOUR), (0, -HOUR), (HOUR, 0), (-HOUR, 0)] {
        let Some(database) = Database::new() else { return };
        let (clock, wrong) = (off(mine), off(other));
        let holds = working(&database.url(), clock.clone(), 1, LINEAR);
        let task = submit(&holds, "linear").task_uuid;
        let event = next_event(&holds);
        let looks = working(&database.url(), wrong.clone(), 1, LINEAR);
        for _ in 0..4 {
            // It looks for the dead, and both renew.
            wrong.advance(Duration::from_secs(11));
            clock.advance(Duration::from_secs(11));
            settled(&holds);
            no_event(&looks);
        }
        wrong.jump(2 * HOUR);
        wrong.advance(Duration::from_secs(11));
        no_event(&looks);
        let leases =
            "SELECT count(*) FROM tasker.workers WHERE lease_until BETWEEN clock_timestamp() + interval '15 s' \
            AND clock_timestamp() + interval '31 s'";
        assert_eq!(database.sql(leases), "2", "{mine} {other}: both are renewed by the server's clock");
        // Only the server's clock ends it.
        database.sql("UPDATE tasker.workers SET lease_until = clock_timestamp() - interval '1 s' WHERE tasks <> '{}'");
        wrong.advance(Duration::from_secs(11));
        let taken = next_event(&looks);
        assert_eq!((&taken.step_name, taken.attempt), (&event.step_name, 2));
        succeed(&looks, &taken, "1");
        for _ in 0..3 {
            let event = next_event(&looks);
            succeed(&looks, &event, "1");
        }
        assert_eq!(finished(&looks, task).steps[0].attempts, 2);
        looks.close();
        holds.close();
    }
}
