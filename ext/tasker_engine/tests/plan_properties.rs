//! What must hold whatever happens to a task, in whatever order: thousands of random DAGs, each put
//! through random decisions of `plan`, with every rule checked after each. No database, no thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "plan_properties/actions.rs"]
mod actions;
#[path = "plan_properties/rules.rs"]
mod rules;
#[path = "plan_properties/world.rs"]
mod world;

use rand::{Rng, SeedableRng};
use tasker_engine::state::TaskState;
use world::World;

const CASES: u64 = 4000;
const ACTIONS: usize = 40;

#[test]
fn every_history_is_legal_and_no_task_is_ever_stuck() {
    for seed in 0..CASES {
        let mut world = World::new(seed);
        for _ in 0..ACTIONS {
            world.act();
        }
        world.run_to_the_end();
    }
}

#[test]
fn a_task_whose_steps_all_succeed_completes_with_one_attempt_each() {
    for seed in 0..CASES / 4 {
        let mut world = World::new(seed);
        world.run_to_the_end();
        assert_eq!(world.graph.task.state, TaskState::Complete, "{}", world.story());
        assert!(world.graph.steps.iter().all(|step| step.attempts == 1), "{}", world.story());
    }
}

#[test]
fn a_step_that_always_fails_uses_all_its_attempts_and_no_more() {
    for seed in 0..CASES / 4 {
        let mut world = World::new(seed);
        let doomed = rand::rngs::SmallRng::seed_from_u64(seed).random_range(0..world.graph.steps.len());
        world.run_with(|world, position, token| {
            let outcome = if position == doomed { Err(actions::failure(true)) } else { Ok("1".into()) };
            world.settle(&[(position, token, outcome)]);
        });
        let step = &world.graph.steps[doomed];
        assert_eq!(world.graph.task.state, TaskState::Error, "{}", world.story());
        assert_eq!(step.attempts, world.graph.task.template.steps[doomed].retry.max_attempts, "{}", world.story());
    }
}

#[test]
fn the_same_dice_and_times_make_the_same_history() {
    let told = |seed: u64| {
        let mut world = World::new(seed);
        for _ in 0..ACTIONS {
            world.act();
        }
        world.story()
    };
    for seed in 0..CASES / 40 {
        assert_eq!(told(seed), told(seed));
    }
}
