//! A trace whose process was killed in the middle of it.

use tasker_engine::bootstrap::Engine;
use tasker_engine::clock::Clock;

use crate::child::{self, Process};
use crate::harness::*;
use crate::{alone, arrived, exporting};

const TEST: &str = "crash::a_killed_worker_leaves_one_trace_with_one_root_and_no_open_end";

const PAIR: &str = "
name: pair
steps:
  - {name: one, handler: First}
  - {name: two, handler: Second, dependencies: [one]}
";

/// In the child, which exports nothing: what it knows of the attempt dies with it.
fn hold_the_first_step(database: &str) -> ! {
    let engine = Engine::open(&config(database)).unwrap();
    engine.start_worker(worker(1)).unwrap();
    let event = next_event(&engine);
    child::say(event.span_id.as_deref().unwrap());
    child::wait_for_the_end()
}

#[test]
fn a_killed_worker_leaves_one_trace_with_one_root_and_no_open_end() {
    if let Some(database) = child::database() {
        hold_the_first_step(&database);
    }
    alone(TEST, || {
        let (receiver, _runtime) = exporting();
        let folder = Folder::new();
        let client = Engine::open(&config(&folder.database())).unwrap();
        register(&client, PAIR);
        let task = submit(&client, "pair").task_uuid;
        let mut process = Process::start(TEST, &folder.database());
        let lost_span = process.hear();
        process.kill();

        let survivor = working(&folder.database(), Clock::System, 1, PAIR);
        run(&survivor, "one", "1");
        run(&survivor, "two", "1");
        let view = finished(&survivor, task);
        settled(&client);
        let trace = arrived(&survivor, &receiver);
        trace.has_exactly(&[
            ("task.orchestration", 1),
            ("task.state_transition", 8),
            ("step.discovery", 2),
            ("step.enqueuing", 2),
            ("result.evaluation", 2),
            ("worker.step_execution", 3),
            ("step.state_transition", 8),
            ("task.finalization", 1),
            ("handler.execution", 3),
            ("result.submission", 2),
            ("worker.step_completion_received", 2),
        ]);
        trace.is_one_tree();
        trace.agrees_with(&view, &survivor.transitions(task).unwrap());
        let lost: Vec<_> = trace.named("worker.step_execution").filter(|span| span.status.is_some()).collect();
        assert_eq!(lost.len(), 1);
        assert_eq!(format!("{:016x}", lost[0].span_id), lost_span, "the span the dead handler saw");
        assert_eq!(lost[0].attributes["error.type"], "TaskerCore::LeaseExpired");
        assert_eq!(lost[0].attributes["attempt_number"], 1);
        assert!(trace.root().status.is_none(), "the task itself went well");
        let mut handlers = trace.named("handler.execution").filter(|span| span.parent_span_id == Some(lost[0].span_id));
        let handler = handlers.next().unwrap();
        assert_eq!(handler.span_id, tasker_engine::ids::handler_span_id(lost[0].span_id), "what its own spans hang on");
        assert_eq!(handler.attributes["handler.outcome_unknown"], true);
        assert!(handler.status.is_some());
    });
}
