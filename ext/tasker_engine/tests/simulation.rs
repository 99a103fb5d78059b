//! Several engines, each with its real loop, on one store in memory, with everything that can go wrong going wrong: one
//! seed decides all of it, and the same seed does it again. `SEEDS=n` runs so many of them, `SEED=n` begins with that
//! one, and alone tells what happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "simulation/blows.rs"]
mod blows;
#[path = "simulation/clients.rs"]
mod clients;
#[path = "simulation/commit.rs"]
mod commit;
#[path = "simulation/data.rs"]
mod data;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/handlers.rs"]
mod handlers;
#[path = "simulation/machine.rs"]
mod machine;
#[path = "simulation/profile.rs"]
mod profile;
#[path = "simulation/rules.rs"]
mod rules;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/transaction.rs"]
mod transaction;
#[path = "simulation/watch.rs"]
mod watch;
#[path = "simulation/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lines of a failed run that are shown.
const SHOWN: usize = 250;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_goes_wrong_every_promise_is_kept() {
    let first = setting("SEED").unwrap_or(0);
    let count = setting("SEEDS").unwrap_or(if setting("SEED").is_some() { 1 } else { 2000 });
    let (next, failed, actions) = (AtomicU64::new(first), AtomicU64::new(u64::MAX), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count || failed.load(Ordering::Relaxed) < seed {
                    break;
                }
                match std::panic::catch_unwind(|| run::run(seed, false)) {
                    Ok(Ok(done)) => drop(actions.fetch_add(done, Ordering::Relaxed)),
                    _ => drop(failed.fetch_min(seed, Ordering::Relaxed)),
                }
            });
        }
    });
    let failed = failed.into_inner();
    let took = began.elapsed().as_secs_f64();
    let done = next.into_inner().min(first + count) - first;
    println!("{done} seeds, {} actions in {took:.1} s: {:.0} seeds/s", actions.into_inner(), done as f64 / took);
    if failed < u64::MAX {
        tell(failed);
    }
    if let (Some(seed), true) = (setting("SEED"), count == 1) {
        println!("seed {seed} keeps every promise");
    }
}

/// Runs a seed again and tells what happens.
fn tell(seed: u64) {
    let (rule, history) = run::run(seed, true).expect_err("the same seed fails again");
    let skipped = history.len().saturating_sub(setting("SHOWN").map_or(SHOWN, |lines| lines as usize));
    println!("{skipped} lines before");
    history.iter().skip(skipped).for_each(|line| println!("{line}"));
    panic!("seed {seed}: {rule}");
}

#[test]
fn the_same_seed_does_the_same_again() {
    for seed in 0..20 {
        let told = || {
            let sim = world::World::new(seed, true);
            let ended = run::live(&sim);
            let mut world = world::lock(&sim);
            let told = (ended, world.now, world.actions, world.history.take());
            let slots = std::mem::take(&mut world.slots);
            drop(world);
            drop(slots);
            told
        };
        assert_eq!(told(), told(), "seed {seed}");
    }
}
