//! The engine's thread panics: nobody waits for it, and everybody can see that it is gone.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::interrupt::Interrupt;

use crate::connection;
use crate::harness::*;

#[test]
fn whoever_waits_for_an_engine_that_panicked_is_answered() {
    let folder = Folder::new();
    let engine = working(&folder.sqlite(), manual(), 1, LINEAR);
    submit(&engine, "linear");
    let running = next_event(&engine);
    // One request is being carried out and others wait when it happens.
    let other = connection(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ask = || {
        let engine = Arc::clone(&engine);
        std::thread::spawn(move || engine.submit(vec![request("linear", "{}")]).map(drop))
    };
    let asked = [(); 3].map(|()| ask());
    let channel = Arc::clone(engine.channel());
    let handler = std::thread::spawn(move || channel.wait(PATIENCE, &Interrupt::new()).unwrap());
    engine.simulate_panic();
    other.execute_batch("ROLLBACK").unwrap();
    until("it has ended", || engine.channel().has_failed());
    for answer in asked.map(|thread| thread.join().unwrap()) {
        assert!(answer.as_ref().is_ok() || answer.as_ref().unwrap_err().kind() == "stopped", "{answer:?}");
    }
    assert!(!handler.join().unwrap(), "a handler thread that waits goes home");
    assert!(engine.channel().is_closed() && engine.channel().try_poll().is_none());
    let status = engine.status();
    assert_eq!((&status["worker"]["running"], &status["worker"]["in_flight"]), (&false.into(), &0.into()));
    let refused = engine.submit(vec![request("linear", "{}")]).unwrap_err();
    assert_eq!(refused.kind(), "stopped", "{refused}");
    succeed(&engine, &running, "1");
    let stopped = engine.stop_worker(Duration::from_secs(60), &Interrupt::new()).unwrap();
    assert_eq!(stopped.handed_back, 0);
    assert!(engine.start_worker(worker(1)).is_err(), "it does not come back");
    engine.close();
}
