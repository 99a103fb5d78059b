//! Which commits wait for the server's disk.

use tasker_engine::bootstrap::Engine;
use tasker_engine::config::{Config, Durability};

use crate::harness::postgres::Database;
use crate::harness::{config, next_event, register, settled, submit, succeed, worker, LINEAR};

/// Each commit's row in the journal, and whether it waited; by a trigger that fires when the transaction commits.
const NOTE: &str = "CREATE TABLE public.commits (seq int, waited text); \
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    INSERT INTO public.commits VALUES (NEW.seq, current_setting('synchronous_commit')); RETURN NULL; END $$; \
    CREATE CONSTRAINT TRIGGER note AFTER INSERT ON tasker.journal DEFERRABLE INITIALLY DEFERRED \
    FOR EACH ROW EXECUTE FUNCTION public.note()";

fn waited(durability: Durability, query: &str) -> Option<String> {
    let database = Database::new()?;
    database.server(&format!("ALTER DATABASE {} SET synchronous_commit = on", database.name()));
    let config = Config { durability, ..config(&format!("{}{query}", database.url())) };
    let engine = Engine::open(&config).unwrap();
    register(&engine, LINEAR);
    database.sql(NOTE);
    engine.start_worker(worker(1)).unwrap();
    let task = submit(&engine, "linear").task_uuid;
    for _ in 0..4 {
        let event = next_event(&engine);
        succeed(&engine, &event, "1");
    }
    assert_eq!(crate::harness::finished(&engine, task).state, "complete");
    settled(&engine);
    engine.close();
    Some(database.sql("SELECT string_agg(waited, ' ' ORDER BY seq) FROM public.commits"))
}

#[test]
fn only_what_somebody_is_told_of_waits_for_the_disk() {
    for query in ["", "?pgbouncer=true"] {
        let Some(each) = waited(Durability::Step, query) else { return };
        assert!(!each.contains("off") && each.contains("on on on on on"), "{query}: {each}");
    }
    // The submission and the last end; between them, claims and ends of attempts that only this worker knows of.
    let some = waited(Durability::Task, "").unwrap();
    assert!(some.starts_with("on off off off") && some.ends_with(" on"), "{some}");
    // Behind a pooler nobody would notice that the server had forgotten them.
    let all = waited(Durability::Task, "?pgbouncer=true").unwrap();
    assert!(!all.contains("off"), "{all}");
}

#[test]
fn a_claim_waits_for_the_disk_only_if_it_is_for_the_last_attempt() {
    for (attempts, expected) in [(3, "on off on"), (1, "on on on")] {
        let Some(database) = Database::new() else { return };
        database.server(&format!("ALTER DATABASE {} SET synchronous_commit = on", database.name()));
        let [works, submits] = [0, 1].map(|_| Engine::open(&config(&database.url())).unwrap());
        let retry = format!("{{max_attempts: {attempts}}}");
        register(&works, &format!("name: one\nsteps:\n  - {{name: one, handler: noop, retry: {retry}}}\n"));
        works.start_worker(worker(1)).unwrap();
        // With what a worker does first, before it has heard of anything.
        let first = submit(&works, "one").task_uuid;
        succeed(&works, &next_event(&works), "1");
        assert_eq!(crate::harness::finished(&works, first).state, "complete");
        database.sql(NOTE);
        let task = submit(&submits, "one").task_uuid;
        succeed(&works, &next_event(&works), "1");
        assert_eq!(crate::harness::finished(&works, task).state, "complete");
        works.close();
        submits.close();
        let waited = database.sql("SELECT string_agg(waited, ' ' ORDER BY seq) FROM public.commits");
        assert_eq!(waited, expected, "{attempts} attempts");
    }
}
