//! Blows from outside: processes are frozen, killed and begun anew, clocks are set, the server goes away.

use rand::Rng;
use tasker_engine::simulation::Work;

use crate::world::{lock, spawn, Sim, World};

/// Most processes a run has, one after the other.
const PROCESSES: usize = 14;

pub fn strike(sim: &Sim) {
    let mut world = lock(sim);
    let gap = world.profile.blows;
    world.blow_at = world.now + world.dice.random_range(gap / 5..gap);
    let alive: Vec<usize> = (0..world.slots.len()).filter(|&number| world.slots[number].alive).collect();
    let begun = world.slots.len();
    let few = alive.len() < world.profile.engines;
    if few && begun < PROCESSES || alive.is_empty() {
        drop(world);
        return spawn(sim);
    }
    let mut number = alive[world.dice.random_range(0..alive.len())];
    if world.dice.random_bool(0.3) {
        // Whoever has claimed ahead has the most to lose.
        let waiting = |number: &usize| world.slots[*number].door.channel.depth().waiting;
        number = alive.into_iter().max_by_key(waiting).unwrap_or(number);
    }
    match world.dice.random_range(0..8) {
        0 => world.freeze(number),
        1 if world.profile.kills => world.kill(number),
        2 if world.profile.jumps => world.jump(number),
        3 => world.take_server_away(),
        4 => world.make_unreadable(),
        5 => {
            let idle = !world.is_asked(number);
            match world.slots[number].door.status() {
                status if !idle || status.worker_id.is_none() => world.start_again(number),
                status if status.draining => world.ask(number, Work::StopWorker),
                _ => world.ask(number, Work::Drain),
            }
        }
        6 => {
            let until = world.now + world.dice.random_range(100_000..5_000_000);
            world.note(|| format!("#{number}: no handler gets its turn until {until}"));
            world.slots[number].hog_until = until;
        }
        _ => {
            let pause = world.dice.random_range(100_000..3_000_000);
            world.note(|| "notifications get lost".into());
            world.deaf_until = world.now + pause;
            world.trouble(pause + 6_000_000);
        }
    }
}

impl World {
    fn freeze(&mut self, number: usize) {
        let lease = (self.profile.lease * 1e6) as i64;
        let pause = self.dice.random_range(50_000..lease * 5 / 2);
        self.note(|| format!("#{number} is frozen for {:.3} s", pause as f64 / 1e6));
        self.slots[number].frozen_until = self.now + pause;
        self.slots[number].impaired_at = self.now + pause;
    }

    fn kill(&mut self, number: usize) {
        self.note(|| format!("#{number} is killed"));
        // What it has not told others yet, they find when they next look for the dead.
        self.trouble(6_000_000);
        if self.slots[number].turning {
            self.slots[number].doomed = true;
            return;
        }
        let engine = self.slots[number].engine.take();
        self.bury(number);
        drop(engine);
    }

    /// A process is no more.
    pub fn bury(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        slot.alive = false;
        slot.runs.clear();
        slot.bell = None;
        self.forget_asked(number);
    }

    fn jump(&mut self, number: usize) {
        let micros = self.dice.random_range(-3_600_000_000..3_600_000_000i64);
        self.note(|| format!("#{number}: the clock is set by {:.3} s", micros as f64 / 1e6));
        self.slots[number].clock.jump(micros);
        self.jumped_at = self.now;
        self.ahead = self.ahead.max(self.slots[number].clock.now().0 - self.now);
    }

    fn take_server_away(&mut self) {
        let pause = self.dice.random_range(10_000..8_000_000);
        let full = self.dice.random_bool(0.4);
        let what = if full { "the disk is full" } else { "the server is away" };
        self.note(|| format!("{what} for {:.3} s", pause as f64 / 1e6));
        *(if full { &mut self.data.full_until } else { &mut self.data.away_until }) = self.now + pause;
        self.trouble(pause);
    }

    fn make_unreadable(&mut self) {
        let tasks: Vec<i64> = self.data.tasks.keys().copied().collect();
        if tasks.is_empty() {
            return;
        }
        let task = tasks[self.dice.random_range(0..tasks.len())];
        let until = self.now + self.dice.random_range(100_000..20_000_000);
        if self.dice.random_bool(0.5) {
            self.note(|| "failures cannot be written".into());
            self.data.unwritable_until = until;
        } else {
            self.note(|| format!("task {task} cannot be read"));
            self.data.unreadable.insert(task, until);
        }
    }

    /// Starts the worker of a process that has none.
    pub fn start_again(&mut self, number: usize) {
        if self.is_asked(number) || self.slots[number].door.status().worker_id.is_some() {
            return;
        }
        let World { profile, dice, .. } = self;
        let mut config = profile.worker(dice);
        if self.is_calm {
            config.namespaces.clear();
        }
        self.slots[number].config = config;
        self.start_worker(number);
    }
}
