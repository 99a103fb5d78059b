//! What a process does to the world, in three parts: up to what it loads, what it writes, its commit.

use std::sync::Arc;

use tasker_engine::clock::Now;
use tasker_engine::error::Result;
use tasker_engine::graph::Graph;
use tasker_engine::ids::Dice;
use tasker_engine::plan;
use tasker_engine::state::StepState;
use tasker_engine::store::postgres::PostgresStore;
use tasker_engine::store::{Claim, Commit, Hold, Holdings, IdempotencyKey, Store};
use tasker_engine::template::Template;

use super::schedule::Gate;
use super::world::{fresh, World, LEASE};
use crate::harness::failure;
use crate::place::{seconds, settle as settled, NOW};

/// Done by the first process or the second.
pub type Operation = fn(&mut PostgresStore, &World, usize, &Gate) -> Result<()>;

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("settle and claim", settle),
    ("settle the other parent", join),
    ("fail", fail),
    ("claim", claim),
    ("cancel", cancel),
    ("resolve", resolve),
    ("rerun", rerun),
    ("take over", take_over),
    ("release", release),
    ("renew", renew),
    ("submit", submit),
    ("prune", prune),
    ("wake", wake),
    ("keep templates", keep_templates),
];

/// What a process commits that has claims.
fn holding(world: &World, who: usize) -> Commit {
    let tasks = world.all.clone();
    let holdings = Some((world.workers[who].clone(), LEASE, Holdings { tasks, unbegun: Vec::new() }));
    Commit { holdings, steps_enqueued: true, ..Commit::default() }
}

/// Loads tasks, changes them, commits.
fn change(
    store: &mut PostgresStore,
    gate: &Gate,
    tasks: &[i64],
    hold: Hold,
    commit: &Commit,
    decide: impl Fn(&mut Graph) -> Result<()>,
) -> Result<()> {
    let mut transaction = store.begin()?;
    let mut graphs = transaction.load(tasks, hold)?.graphs;
    gate.pass();
    graphs.iter_mut().try_for_each(decide)?;
    transaction.write(&mut graphs)?;
    gate.pass();
    transaction.commit(commit)
}

fn runs(graph: &Graph, position: usize) -> bool {
    graph.steps[position].state == StepState::InProgress
}

/// Ends the second step of the first task, if it is loaded and the step runs.
fn settle_second(graphs: &mut [Graph], result: &str) {
    if let Some(graph) = graphs.first_mut().filter(|graph| !graph.is_new && runs(graph, 1)) {
        settled(graph, 1, Ok(result), seconds(4));
    }
}

/// Ends the first steps of tasks that it remembers, and claims another one.
fn settle(store: &mut PostgresStore, world: &World, who: usize, gate: &Gate) -> Result<()> {
    let mut transaction = store.begin()?;
    let mut graphs = transaction.load(&world.claimed, Hold::Remembered)?.graphs;
    gate.pass();
    for graph in graphs.iter_mut().filter(|graph| runs(graph, 0)) {
        settled(graph, 0, Ok("1"), seconds(3));
    }
    let mut free = transaction.load(&[world.free, world.retrying], Hold::IfFree)?.graphs;
    claim_first(world, who, &mut free)?;
    graphs.append(&mut free);
    transaction.write(&mut graphs)?;
    gate.pass();
    transaction.commit(&holding(world, who))
}

fn claim_first(world: &World, who: usize, graphs: &mut [Graph]) -> Result<()> {
    for graph in graphs.iter_mut().filter(|graph| graph.steps[0].state == StepState::Enqueued) {
        plan::claim(graph, 0, &world.workers[who], seconds(3), &mut Dice::new())?;
    }
    Ok(())
}

/// Ends the second step of the first task, after which the third may run if the first has ended as well.
fn join(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    let commit = Commit { steps_enqueued: true, ..Commit::default() };
    change(store, gate, &world.claimed[..1], Hold::Remembered, &commit, |graph| {
        if runs(graph, 1) {
            settled(graph, 1, Ok("2"), seconds(3));
        }
        Ok(())
    })
}

/// Ends the second steps of both tasks with an error after which they are tried again.
fn fail(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    let commit = Commit { due: true, ..Commit::default() };
    change(store, gate, &world.claimed, Hold::Remembered, &commit, |graph| {
        if runs(graph, 1) {
            settled(graph, 1, Err(failure("later", true)), seconds(3));
        }
        Ok(())
    })
}

fn claim(store: &mut PostgresStore, world: &World, who: usize, gate: &Gate) -> Result<()> {
    let mut transaction = store.begin()?;
    let found = transaction.claimable(&["default".into()], 1000, &[])?;
    gate.pass();
    let mut wanted: Vec<i64> =
        found.steps.iter().map(|step| step.task_id).filter(|id| world.all.contains(id)).collect();
    wanted.dedup();
    let mut graphs = transaction.load(&wanted, Hold::IfFree)?.graphs;
    claim_first(world, who, &mut graphs)?;
    transaction.write(&mut graphs)?;
    gate.pass();
    transaction.commit(&holding(world, who))
}

/// Everything at once, in one transaction.
fn cancel(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    change(store, gate, &world.all, Hold::Locked, &Commit { flushed: true, ..Commit::default() }, |graph| {
        if graph.task.state.is_final() {
            Ok(())
        } else {
            plan::cancel(graph, seconds(4))
        }
    })
}

fn resolve(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    change(store, gate, &world.claimed, Hold::Locked, &Commit::default(), |graph| {
        if runs(graph, 0) {
            plan::resolve_step(graph, 0, Arc::from("0"), seconds(4))
        } else {
            Ok(())
        }
    })
}

fn rerun(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    change(store, gate, &[world.failed], Hold::Locked, &Commit::default(), |graph| {
        let may = graph.steps[0].state == StepState::Error && !graph.task.state.is_final();
        if may {
            plan::rerun_step(graph, 0, seconds(4))
        } else {
            Ok(())
        }
    })
}

/// Takes the first process for dead.
fn take_over(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    let mut transaction = store.begin()?;
    let lapsed = transaction.lapsed_workers(&[world.workers[0].to_string()])?;
    let tasks: Vec<i64> = lapsed.iter().flat_map(|worker| worker.holdings.tasks.clone()).collect();
    let mut graphs = transaction.load(&tasks, Hold::Locked)?.graphs;
    gate.pass();
    for graph in &mut graphs {
        for position in 0..graph.steps.len() {
            let step = &graph.steps[position];
            if runs(graph, position) && lapsed.iter().any(|worker| step.worker_id.as_ref() == Some(&worker.worker_id)) {
                plan::expire(graph, position, "it died", seconds(4))?;
            }
        }
    }
    transaction.deregister(&lapsed.iter().map(|worker| worker.worker_id.clone()).collect::<Vec<_>>())?;
    transaction.write(&mut graphs)?;
    gate.pass();
    transaction.commit(&Commit { steps_enqueued: true, ..Commit::default() })
}

fn release(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    change(store, gate, &[world.claimed[1], world.failed], Hold::Locked, &Commit::default(), |graph| {
        match graph.steps[1].span_id {
            Some(token) => plan::release(graph, 1, token, true, seconds(4)).map(drop),
            None => Ok(()),
        }
    })
}

fn renew(store: &mut PostgresStore, world: &World, who: usize, gate: &Gate) -> Result<()> {
    let mut transaction = store.begin()?;
    transaction.renew(&world.workers[who], LEASE)?;
    gate.pass();
    transaction.lost(&[Claim { task_id: world.free, position: 0, token: 1 }])?;
    gate.pass();
    transaction.commit(&Commit::default())
}

/// A task under a key, in one transaction with the end of a step.
fn submit(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    let name = &world.template.template;
    let key = |key: &str| {
        let key = format!("{key} {}", world.key);
        IdempotencyKey { namespace: name.namespace.clone(), name: name.name.clone(), key }
    };
    let mut transaction = store.begin()?;
    let mut graphs = transaction.load(&world.claimed, Hold::Locked)?.graphs;
    gate.pass();
    let found = transaction.find_idempotent(&[key("one"), key("two")])?;
    for (key, _) in [key("one"), key("two")].iter().zip(found).filter(|(_, found)| found.is_none()) {
        let new = plan::NewTask { idempotency_key: Some(key.key.clone()), ..world.template.clone() };
        graphs.push(fresh(&new));
    }
    settle_second(&mut graphs, "3");
    transaction.write(&mut graphs)?;
    gate.pass();
    transaction.commit(&Commit { flushed: true, steps_enqueued: true, ..Commit::default() })
}

fn prune(store: &mut PostgresStore, world: &World, _who: usize, gate: &Gate) -> Result<()> {
    let mut transaction = store.begin()?;
    transaction.prune(seconds(100), 10)?;
    gate.pass();
    transaction.load(&[world.over], Hold::IfFree)?;
    gate.pass();
    transaction.commit(&Commit::default())
}

fn wake(store: &mut PostgresStore, world: &World, who: usize, gate: &Gate) -> Result<()> {
    let mut transaction = store.begin()?;
    let mut graphs = transaction.load(&world.claimed[..1], Hold::Remembered)?.graphs;
    gate.pass();
    settle_second(&mut graphs, "4");
    let due = transaction.due(Now::both(seconds(1000)), 1000, &[])?;
    let woken: Vec<i64> = due.retries.into_iter().map(|(id, _)| id).filter(|id| *id == world.retrying).collect();
    let mut free = transaction.load(&woken, Hold::IfFree)?.graphs;
    for graph in &mut free {
        plan::wake(graph, &[0], seconds(1000))?;
    }
    claim_first(world, who, &mut free)?;
    graphs.append(&mut free);
    transaction.write(&mut graphs)?;
    gate.pass();
    transaction.commit(&holding(world, who))
}

/// New templates of new namespaces, each process's in another order, with the end of a step.
fn keep_templates(store: &mut PostgresStore, world: &World, who: usize, gate: &Gate) -> Result<()> {
    let mut transaction = store.begin()?;
    let mut graphs = transaction.load(&world.claimed[..1], Hold::Remembered)?.graphs;
    let template = |letter: char| {
        let name = format!("n{letter}{}", &world.key[24..]);
        Template::from_yaml("test", &format!("{{name: t, namespace: {name}, steps: [{{name: s, handler: H}}]}}"))
            .unwrap()
    };
    let [first, second] = if who == 0 { ['a', 'b'] } else { ['b', 'a'] };
    transaction.keep_template(&template(first), NOW)?;
    gate.pass();
    transaction.keep_template(&template(second), NOW)?;
    settle_second(&mut graphs, "5");
    transaction.write(&mut graphs)?;
    gate.pass();
    transaction.commit(&Commit { flushed: true, ..Commit::default() })
}
