//! What a trace must be, and how it must agree with the store.

use std::collections::{BTreeMap, HashMap};

use tasker_engine::store::{TaskView, TransitionView};

use crate::otlp_receiver::ReceivedSpan;

/// The spans that arrived.
pub struct Trace(pub Vec<ReceivedSpan>);

pub fn hex_trace(span: &ReceivedSpan) -> String {
    format!("{:032x}", span.trace_id)
}

pub fn hex_span(span: &ReceivedSpan) -> String {
    format!("{:016x}", span.span_id)
}

/// A span's times in microseconds: what the store has.
pub fn times(span: &ReceivedSpan) -> (i64, i64) {
    assert_eq!((span.start_nanos % 1000, span.end_nanos % 1000), (0, 0));
    ((span.start_nanos / 1000) as i64, (span.end_nanos / 1000) as i64)
}

impl Trace {
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ReceivedSpan> {
        self.0.iter().filter(move |span| span.name == name)
    }

    pub fn only<'a>(&'a self, name: &'a str) -> &'a ReceivedSpan {
        let found: Vec<&ReceivedSpan> = self.named(name).collect();
        assert_eq!(found.len(), 1, "{name}: {found:#?}");
        found[0]
    }

    pub fn root(&self) -> &ReceivedSpan {
        self.only("task.orchestration")
    }

    pub fn has_exactly(&self, expected: &[(&str, usize)]) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for span in &self.0 {
            *counts.entry(&span.name).or_default() += 1;
        }
        assert_eq!(counts, expected.iter().copied().collect());
    }

    /// One trace id, one root, no id twice, every parent there, every child within its parent's time.
    pub fn is_one_tree(&self) {
        let root = self.root();
        let by_id: HashMap<u64, &ReceivedSpan> = self.0.iter().map(|span| (span.span_id, span)).collect();
        assert_eq!(by_id.len(), self.0.len(), "a span id came twice");
        for span in &self.0 {
            assert_eq!(span.trace_id, root.trace_id, "{}", span.name);
            assert!(span.start_nanos <= span.end_nanos, "{span:#?}");
            assert_eq!(span.attributes["task_uuid"], root.attributes["task_uuid"], "{}", span.name);
            // A result that was refused came when all was over.
            if span.name == "worker.stale_completion_received" {
                assert!(span.parent_span_id.is_some_and(|id| by_id.contains_key(&id)), "an orphan: {span:#?}");
                continue;
            }
            assert_eq!(span.attributes["correlation_id"], root.attributes["correlation_id"], "{}", span.name);
            if span.span_id == root.span_id {
                continue;
            }
            let parent = span.parent_span_id.and_then(|id| by_id.get(&id));
            let parent = parent.unwrap_or_else(|| panic!("an orphan: {span:#?}"));
            let within = parent.start_nanos <= span.start_nanos && span.end_nanos <= parent.end_nanos;
            assert!(within, "{} is not within {}: {span:#?} {parent:#?}", span.name, parent.name);
        }
    }

    pub fn parents_are(&self, expected: &[(&str, &str)]) {
        let by_id: HashMap<u64, &ReceivedSpan> = self.0.iter().map(|span| (span.span_id, span)).collect();
        for (child, parent) in expected {
            for span in self.named(child) {
                assert_eq!(by_id[&span.parent_span_id.unwrap()].name, *parent, "{child}");
            }
        }
    }

    /// Each move of a step that is stored, and no other, has its span.
    pub fn has_each_move(&self, transitions: &[TransitionView]) {
        let mut stored: Vec<_> = transitions
            .iter()
            .filter_map(|t| Some((t.step.clone()?, t.from_state.clone(), t.to_state.clone())))
            .collect();
        let mut exported: Vec<_> = self
            .named("step.state_transition")
            .map(|span| {
                let text = |key: &str| span.attributes[key].as_str().unwrap().to_owned();
                assert!(!text("handler_name").is_empty() && !text("namespace").is_empty());
                (text("step_name"), text("from_state"), text("to_state"))
            })
            .collect();
        stored.sort();
        exported.sort();
        assert_eq!(exported, stored);
    }

    /// Durations are those of the store's transitions, to the microsecond.
    pub fn agrees_with(&self, view: &TaskView, transitions: &[TransitionView]) {
        let of_task: Vec<&TransitionView> = transitions.iter().filter(|t| t.step.is_none()).collect();
        let first_end = of_task.iter().find(|t| ["complete", "error", "cancelled"].contains(&&*t.to_state)).unwrap();
        assert_eq!(times(self.root()), (view.created_at, first_end.created_at));

        let mut stored: Vec<_> =
            of_task.iter().map(|t| (t.created_at, t.from_state.clone(), t.to_state.clone())).collect();
        let mut exported: Vec<_> = self
            .named("task.state_transition")
            .map(|span| {
                let text = |key: &str| span.attributes[key].as_str().unwrap().to_owned();
                (times(span).1, text("from_state"), text("to_state"))
            })
            .collect();
        stored.sort();
        exported.sort();
        assert_eq!(exported, stored);

        self.has_each_move(transitions);
        let mut attempts = 0;
        for step in &view.steps {
            let moves: Vec<_> = transitions.iter().filter(|t| t.step.as_ref() == Some(&step.name)).collect();
            for pair in moves.windows(2).filter(|pair| pair[0].to_state == "in_progress") {
                let attempt = &pair[0].metadata["attempt"];
                let is_it = |span: &&ReceivedSpan| {
                    span.attributes["step_name"] == *step.name && span.attributes["attempt_number"] == *attempt
                };
                let spans: Vec<_> = self.named("worker.step_execution").filter(is_it).collect();
                assert_eq!(spans.len(), 1, "{} attempt {attempt}", step.name);
                assert_eq!(times(spans[0]), (pair[0].created_at, pair[1].created_at), "{}", step.name);
                assert_eq!(spans[0].attributes["worker_id"], pair[0].metadata["worker"]);
                attempts += 1;
            }
        }
        assert_eq!(self.named("worker.step_execution").count(), attempts);
    }
}
