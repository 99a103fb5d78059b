//! The connection breaks between a commit and its answer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tasker_engine::bootstrap::Engine;

use crate::harness::postgres::Database;
use crate::harness::{config, finished, register, request, worker, Handlers, LINEAR};

/// Stands between the engine and its server, and cuts the connection on which the next COMMIT passes: before it
/// reaches the server, or once the server has answered it.
struct Proxy {
    address: SocketAddr,
    before: Arc<AtomicBool>,
    after: Arc<AtomicBool>,
}

impl Proxy {
    fn start(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (before, after) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let cuts = (Arc::clone(&before), Arc::clone(&after));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                pass(client, server, cuts.clone());
            }
        });
        Proxy { address, before, after }
    }
}

fn pass(client: TcpStream, server: TcpStream, (before, after): (Arc<AtomicBool>, Arc<AtomicBool>)) {
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
            let commit = bytes[..count].windows(7).any(|window| window == b"COMMIT\0");
            if commit && before.swap(false, Ordering::SeqCst) {
                break;
            }
            if commit && after.swap(false, Ordering::SeqCst) {
                mute.store(true, Ordering::SeqCst);
            }
            if server.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        if !mute.load(Ordering::SeqCst) {
            close(&client, &server);
        }
    });
}

#[test]
fn what_is_acknowledged_happened_and_what_is_refused_did_not() {
    let Some(database) = Database::new() else { return };
    let url = database.url();
    let (user, place) = url.split_once('@').unwrap();
    let (server, name) = place.split_once('/').unwrap();
    let proxy = Proxy::start(server.to_owned());
    let engine = Engine::open(&config(&format!("{user}@{}/{name}", proxy.address))).unwrap();
    register(&engine, LINEAR);
    let count = || database.sql("SELECT count(*) FROM tasker.tasks");

    proxy.after.store(true, Ordering::SeqCst);
    let committed = engine.submit(vec![request("linear", "{}")]).unwrap().remove(0).unwrap();
    assert!(!proxy.after.load(Ordering::SeqCst), "it was cut");
    assert_eq!(count(), "1");

    proxy.before.store(true, Ordering::SeqCst);
    let refused = engine.submit(vec![request("linear", "{}")]).unwrap_err();
    assert!(!proxy.before.load(Ordering::SeqCst), "it was cut");
    assert_eq!(count(), "1", "{refused}");

    // The same while steps are settled: nothing runs twice that was committed.
    engine.start_worker(worker(1)).unwrap();
    let after = Arc::clone(&proxy.after);
    let handlers = Handlers::start(&engine, 1, move |_| {
        after.store(true, Ordering::SeqCst);
        Ok("1".into())
    });
    let task = finished(&engine, committed.task_uuid);
    assert_eq!((task.state.as_str(), task.steps.iter().map(|step| step.attempts).max()), ("complete", Some(1)));
    engine.close();
    handlers.stop();
}
