//! The simulated world: processes, time, dice, and whose turn it is. Everything follows from one seed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tasker_engine::bell::Bell;
use tasker_engine::clock::{Clock, Micros};
use tasker_engine::config::WorkerConfig;
use tasker_engine::ids::Dice;
use tasker_engine::simulation::{Door, Engine, Turn};
use tasker_engine::store::catalogue::Catalogue;
use tasker_engine::store::Change;

use crate::clients::Clients;
use crate::data::Data;
use crate::faults::AFTER_FAULT;
use crate::handlers::Run;
use crate::machine::{Records, SimMachine};
use crate::profile::{templates, Profile};
use crate::rules::Attempt;
use crate::store::SimStore;

pub type Sim = Arc<Mutex<World>>;

/// When every run begins, in microseconds since the epoch.
pub const START: i64 = 1_700_000_000_000_000;
/// How deep engines may run in the middle of each other's calls.
const DEPTH: usize = 3;

pub fn lock(sim: &Sim) -> MutexGuard<'_, World> {
    sim.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process with an engine in it.
pub struct Slot {
    /// `None` while it has its turn, and when it is gone.
    pub engine: Option<Engine>,
    pub door: Door,
    pub clock: Clock,
    pub machine: usize,
    pub alive: bool,
    /// It dies as soon as its turn ends, and nothing it does until then happens.
    pub doomed: bool,
    pub turning: bool,
    /// How many calls that take seconds it waits for, its own and those of whoever runs in the middle of its own.
    pub standing: usize,
    pub config: WorkerConfig,
    pub wake_at: i64,
    pub frozen_until: i64,
    /// What its handlers are at.
    pub runs: Vec<Run>,
    pub poll_at: i64,
    /// Until when none of them gets its turn to run.
    pub hog_until: i64,
    /// When it is next seen to it that its worker runs.
    pub start_at: i64,
    pub impaired_at: i64,
    pub gave_way_at: i64,
    pub bell: Option<Arc<Bell>>,
    pub told: Option<Change>,
    pub unsent: Option<Change>,
    pub send_at: i64,
    pub asked_at: i64,
    /// Since when it could have taken on a step.
    pub able_since: i64,
    /// When a task was last seen to be left alone by it.
    pub alone: BTreeMap<i64, i64>,
    /// When its worker was last seen to have a row.
    pub row_at: i64,
    /// Turns since it was last looked at.
    pub turns: usize,
}

pub struct World {
    pub seed: u64,
    pub dice: SmallRng,
    pub now: i64,
    pub profile: Profile,
    pub data: Data,
    pub slots: Vec<Slot>,
    pub clients: Clients,
    pub records: Arc<Records>,
    pub attempts: HashMap<u64, Attempt>,
    /// True time at which a step was enqueued.
    pub enqueued_at: HashMap<(i64, usize), i64>,
    /// Nothing goes wrong any more.
    pub is_calm: bool,
    pub blow_at: i64,
    pub look_at: i64,
    pub jumped_at: i64,
    /// How far a wall clock has ever been ahead.
    pub ahead: i64,
    /// Until when notifications get lost.
    pub deaf_until: i64,
    /// Until when no engine need be in step.
    pub trouble_until: i64,
    pub depth: usize,
    pub history: Option<Vec<String>>,
    pub violation: Option<String>,
    pub actions: u64,
}

#[derive(Clone, Copy)]
enum Action {
    Turn(usize),
    Poll(usize),
    Finish(usize, usize),
    Request,
    Blow,
    Look,
}

impl World {
    pub fn new(seed: u64, remembers: bool) -> Sim {
        let mut dice = SmallRng::seed_from_u64(seed);
        let profile = Profile::new(&mut dice);
        let engines = profile.engines;
        let data = Data { templates: templates().to_vec(), ..Data::default() };
        let world = World {
            seed,
            clients: Clients::new(),
            records: Arc::default(),
            dice,
            now: START,
            profile,
            data,
            slots: Vec::new(),
            attempts: HashMap::new(),
            enqueued_at: HashMap::new(),
            is_calm: false,
            blow_at: START + 500_000,
            look_at: START,
            jumped_at: 0,
            ahead: 2_000_000,
            deaf_until: 0,
            trouble_until: 0,
            depth: 0,
            history: remembers.then(Vec::new),
            violation: None,
            actions: 0,
        };
        let sim = Arc::new(Mutex::new(world));
        for _ in 0..engines {
            spawn(&sim);
        }
        sim
    }

    /// Lets time pass, for everybody.
    pub fn advance(&mut self, micros: i64) {
        self.now += micros;
        let duration = Duration::from_micros(micros.unsigned_abs());
        for slot in self.slots.iter().filter(|slot| slot.alive) {
            slot.clock.advance(duration);
        }
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let (Some(history), None) = (&mut self.history, &self.violation) {
            let at = (self.now - START) as f64 / 1e6;
            history.push(format!("{at:10.6} {:depth$}{}", "", line(), depth = self.depth * 2));
        }
    }

    /// A rule that must hold.
    pub fn holds(&mut self, truth: bool, rule: impl FnOnce() -> String) {
        if !truth && self.violation.is_none() {
            let rule = rule();
            self.note(|| format!("VIOLATION: {rule}"));
            self.violation = Some(rule);
        }
    }

    /// What comes next, and when.
    fn next(&mut self, until: i64) -> Option<Action> {
        let now = self.now;
        let mut next = (i64::MAX, Action::Look);
        let mut ready: Vec<Action> = Vec::new();
        let mut offer = |at: i64, action: Action| {
            if at <= now {
                ready.push(action);
            }
            if at < next.0 {
                next = (at, action);
            }
        };
        for (number, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.alive) {
            if slot.engine.is_some() {
                if now >= slot.hog_until && now >= slot.frozen_until {
                    slot.door.handlers_wait(slot.config.concurrency.saturating_sub(slot.runs.len()));
                }
                if slot.door.rung() {
                    slot.wake_at = slot.wake_at.min(now);
                }
                offer(slot.wake_at.max(slot.frozen_until), Action::Turn(number));
            }
            if slot.runs.len() < slot.config.concurrency && slot.door.channel.depth().waiting > 0 {
                offer(slot.poll_at.max(slot.hog_until).max(slot.frozen_until), Action::Poll(number));
            }
            for (index, run) in slot.runs.iter().enumerate() {
                offer(run.ends_at.max(slot.frozen_until), Action::Finish(number, index));
            }
        }
        offer(self.clients.next_at(self.is_calm), Action::Request);
        if !self.is_calm {
            offer(self.blow_at, Action::Blow);
        }
        offer(self.look_at, Action::Look);
        if !ready.is_empty() {
            return Some(ready[self.dice.random_range(0..ready.len())]);
        }
        if next.0 > until {
            return None;
        }
        self.advance(next.0 - now);
        Some(next.1)
    }
}

/// Does the next thing, if there is one before `until`.
pub fn step(sim: &Sim, until: i64) -> bool {
    let mut world = lock(sim);
    if world.violation.is_some() {
        return false;
    }
    let Some(action) = world.next(until) else {
        let left = until - world.now;
        world.advance(left.max(0));
        return false;
    };
    world.actions += 1;
    match action {
        Action::Turn(number) => {
            drop(world);
            turn(sim, number);
        }
        Action::Poll(number) => world.poll(number),
        Action::Finish(number, index) => world.finish(number, index),
        Action::Request => world.request(),
        Action::Blow => {
            drop(world);
            crate::blows::strike(sim);
        }
        Action::Look => world.look(),
    }
    true
}

/// One turn of an engine's loop.
fn turn(sim: &Sim, number: usize) {
    let Some(mut engine) = ({
        let mut world = lock(sim);
        let now = world.now;
        let slot = &mut world.slots[number];
        slot.turning = true;
        let free = slot.config.concurrency.saturating_sub(slot.runs.len());
        slot.door.handlers_wait(if now < slot.hog_until { 0 } else { free });
        slot.engine.take()
    }) else {
        return;
    };
    let turned = engine.turn();
    let mut world = lock(sim);
    world.note(|| format!("#{number} {turned:?}"));
    let cost = world.dice.random_range(10..60);
    world.advance(cost);
    let latency = if world.dice.random_bool(0.9) { world.dice.random_range(0..300) } else { 20_000 };
    let now = world.now;
    let slot = &mut world.slots[number];
    slot.turning = false;
    slot.poll_at = now + latency;
    slot.wake_at = match turned {
        Turn::Again => now,
        Turn::Sleep(pause) => now.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)),
        Turn::End => i64::MAX,
    };
    slot.turns += 1;
    let gone = slot.doomed || turned == Turn::End;
    if gone {
        world.bury(number);
    } else {
        slot.engine = Some(engine);
        world.hear_answers();
        return;
    }
    drop(world);
    drop(engine);
}

/// In the middle of a call: others may go on meanwhile, for a moment or for seconds.
pub fn pause(sim: &Sim, process: usize, transaction: u64) {
    let mut world = lock(sim);
    if world.depth >= DEPTH || world.violation.is_some() {
        return;
    }
    let late = if world.is_calm { 0.0 } else { world.profile.late };
    let (steps, until) = if world.dice.random_bool(late) {
        let pause = world.dice.random_range(10_000..15_000_000);
        if transaction > 0 && world.dice.random_bool(0.3) {
            // The server does not wait for it.
            world.data.end(transaction);
        }
        world.note(|| format!("#{process} stands still for {:.3} s in a call", pause as f64 / 1e6));
        world.slots.iter_mut().filter(|slot| slot.turning).for_each(|slot| slot.standing += 1);
        (usize::MAX, world.now + pause)
    } else if world.profile.interleave > 0.0 && {
        let interleave = world.profile.interleave;
        world.dice.random_bool(interleave)
    } {
        (world.dice.random_range(1..10), world.now + 3_000)
    } else {
        return;
    };
    world.depth += 1;
    drop(world);
    for _ in 0..steps {
        if !step(sim, until) {
            break;
        }
    }
    let mut world = lock(sim);
    world.depth -= 1;
    if steps == usize::MAX {
        let now = world.now;
        for slot in world.slots.iter_mut().filter(|slot| slot.turning) {
            slot.impaired_at = now;
            slot.standing -= 1;
        }
        world.trouble(AFTER_FAULT);
    }
}

/// A new process, whose engine starts a worker.
pub fn spawn(sim: &Sim) {
    let mut world = lock(sim);
    let number = world.slots.len();
    let clock = Clock::manual(Micros(world.now));
    if world.is_calm {
        clock.jump(world.ahead);
    } else if world.profile.jumps {
        clock.jump(world.dice.random_range(-2_000_000..2_000_000));
    }
    let catalogue = Arc::new(Catalogue::default());
    for (at, template) in world.data.templates.iter().enumerate() {
        catalogue.add(at as i64 + 1, Arc::clone(template));
    }
    let store = SimStore { sim: Arc::clone(sim), process: number, remembered: HashMap::new() };
    let dice = Dice::seeded(world.seed.wrapping_mul(31).wrapping_add(number as u64));
    let machine = number % world.profile.machines;
    let records = Arc::clone(&world.records);
    let host = SimMachine { sim: Arc::clone(sim), records, process: number, number: machine };
    let (engine, door) = Engine::new(Box::new(store), catalogue, clock.clone(), dice, Arc::new(host));
    let World { profile, dice, is_calm, .. } = &mut *world;
    let mut config = profile.worker(dice);
    if number == 0 || *is_calm {
        config.namespaces = Vec::new();
    }
    let now = world.now;
    world.slots.push(Slot {
        engine: Some(engine),
        door,
        clock,
        machine,
        alive: true,
        doomed: false,
        turning: false,
        standing: 0,
        config,
        wake_at: now,
        frozen_until: 0,
        runs: Vec::new(),
        poll_at: 0,
        hog_until: 0,
        start_at: 0,
        impaired_at: 0,
        gave_way_at: 0,
        bell: None,
        told: None,
        unsent: None,
        send_at: 0,
        asked_at: now,
        able_since: i64::MAX,
        alone: BTreeMap::new(),
        row_at: now,
        turns: 0,
    });
    world.note(|| format!("#{number} begins on machine {machine}"));
    if number != 1 || !world.profile.client {
        world.start_worker(number);
    }
}
