//! Owns: the shape of a template's document: which fields there are, their defaults and limits.
//! Refuses: what lies between steps, which is the graph's work.

use std::sync::Arc;

use serde_json::Value;

use super::events::{self, EventDeclaration};
use super::fields::{kind, Fields};
use super::graph::Node;
use super::names::{check_handler, check_name, check_namespace, check_version};
use super::problems::{did_you_mean, quoted, Problems};
use super::retry::{Backoff, RetryPolicy};

/// The most steps a template may have.
const MAX_STEPS: usize = 5000;
/// The most attempts a step may have.
const MAX_ATTEMPTS: u32 = 100;

const TEMPLATE_FIELDS: &[&str] = &["name", "namespace", "version", "description", "input_schema", "steps"];
const STEP_FIELDS: &[&str] =
    &["name", "handler", "dependencies", "config", "retry", "timeout_seconds", "publishes_events"];
const RETRY_FIELDS: &[&str] = &["max_attempts", "backoff", "base", "cap", "jitter"];

/// A document with its defaults filled in.
pub(super) struct Draft {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) description: String,
    pub(super) input_schema: Option<Value>,
    pub(super) steps: Vec<StepDraft>,
}

/// A step whose dependencies are still names.
pub(super) struct StepDraft {
    pub(super) place: String,
    pub(super) name: Arc<str>,
    pub(super) handler: Arc<str>,
    pub(super) dependencies: Vec<String>,
    pub(super) config: Arc<str>,
    pub(super) retry: RetryPolicy,
    pub(super) timeout_seconds: Option<f64>,
    pub(super) publishes_events: Vec<EventDeclaration>,
}

impl StepDraft {
    /// The step as the graph sees it.
    pub(super) fn node(&self) -> Node<'_> {
        Node { place: &self.place, name: &self.name, dependencies: &self.dependencies }
    }
}

/// Reads the document; what is wrong is noted in `problems`. `None` when too much is missing for
/// the steps to be looked at as a graph.
pub(super) fn read(document: &Value, problems: &Problems) -> Option<Draft> {
    let fields = Fields::open("template", document, TEMPLATE_FIELDS, problems)?;
    let name = fields.required_text("name", "order_fulfillment");
    let namespace = fields.text("namespace").unwrap_or("default");
    let version = fields.text("version").unwrap_or("1.0.0");
    name.into_iter().for_each(|name| fields.check(check_name(name)));
    fields.check(check_namespace(namespace));
    fields.check(check_version(version));
    let description = fields.text("description").unwrap_or_default();
    let steps = fields.list("steps", "mappings").unwrap_or_default();
    if steps.is_empty() && fields.given("steps").is_none_or(Value::is_array) {
        fields.refuse(|| "has no steps; add at least one, with a name and a handler".to_owned());
    }
    if steps.len() > MAX_STEPS {
        let count = steps.len();
        fields.refuse(|| {
            format!(
                "has {count} steps, but may have at most {MAX_STEPS}; split it into several \
                 templates, one starting the next"
            )
        });
        return None;
    }
    let steps: Vec<Option<StepDraft>> =
        steps.iter().enumerate().map(|(position, step)| read_step(position, step, problems)).collect();
    Some(Draft {
        namespace: namespace.into(),
        name: name.unwrap_or_default().into(),
        version: version.into(),
        description: description.to_owned(),
        input_schema: fields.given("input_schema").cloned(),
        steps: steps.into_iter().collect::<Option<Vec<StepDraft>>>()?,
    })
}

fn read_step(position: usize, step: &Value, problems: &Problems) -> Option<StepDraft> {
    let place = match step.get("name").and_then(Value::as_str) {
        Some(name) => format!("step {}", quoted(name)),
        None => format!("step number {}", position + 1),
    };
    let fields = Fields::open(&place, step, STEP_FIELDS, problems)?;
    let name = fields.required_text("name", "fetch_cart");
    let handler = fields.required_text("handler", "Orders::FetchCart");
    name.into_iter().for_each(|name| fields.check(check_name(name)));
    handler.into_iter().for_each(|handler| fields.check(check_handler(handler)));
    let retry_place = format!("{place}: retry");
    let retry = match fields.given("retry") {
        Some(retry) => read_retry(&retry_place, retry, problems),
        None => RetryPolicy::default(),
    };
    let dependencies = fields.names("dependencies");
    let config = fields.object("config").into();
    let timeout_seconds = fields.positive_seconds("timeout_seconds");
    let declared = fields.list("publishes_events", "mappings").unwrap_or_default();
    let publishes_events = events::read(&place, declared, &dependencies, problems);
    let handler = handler.unwrap_or_default().into();
    let name = name?.into();
    Some(StepDraft { place, name, handler, dependencies, config, retry, timeout_seconds, publishes_events })
}

fn read_retry(place: &str, retry: &Value, problems: &Problems) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(fields) = Fields::open(place, retry, RETRY_FIELDS, problems) else {
        return default;
    };
    let meaning = "it counts every attempt, the first included";
    let policy = RetryPolicy {
        max_attempts: fields.count("max_attempts", MAX_ATTEMPTS, meaning).unwrap_or(default.max_attempts),
        backoff: fields.given("backoff").map_or(default.backoff, |value| read_backoff(value, &fields)),
        base: fields.seconds("base").unwrap_or(default.base),
        cap: fields.seconds("cap").unwrap_or(default.cap),
        jitter: fields.share("jitter").unwrap_or(default.jitter),
    };
    let cap_is_wrong = fields.given("cap").is_some_and(|cap| cap.as_f64() != Some(policy.cap));
    if policy.cap < policy.base && !cap_is_wrong {
        let RetryPolicy { base, cap, .. } = policy;
        let origin = if fields.given("cap").is_some() { "" } else { " (the default)" };
        fields.refuse(|| {
            format!(
                "cap is {cap} seconds{origin}, below base, which is {base}; raise cap to at least \
                 {base}, or lower base"
            )
        });
    }
    policy
}

fn read_backoff(value: &Value, fields: &Fields<'_>) -> Backoff {
    let names = || Backoff::ALL.iter().map(|backoff| backoff.as_str());
    let backoff = value.as_str().and_then(Backoff::parse);
    if backoff.is_none() {
        fields.refuse(|| {
            let what = value.as_str().map_or_else(|| kind(value).to_owned(), quoted);
            let guess = did_you_mean(value.as_str().unwrap_or_default(), names());
            let allowed = names().collect::<Vec<_>>().join(", ");
            format!("backoff is {what};{guess} it must be one of {allowed}")
        });
    }
    backoff.unwrap_or_default()
}
