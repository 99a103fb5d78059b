//! The connection breaks between a commit and its answer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tasker_engine::bootstrap::Engine;

use crate::harness::postgres::Database;
use crate::harness::{config, finished, register, request, worker, Handlers, LINEAR};

/// Stands between the engine and its server, and cuts the connection on which the next COMMIT passes: before it
/// reaches the server, while the server is at work on it, or once the server has answered it. The server does not hear
/// of the second: its session goes on.
struct Proxy {
    address: SocketAddr,
    cuts: Cuts,
}

#[derive(Clone, Default)]
struct Cuts {
    before: Arc<AtomicBool>,
    during: Arc<AtomicBool>,
    after: Arc<AtomicBool>,
}

impl Proxy {
    fn start(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Cuts::default();
        let own = cuts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                pass(client, server, own.clone());
            }
        });
        Proxy { address, cuts }
    }
}

fn pass(client: TcpStream, server: TcpStream, cuts: Cuts) {
    let close = |client: &TcpStream, server: &TcpStream| {
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    };
    let mute = Arc::new(AtomicBool::new(false));
    let (from, to, muted) = (server.try_clone().unwrap(), client.try_clone().unwrap(), Arc::clone(&mute));
    std::thread::spawn(move || {
        let (mut from, mut to, mut bytes) = (from, to, [0; 65_536]);
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if muted.load(Ordering::SeqCst) || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        close(&to, &from);
    });
    std::thread::spawn(move || {
        let (mut client, mut server, mut bytes) = (client, server, [0; 65_536]);
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            // Not the level of isolation that is named so.
            let commit = bytes[..count]
                .windows(7)
                .any(|window| [b"COMMIT;", b"COMMIT\0"].contains(&window.first_chunk().unwrap()));
            if commit && cuts.before.swap(false, Ordering::SeqCst) {
                break;
            }
            if commit && cuts.after.swap(false, Ordering::SeqCst) {
                mute.store(true, Ordering::SeqCst);
            }
            if server.write_all(&bytes[..count]).is_err() {
                break;
            }
            if commit && cuts.during.swap(false, Ordering::SeqCst) {
                let _ = client.shutdown(Shutdown::Both);
                // Longer than any test: the server's session is left as it is.
                std::mem::forget(server);
                return;
            }
        }
        if !mute.load(Ordering::SeqCst) {
            close(&client, &server);
        }
    });
}

/// An engine, and what stands between it and its server.
fn behind(database: &Database, query: &str) -> (Arc<Engine>, Proxy) {
    let url = database.url();
    let (user, place) = url.split_once('@').unwrap();
    let (server, name) = place.split_once('/').unwrap();
    let proxy = Proxy::start(server.to_owned());
    let engine = Engine::open(&config(&format!("{user}@{}/{name}{query}", proxy.address))).unwrap();
    (engine, proxy)
}

#[test]
fn what_is_acknowledged_happened_and_what_is_refused_did_not() {
    let Some(database) = Database::new() else { return };
    let (engine, proxy) = behind(&database, "");
    register(&engine, LINEAR);
    let count = || database.sql("SELECT count(*) FROM tasker.tasks");

    proxy.cuts.after.store(true, Ordering::SeqCst);
    let committed = engine.submit(vec![request("linear", "{}")]).unwrap().remove(0).unwrap();
    assert!(!proxy.cuts.after.load(Ordering::SeqCst), "it was cut");
    assert_eq!(count(), "1");

    proxy.cuts.before.store(true, Ordering::SeqCst);
    let refused = engine.submit(vec![request("linear", "{}")]).unwrap_err();
    assert!(!proxy.cuts.before.load(Ordering::SeqCst), "it was cut");
    assert_eq!(count(), "1", "{refused}");

    // The same while steps are settled: nothing runs twice that was committed.
    engine.start_worker(worker(1)).unwrap();
    let after = Arc::clone(&proxy.cuts.after);
    let handlers = Handlers::start(&engine, 1, move |_| {
        after.store(true, Ordering::SeqCst);
        Ok("1".into())
    });
    let task = finished(&engine, committed.task_uuid);
    assert_eq!((task.state.as_str(), task.steps.iter().map(|step| step.attempts).max()), ("complete", Some(1)));
    engine.close();
    handlers.stop();
}

/// With a key or without, alone or among so many that they go as several statements, with a session of its own or behind
/// a pooler: before the COMMIT reached the server nothing happened, after it everything did.
#[test]
fn a_submission_is_there_once_or_not_at_all() {
    for query in ["", "?pgbouncer=true"] {
        let Some(database) = Database::new() else { return };
        let (engine, proxy) = behind(&database, query);
        register(&engine, LINEAR);
        let mut expected = 0;
        for (tasks, keyed) in [(1, false), (1, true), (1, false), (30, false), (30, true)] {
            let requests = |number: usize| {
                let requests = (0..tasks).map(|task| {
                    let mut request = request("linear", "{}");
                    request.idempotency_key = keyed.then(|| format!("{number} {tasks} {task}"));
                    request
                });
                requests.collect::<Vec<_>>()
            };
            let count = || database.sql("SELECT count(*) FROM tasker.tasks").parse::<usize>().unwrap();
            proxy.cuts.after.store(true, Ordering::SeqCst);
            let answers = engine.submit(requests(1)).unwrap();
            assert!(!proxy.cuts.after.load(Ordering::SeqCst), "it was cut");
            expected += tasks;
            assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|task| task.created)), "{answers:?}");
            assert_eq!(count(), expected, "{query} {tasks} {keyed}");
            proxy.cuts.before.store(true, Ordering::SeqCst);
            engine.submit(requests(2)).unwrap_err();
            assert!(!proxy.cuts.before.load(Ordering::SeqCst), "it was cut");
            assert_eq!(count(), expected, "{query} {tasks} {keyed}");
            engine.submit(requests(2)).unwrap();
            expected += tasks;
            assert_eq!(count(), expected, "{query} {tasks} {keyed}: once more");
        }
        engine.close();
    }
}

/// The session that was left behind is ended, and its transaction with it: what is refused does not happen later.
#[test]
fn a_transaction_that_is_still_at_work_is_ended_before_anybody_is_told() {
    let Some(database) = Database::new() else { return };
    let (engine, proxy) = behind(&database, "");
    register(&engine, LINEAR);
    database.sql(
        "CREATE FUNCTION tasker.slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON tasker.journal FOR EACH ROW EXECUTE FUNCTION tasker.slow()",
    );
    proxy.cuts.during.store(true, Ordering::SeqCst);
    let began = std::time::Instant::now();
    let refused = engine.submit(vec![request("linear", "{}")]).unwrap_err();
    assert!(!proxy.cuts.during.load(Ordering::SeqCst), "it was cut");
    assert!(!matches!(refused, tasker_engine::error::Error::Unknown(_)), "{refused}");
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    assert_eq!(database.sql(asleep), "0");
    assert_eq!(database.sql("SELECT count(*) FROM tasker.tasks"), "0");
    engine.close();
}
