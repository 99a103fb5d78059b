//! One run: things go wrong for a while, then nothing does any more, and all that was promised must come true.

use tasker_engine::simulation::Work;
use tasker_engine::state::{StepState, TaskState};

use crate::profile::templates;
use crate::world::{lock, spawn, step, Sim, Slot, World, START};

const SECOND: i64 = 1_000_000;
/// Within this all tasks are over once nothing goes wrong any more: quarantines and breakers included.
const PATIENCE: i64 = 900 * SECOND;

/// Runs a seed. The error is the rule that was broken, and what happened, if that was to be remembered.
pub fn run(seed: u64, remembers: bool) -> Result<u64, (String, Vec<String>)> {
    let sim = World::new(seed, remembers);
    let ended = live(&sim);
    let mut world = lock(&sim);
    let slots = std::mem::take(&mut world.slots);
    let (violation, history, actions) = (world.violation.take(), world.history.take(), world.actions);
    drop(world);
    drop(slots);
    match violation.or(ended.err()) {
        None => Ok(actions),
        Some(rule) => Err((rule, history.unwrap_or_default())),
    }
}

pub fn live(sim: &Sim) -> Result<(), String> {
    let chaos = lock(sim).profile.chaos;
    until(sim, START + chaos, |_| false);
    calm_down(sim);
    let calm = lock(sim).now;
    if !until(sim, calm + PATIENCE, World::is_over) {
        return Err(format!("not all is over: {}", lock(sim).what_is_left()));
    }
    check_promises(sim)?;
    probe(sim)?;
    be_quiet(sim)?;
    bury_the_dead(sim)
}

/// Goes on until it is so, or `end` has come.
fn until(sim: &Sim, end: i64, is_so: impl Fn(&World) -> bool) -> bool {
    loop {
        {
            let mut world = lock(sim);
            world.hear_answers();
            if world.is_calm && !world.clients.is_probing {
                world.start_all();
            }
            if world.violation.is_some() || world.now >= end {
                return false;
            }
            if is_so(&world) {
                return true;
            }
        }
        step(sim, end);
    }
}

/// From here on nothing goes wrong.
fn calm_down(sim: &Sim) {
    let mut world = lock(sim);
    world.note(|| "nothing goes wrong any more".into());
    let (now, ahead) = (world.now, world.ahead);
    (world.is_calm, world.jumped_at) = (true, now);
    (world.data.away_until, world.data.full_until) = (0, 0);
    (world.data.unwritable_until, world.deaf_until) = (0, 0);
    world.data.unreadable.clear();
    for slot in &mut world.slots {
        // What waits for a time waits for that of clocks, one of which was perhaps an hour ahead.
        slot.clock.jump(now + ahead - slot.clock.now().0);
        (slot.frozen_until, slot.hog_until) = (slot.frozen_until.min(now), slot.hog_until.min(now));
    }
    let served = world.slots.iter().any(|slot| slot.alive && slot.config.namespaces.is_empty());
    drop(world);
    if !served {
        spawn(sim);
    }
}

impl World {
    /// Sees to it that workers that stopped, or could not start, are started again.
    fn start_all(&mut self) {
        for number in 0..self.slots.len() {
            let status = self.slots[number].door.status();
            let slot = &mut self.slots[number];
            if !slot.alive || slot.start_at > self.now {
                continue;
            }
            slot.start_at = self.now + SECOND / 2;
            if self.is_asked(number) {
                continue;
            }
            if status.draining {
                self.ask(number, Work::StopWorker);
            } else {
                self.start_again(number);
            }
        }
    }

    /// Whether nothing moves, and everybody is ready for more.
    fn is_over(&self) -> bool {
        let ready = |slot: &Slot| {
            let status = slot.door.status();
            self.clients.is_probing || status.worker_id.is_some() && !status.draining && !status.breaker_open
        };
        if self.now < self.trouble_until || !self.slots.iter().filter(|slot| slot.alive).all(ready) {
            return false;
        }
        let moving = self.data.tasks.values().any(|graph| !graph.task.state.is_final());
        let busy = self.slots.iter().filter(|slot| slot.alive).any(|slot| {
            let depth = slot.door.channel.depth();
            slot.door.status().in_flight + depth.waiting + depth.running + depth.completions + slot.runs.len() > 0
        });
        !moving && !busy && self.clients.asked.is_empty()
    }

    fn what_is_left(&self) -> String {
        let tasks = self.data.tasks.values().filter(|graph| !graph.task.state.is_final());
        let tasks: Vec<String> = tasks
            .map(|graph| {
                let steps: Vec<String> = graph.steps.iter().map(|step| step.state.to_string()).collect();
                format!("task {} {} {steps:?}", graph.task.id, graph.task.state)
            })
            .collect();
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.alive);
        let slots: Vec<String> = slots
            .map(|(number, slot)| {
                format!("#{number} {:?} {:?} runs {}", slot.door.status(), slot.door.channel.depth(), slot.runs.len())
            })
            .collect();
        format!("{tasks:?} {slots:?} {:?}", self.unanswered(0))
    }
}

fn check_promises(sim: &Sim) -> Result<(), String> {
    let world = lock(sim);
    let task = |uuid| world.data.by_uuid.get(uuid).and_then(|id| world.data.tasks.get(id));
    for uuid in &world.clients.acknowledged {
        task(uuid).ok_or(format!("task {uuid} was acknowledged and is gone"))?;
    }
    for (told, state) in
        [(&world.clients.cancelled, TaskState::Cancelled), (&world.clients.resolved, TaskState::ResolvedManually)]
    {
        for uuid in told {
            let is = task(uuid).map(|graph| graph.task.state);
            if is != Some(state) {
                return Err(format!("task {uuid} was told to be {state} and is {is:?}"));
            }
        }
    }
    for graph in world.data.tasks.values() {
        for (position, step) in graph.steps.iter().enumerate() {
            let name = format!("step {position} of task {}", graph.task.id);
            if step.state == StepState::Complete && step.result.is_none() {
                return Err(format!("{name} is complete without a result"));
            }
            if step.state == StepState::Error && step.error.is_none() {
                return Err(format!("{name} failed without an error"));
            }
        }
    }
    Ok(())
}

/// One worker alone must be able to run as many steps at once as it has handlers.
fn probe(sim: &Sim) -> Result<(), String> {
    let mut world = lock(sim);
    let serving = |&number: &usize| {
        let slot = &world.slots[number];
        let serves = slot.config.namespaces.is_empty() || slot.config.namespaces.iter().any(|name| name == "a");
        slot.alive && serves && slot.door.status().worker_id.is_some() && !slot.door.status().draining
    };
    let Some(chosen) = (0..world.slots.len()).rev().find(serving) else { return Ok(()) };
    let others: Vec<usize> =
        (0..world.slots.len()).filter(|&number| number != chosen && world.slots[number].alive).collect();
    world.clients.is_probing = true;
    for number in others {
        world.ask(number, Work::StopWorker);
    }
    drop(world);
    let end = lock(sim).now + 30 * SECOND;
    if !until(sim, end, |world| world.clients.asked.is_empty()) {
        return Err(format!("not all workers stop: {}", lock(sim).what_is_left()));
    }
    let mut world = lock(sim);
    let mut task = world.new_task(Some(templates().len() - 1));
    (task.idempotency_key, task.run_at) = (None, None);
    world.ask(chosen, Work::Submit(vec![task]));
    let (end, most) = (world.now + 2 * SECOND, world.slots[chosen].config.concurrency);
    drop(world);
    if !until(sim, end, |world| world.slots[chosen].runs.len() == most) {
        let left = lock(sim).what_is_left();
        return Err(format!("#{chosen} does not run {most} steps at once: {left}"));
    }
    let end = lock(sim).now + 10 * SECOND;
    if !until(sim, end, World::is_over) {
        return Err(format!("the last task does not end: {}", lock(sim).what_is_left()));
    }
    Ok(())
}

/// With nothing to do an engine does next to nothing.
fn be_quiet(sim: &Sim) -> Result<(), String> {
    let (begin, actions) = {
        let world = lock(sim);
        (world.now, world.actions)
    };
    until(sim, begin + 5 * SECOND, |_| false);
    let world = lock(sim);
    let spent = world.actions - actions;
    let each = 40 + if world.profile.ask_every.is_some() { 120 } else { 30 };
    let most = each * world.slots.iter().filter(|slot| slot.alive).count() as u64 + 30;
    if spent > most {
        return Err(format!("{spent} turns in 5 s with nothing to do"));
    }
    Ok(())
}

/// Rows of processes that are gone go too, when their leases have run out and nobody leaves their tasks alone any more.
fn bury_the_dead(sim: &Sim) -> Result<(), String> {
    let end = {
        let world = lock(sim);
        world.now + (world.profile.lease * 1e6) as i64 + 75 * SECOND
    };
    let works = |row: &crate::data::Row, world: &World| {
        let slot = &world.slots[row.process];
        slot.alive && slot.door.status().worker_id.as_ref() == Some(&row.worker.worker_id)
    };
    let buried = |world: &World| world.data.workers.values().all(|row| works(row, world));
    if until(sim, end, buried) {
        return Ok(());
    }
    let world = lock(sim);
    let left: Vec<_> =
        world.data.workers.values().filter(|row| !works(row, &world)).map(|row| &row.worker.worker_id).collect();
    Err(format!("rows of workers that are gone are left: {left:?}"))
}
