//! Owns: the template, the DAG a task is made from, checked once and never changed. Refuses:
//! templates that cannot run: every refusal names the document, the step and what helps.
//!
//! YAML, JSON and the Ruby DSL describe the same document: `name`, `namespace`, `version`,
//! `description`, `input_schema` and `steps`, each step with `name`, `handler`, `dependencies`,
//! `config`, `timeout_seconds`, `retry` (`max_attempts`, `backoff`, `base`, `cap`, `jitter`) and `publishes_events` (`name`,
//! `description`, `condition`, `delivery_mode`, `schema`, `publisher`, `key`).
//!
//! A text becomes a value (`document`), the value a draft (`read`, field by field through `fields`
//! and `names`), the draft a graph (`graph`); what is wrong on the way is collected (`problems`).

mod document;
mod events;
mod fields;
mod graph;
mod names;
mod problems;
mod read;
mod retry;
mod schema;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{json, Value};

use crate::error::{Error, Result};
pub use events::{EventCondition, EventDeclaration};
use graph::{Graph, Node};
use problems::{quoted, Problems};
pub use retry::{Backoff, RetryPolicy};
use schema::{Schema, Violation};

/// A workflow's description: what a task is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Groups templates and, in PostgreSQL, names their queues; at most 33 characters, since PGMQ
    /// allows 47 for `{namespace}_domain_events`.
    pub namespace: Arc<str>,
    /// The name tasks are submitted under.
    pub name: Arc<str>,
    /// Three numbers, such as `1.0.0`.
    pub version: Arc<str>,
    /// For people; empty when there is none.
    pub description: String,
    /// The JSON Schema a context must fit.
    pub input_schema: Option<Value>,
    /// The steps in the order of their declaration; positions count in this order.
    pub steps: Vec<StepTemplate>,
    order: Vec<usize>,
    positions: HashMap<Arc<str>, usize>,
    schema: Schema,
}

/// One step of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTemplate {
    /// The step's name, unique in its template.
    pub name: Arc<str>,
    /// The Ruby class that does the work, or the key of an explicit mapping.
    pub handler: Arc<str>,
    /// Positions of the steps whose results this one needs, in the order of the document.
    pub dependencies: Vec<usize>,
    /// Positions of the steps that need this one's result, ascending.
    pub dependents: Vec<usize>,
    /// What the handler is told besides its input: the text of a JSON object.
    pub config: Arc<str>,
    /// How often the step is attempted.
    pub retry: RetryPolicy,
    /// Seconds one attempt may take; `None` is no limit.
    pub timeout_seconds: Option<f64>,
    /// The domain events that an end of an attempt publishes.
    pub publishes_events: Vec<EventDeclaration>,
    /// Those of them whose payload a class in Ruby makes; `None`: there are none.
    pub publishers: Option<Arc<[EventPublisher]>>,
}

/// A class that makes an event's payload.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPublisher {
    /// The event's name.
    pub event_name: Arc<str>,
    /// The class.
    pub class_name: Arc<str>,
    /// When it is asked.
    pub condition: EventCondition,
}

impl Template {
    /// Reads a YAML document. `source_name` names the file in errors.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] lists every problem with its place and a hint.
    pub fn from_yaml(source_name: &str, text: &str) -> Result<Template> {
        Template::build(source_name, document::from_yaml(text), Problems::default())
    }

    /// Reads a JSON document: what the Ruby DSL sends and what the store keeps.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] lists every problem with its place and a hint.
    pub fn from_json(source_name: &str, text: &str) -> Result<Template> {
        Template::build(source_name, document::from_json(text), Problems::default())
    }

    /// Reads a document that the store keeps. A newer version of this library may have written it: fields that are
    /// unknown here are passed over.
    ///
    /// # Errors
    ///
    /// As for [`Template::from_json`].
    pub fn from_stored(source_name: &str, text: &str) -> Result<Template> {
        Template::build(source_name, document::from_json(text), Problems::lenient())
    }

    fn build(source_name: &str, document: std::result::Result<Value, String>, problems: Problems) -> Result<Template> {
        let refuse = |message| Error::Template { source_name: source_name.to_owned(), message };
        let document = document.map_err(refuse)?;
        let draft = read::read(&document, &problems);
        let schema = document.get("input_schema").filter(|schema| !schema.is_null());
        let schema = schema.map_or_else(|| Ok(Schema::default()), |schema| Schema::compile("input_schema", schema));
        let schema = schema.unwrap_or_else(|what| {
            problems.add("template", || what);
            Schema::default()
        });
        let template = draft.map(|draft| Template::assemble(draft, schema, &problems));
        match template {
            Some(template) if problems.is_empty() => {
                if template.to_json().len() > document::MAX_BYTES {
                    let what = "the document, its aliases and defaults written out,";
                    return Err(refuse(document::too_long(what)));
                }
                Ok(template)
            }
            _ => Err(problems.into_error(source_name)),
        }
    }

    fn assemble(draft: read::Draft, schema: Schema, problems: &Problems) -> Template {
        let nodes: Vec<Node<'_>> = draft.steps.iter().map(read::StepDraft::node).collect();
        let graph = Graph::resolve(&nodes, problems);
        let edges = graph.dependencies.into_iter().zip(graph.dependents);
        let step = |(step, (dependencies, dependents)): (read::StepDraft, _)| StepTemplate {
            name: step.name,
            handler: step.handler,
            dependencies,
            dependents,
            config: step.config,
            retry: step.retry,
            timeout_seconds: step.timeout_seconds,
            publishers: events::publishers(&step.publishes_events),
            publishes_events: step.publishes_events,
        };
        Template {
            namespace: draft.namespace,
            name: draft.name,
            version: draft.version,
            description: draft.description,
            input_schema: draft.input_schema,
            steps: draft.steps.into_iter().zip(edges).map(step).collect(),
            order: graph.order,
            positions: graph.positions,
            schema,
        }
    }

    /// The whole template as JSON text: fields in a fixed order, defaults filled in, keys of
    /// `config` and `input_schema` in the order they were declared. [`Template::from_json`] makes
    /// an equal template of it, whose text is the same again.
    pub fn to_json(&self) -> String {
        let steps: Vec<Value> = self.steps.iter().map(|step| self.step_json(step)).collect();
        let template = json!({
            "name": &*self.name,
            "namespace": &*self.namespace,
            "version": &*self.version,
            "description": self.description,
            "input_schema": self.input_schema,
            "steps": steps,
        });
        template.to_string()
    }

    fn step_json(&self, step: &StepTemplate) -> Value {
        let names = step.dependencies.iter().filter_map(|position| self.steps.get(*position));
        let dependencies: Vec<&str> = names.map(|step| &*step.name).collect();
        let config: Value = serde_json::from_str(&step.config).unwrap_or_default();
        let mut document = json!({
            "name": &*step.name,
            "handler": &*step.handler,
            "dependencies": dependencies,
            "config": config,
            "timeout_seconds": step.timeout_seconds,
            "retry": {
                "max_attempts": step.retry.max_attempts,
                "backoff": step.retry.backoff.as_str(),
                "base": step.retry.base,
                "cap": step.retry.cap,
                "jitter": step.retry.jitter,
            },
        });
        // Left out where there are none: the text of such a template is what it was before there were events.
        if !step.publishes_events.is_empty() {
            document["publishes_events"] = step.publishes_events.iter().map(EventDeclaration::json).collect();
        }
        document
    }

    /// The position of the step of that name.
    pub fn step_position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Positions of the steps that depend on nothing, ascending: where a task begins.
    pub fn roots(&self) -> impl Iterator<Item = usize> + '_ {
        let steps = self.steps.iter().enumerate();
        steps.filter(|(_, step)| step.dependencies.is_empty()).map(|(position, _)| position)
    }

    /// Positions of all steps, each after the steps it depends on; where that leaves a choice, in
    /// the order of declaration.
    pub fn topological_order(&self) -> &[usize] {
        &self.order
    }

    /// Checks a task's context: it must be a JSON object and fit `input_schema`.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaViolation`]: `field` is the JSON pointer of the first violation, `message`
    /// names the template and then, one a line, each pointer with the rule that is broken there.
    /// The context's values are not repeated: they may be secrets.
    pub fn validate_context(&self, context: &Value) -> Result<()> {
        let (violations, unlisted) = if context.is_object() {
            self.schema.violations(context)
        } else {
            let rule = format!("must be a JSON object, but is {}", fields::kind(context));
            (vec![Violation { pointer: String::new(), rule }], 0)
        };
        let Some(first) = violations.first() else {
            return Ok(());
        };
        let Template { namespace, name, version, .. } = self;
        let mut message = format!("the context does not fit {namespace}/{name} {version}; correct:");
        for Violation { pointer, rule } in &violations {
            let place = if pointer.is_empty() { "the context".to_owned() } else { quoted(pointer) };
            message.push_str(&format!("\n  {place} {rule}"));
        }
        if unlisted > 0 {
            message.push_str(&format!("\n  and {unlisted} more"));
        }
        Err(Error::SchemaViolation { field: first.pointer.clone(), message })
    }
}
