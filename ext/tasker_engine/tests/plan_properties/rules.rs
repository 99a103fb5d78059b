//! What must hold after every action.

use tasker_engine::graph::StepTransition;
use tasker_engine::state::{StepState, TaskState};

use super::world::World;

impl World {
    pub fn check(&self) {
        self.task_moves_are_legal_and_chain();
        self.step_moves_are_legal_and_chain();
        self.moves_are_told_apart();
        self.steps_hold_what_their_state_says();
        self.no_step_runs_before_its_dependencies();
        self.the_task_says_what_its_steps_say();
        self.the_root_ends_once();
    }

    fn holds(&self, truth: bool, rule: &str) {
        assert!(truth, "{rule}\n{}", self.story());
    }

    fn task_moves_are_legal_and_chain(&self) {
        let mut last =
            self.task_history.last().map_or((TaskState::Pending, self.graph.task.created_at), |t| (t.to, t.at));
        for t in &self.graph.task_transitions {
            self.holds(t.from.may_become(t.to), "a task's move is in the table");
            self.holds(t.from == last.0, "a task's move begins where the last one ended");
            self.holds(t.began <= t.at && last.1 <= t.at && t.duration_ms >= 0.0, "a task's time goes forward");
            last = (t.to, t.at);
        }
        let task = &self.graph.task;
        self.holds(task.state == last.0, "the task is where its last move led");
        self.holds(task.state_since >= last.1, "the task's state is as old as its last move");
        let passing = [TaskState::Initializing, TaskState::EnqueuingSteps, TaskState::EvaluatingResults];
        self.holds(!passing.contains(&task.state), "no transaction leaves a task in a passing state");
        self.holds(task.completed_at.is_some() == task.state.is_final(), "completed_at is there when it is over");
    }

    fn step_moves_are_legal_and_chain(&self) {
        let moves_of = |position: usize| {
            let all = self.step_history.iter().chain(&self.graph.step_transitions);
            all.filter(move |t| t.position == position)
        };
        for (position, step) in self.graph.steps.iter().enumerate() {
            let mut state = StepState::Pending;
            let mut at = self.graph.task.created_at;
            let mut running: Option<u32> = None;
            for t in moves_of(position) {
                self.holds(t.from.may_become(t.to), "a step's move is in the table");
                self.holds(t.from == state, "a step's move begins where the last one ended");
                self.holds(t.at >= at && t.duration_ms >= 0.0, "a step's time goes forward");
                self.attempt_is_told(t, &mut running);
                (state, at) = (t.to, t.at);
            }
            self.holds(step.state == state, "a step is where its last move led");
            self.holds(running.is_some() == (state == StepState::InProgress), "an attempt runs while in progress");
        }
    }

    /// Every attempt that begins ends once, under its own number.
    fn attempt_is_told(&self, t: &StepTransition, running: &mut Option<u32>) {
        if t.to == StepState::InProgress {
            self.holds(t.attempt > 0 && t.worker_id.is_some(), "a claim names attempt and worker");
            *running = Some(t.attempt);
        } else if let Some(attempt) = running.take() {
            self.holds(t.attempt == attempt, "an attempt ends under its own number");
            self.holds(t.worker_id.is_some(), "the end of an attempt names the worker");
            let unbegun = t.to == StepState::Enqueued && t.reason == Some("released");
            self.holds(unbegun || t.ended.is_some(), "the end of an attempt has what its spans need");
        } else {
            self.holds(t.ended.is_none(), "what never began never ends");
        }
    }

    fn steps_hold_what_their_state_says(&self) {
        for step in &self.graph.steps {
            let claimed = step.state == StepState::InProgress;
            self.holds(step.worker_id.is_some() == claimed, "the holder is named while, and only while, it holds");
            self.holds(step.span_id.is_some() == claimed, "the attempt's span is known while it runs");
            let waits = step.state == StepState::WaitingForRetry;
            self.holds(step.due_at.is_some() == waits, "a wait for a retry has an end, nothing else has");
            self.holds(step.attempts <= step.max_attempts, "no more attempts than allowed");
        }
        for t in &self.graph.step_transitions {
            let step = &self.graph.steps[t.position];
            if t.to == StepState::Complete {
                self.holds(step.result.is_some() && step.error.is_none(), "a complete step has a result");
            }
        }
    }

    /// What one decision moves is told apart by time, however coarse the clock: the order of the moves is their order.
    fn moves_are_told_apart(&self) {
        let task = self.graph.task_transitions.windows(2);
        self.holds(task.clone().all(|pair| pair[0].at < pair[1].at), "a task's moves are told apart");
        for t in &self.graph.step_transitions {
            let of_step = |other: &&StepTransition| other.position == t.position && other.at >= t.at;
            let later = self.graph.step_transitions.iter().filter(of_step);
            self.holds(later.filter(|other| other.at == t.at).count() == 1, "a step's moves are told apart");
        }
    }

    fn no_step_runs_before_its_dependencies(&self) {
        let steps = &self.graph.steps;
        for t in &self.graph.step_transitions {
            if matches!(t.to, StepState::Enqueued | StepState::InProgress | StepState::Complete) {
                let dependencies = &self.graph.task.template.steps[t.position].dependencies;
                let satisfied = dependencies.iter().all(|&d| steps[d].state.satisfies_dependents());
                self.holds(satisfied, "a step runs only after all it depends on");
            }
        }
    }

    fn the_task_says_what_its_steps_say(&self) {
        let (task, steps) = (&self.graph.task, &self.graph.steps);
        let any = |state: StepState| steps.iter().any(|step| step.state == state);
        let active = steps.iter().any(|step| step.state.is_active());
        let moving = any(StepState::Enqueued) || any(StepState::InProgress);
        let done = steps.iter().all(|step| step.state.satisfies_dependents());
        if task.state == TaskState::Pending {
            self.holds(!active && task.run_at.is_some(), "a task waits as a whole only for its run_at");
            return;
        }
        // One that was cancelled before it began may have had its steps resolved before that.
        let complete = task.state == TaskState::Complete || (done && task.state == TaskState::Cancelled);
        self.holds(complete == done, "a task is complete when all its steps are");
        self.holds(active != task.state.is_final(), "a task goes on exactly while one of its steps does");
        match task.state {
            TaskState::WaitingForRetry => self.holds(!moving, "waiting for a retry means that nothing else moves"),
            TaskState::WaitingForDependencies => self.holds(moving, "what others wait for moves"),
            TaskState::Error => self.holds(any(StepState::Error), "a task fails because a step did"),
            _ => {}
        }
    }

    fn the_root_ends_once(&self) {
        let ended = self.roots_ended + usize::from(self.graph.root_ended);
        let was_final = self.task_history.iter().chain(&self.graph.task_transitions).any(|t| t.to.is_final());
        self.holds(ended == usize::from(was_final), "task.orchestration ends once, with the first end");
    }
}
