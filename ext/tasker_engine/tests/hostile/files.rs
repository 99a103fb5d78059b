//! The database's file disappears while it is in use.

use std::fs::{remove_file, rename};

use tasker_engine::bootstrap::Engine;

use crate::harness::*;

fn refused(engine: &Engine) -> String {
    let refused = engine.submit(vec![request("linear", "{}")]).unwrap_err();
    assert_eq!(refused.kind(), "store", "{refused}");
    refused.to_string()
}

#[test]
fn a_file_that_was_renamed_takes_nothing_until_it_is_put_back() {
    let folder = Folder::new();
    let engine = Engine::open(&config(&folder.sqlite())).unwrap();
    register(&engine, LINEAR);
    let before = submit(&engine, "linear").task_uuid;
    let away = folder.sqlite() + ".old";
    rename(folder.sqlite(), &away).unwrap();
    let told = refused(&engine);
    assert!(told.contains("renamed") && told.contains(&folder.sqlite()) && told.contains("restart"), "{told}");
    assert!(!std::path::Path::new(&folder.sqlite()).exists(), "no second store");
    rename(&away, folder.sqlite()).unwrap();
    let mut after = None;
    until("it takes work again", || {
        after =
            engine.submit(vec![request("linear", "{}")]).ok().map(|mut answers| answers.remove(0).unwrap().task_uuid);
        after.is_some()
    });
    for task in [before, after.unwrap()] {
        assert_eq!(engine.task(task).unwrap().steps.len(), 4);
    }
}

#[test]
fn a_file_in_anothers_place_is_not_taken_for_it() {
    let folder = Folder::new();
    let engine = working(&folder.sqlite(), manual(), 1, LINEAR);
    submit(&engine, "linear");
    for suffix in ["", "-wal", "-shm"] {
        remove_file(folder.sqlite() + suffix).unwrap();
    }
    // Whoever comes anew makes a new one.
    let new = working(&folder.sqlite(), manual(), 1, LINEAR);
    no_event(&new);
    let told = refused(&engine);
    assert!(told.contains("replaced") || told.contains("keeps failing"), "{told}");
    let task = submit(&new, "linear").task_uuid;
    assert_eq!(next_event(&new).task_uuid, task);
}
