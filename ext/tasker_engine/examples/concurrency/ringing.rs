//! A sleeper and those who ring.

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use crate::bell::Bell;
use crate::model::LONG;
use crate::Scenario;

pub const SCENARIOS: &[Scenario] = &[("bell_wakes_whoever_sleeps_or_is_about_to", wakes)];

fn wakes() {
    let (bell, work) = (Arc::new(Bell::default()), Arc::new(AtomicUsize::new(0)));
    let ringers: Vec<_> = (0..2)
        .map(|_| {
            let (bell, work) = (Arc::clone(&bell), Arc::clone(&work));
            thread::spawn(move || {
                for _ in 0..2 {
                    work.fetch_add(1, Ordering::SeqCst);
                    bell.ring();
                }
            })
        })
        .collect();
    let mut done = 0;
    while done < 4 {
        match work.swap(0, Ordering::SeqCst) {
            0 => assert!(bell.sleep(LONG), "nobody rang"),
            more => done += more,
        }
    }
    ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
}
