//! What other processes are told of commits: at most so often, and all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::store::{Commit, Store};

use crate::harness::config;
use crate::harness::postgres::Database;
use crate::permutations::fresh;
use crate::place::new_task;

/// Somebody who listens, and the store that tells.
struct Told {
    database: Database,
    runtime: tokio::runtime::Runtime,
    listener: Option<PgListener>,
    store: PostgresStore,
    new: tasker_engine::plan::NewTask,
}

impl Told {
    fn start() -> Option<Told> {
        let database = Database::new()?;
        let mut store = PostgresStore::open(&config(&database.url()), Arc::default()).unwrap();
        let new = new_task(&mut store, "default");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(async {
            let mut listener = PgListener::connect(&database.url()).await.unwrap();
            listener.listen("tasker").await.unwrap();
            Some(listener)
        });
        Some(Told { database, runtime, listener, store, new })
    }

    /// Commits a task whose steps anybody may claim.
    fn commit(&mut self) {
        let mut transaction = self.store.begin().unwrap();
        transaction.write(&mut [fresh(&self.new)]).unwrap();
        transaction.commit(&Commit { steps_enqueued: true, ..Commit::default() }).unwrap();
    }

    /// Does what the engine does when it is time.
    fn flush(&mut self) {
        while let Some(wait) = self.store.flush_notices() {
            std::thread::park_timeout(wait);
        }
    }

    /// How often it was told until now.
    fn heard(&mut self) -> usize {
        self.database.sql("SELECT pg_notify('tasker', 'end')");
        let count = async {
            let mut count = 0;
            let listener = self.listener.as_mut().unwrap();
            while listener.recv().await.unwrap().payload() != "end" {
                count += 1;
            }
            count
        };
        self.runtime.block_on(count)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // Its connection goes back to where it is driven.
        let _inside = self.runtime.enter();
        drop(self.listener.take());
    }
}

#[test]
fn commits_within_a_moment_are_told_of_together() {
    let Some(mut told) = Told::start() else { return };
    let began = Instant::now();
    (0..50).for_each(|_| told.commit());
    told.flush();
    let most = began.elapsed().as_millis() as usize + 2;
    let heard = told.heard();
    assert!((2..=most).contains(&heard), "{heard} notifications, at most {most}");
}

#[test]
fn what_had_to_wait_for_its_time_is_told_though_its_commit_took_longer() {
    let Some(mut told) = Told::start() else { return };
    // A commit that takes longer than two that notify are kept apart.
    told.database.sql(
        "CREATE FUNCTION tasker.slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON tasker.journal FOR EACH ROW EXECUTE FUNCTION tasker.slow()",
    );
    told.commit();
    told.commit();
    told.flush();
    assert_eq!(told.heard(), 2);
}

#[test]
fn a_server_that_is_away_is_not_asked_again_and_again() {
    let Some(mut told) = Told::start() else { return };
    told.commit();
    told.commit();
    let (name, closed) = (told.database.name(), |yes: bool| format!("ALLOW_CONNECTIONS {}", !yes));
    told.database.server(&format!("ALTER DATABASE {name} {}", closed(true)));
    told.database.server(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    std::thread::park_timeout(told.store.flush_notices().unwrap_or_default());
    let next = told.store.flush_notices();
    assert_ne!(next, Some(Duration::ZERO), "the engine's thread would ask without a pause");
    told.database.server(&format!("ALTER DATABASE {name} {}", closed(false)));
}
