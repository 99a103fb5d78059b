//! The template module, from outside: documents in, templates or clear refusals out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "template/context.rs"]
mod context;
#[path = "template/events.rs"]
mod events;
#[path = "template/hostile.rs"]
mod hostile;
#[path = "template/refusals.rs"]
mod refusals;
#[path = "template/retry.rs"]
mod retry;

use serde_json::{json, Value};
use tasker_engine::error::Error;
use tasker_engine::template::{Backoff, RetryPolicy, Template};

const ORDER: &str = include_str!("templates/order_fulfillment.yaml");
const SHARED: &str = include_str!("templates/shared_retry.yaml");

fn order() -> Template {
    Template::from_yaml("order_fulfillment.yaml", ORDER).unwrap()
}

/// The message of the refusal, after it was checked that it names the file.
fn refusal(result: Result<Template, Error>) -> String {
    let error = result.expect_err("the template is refused");
    assert_eq!(error.kind(), "template");
    let Error::Template { source_name, message } = &error else { panic!("{error}") };
    assert_eq!(error.to_string(), format!("{source_name}: {message}"));
    assert!(matches!(source_name.as_str(), "orders.yaml" | "orders.json"));
    message.clone()
}

fn refused_yaml(text: &str) -> String {
    refusal(Template::from_yaml("orders.yaml", text))
}

fn refused_json(document: Value) -> String {
    refusal(Template::from_json("orders.json", &document.to_string()))
}

/// A template of steps `(name, dependencies)`.
fn linked(steps: &[(&str, &[&str])]) -> Value {
    let step = |(name, needs): &(&str, &[&str])| json!({"name": name, "handler": "Do::It", "dependencies": needs});
    json!({"name": "orders", "steps": steps.iter().map(step).collect::<Vec<_>>()})
}

/// A template of one step `a` with these fields more.
fn one_step(fields: Value) -> Value {
    let mut step = json!({"name": "a", "handler": "Do::It"});
    step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"name": "orders", "steps": [step]})
}

#[test]
fn a_document_becomes_a_template() {
    let template = order();
    let header = [&*template.namespace, &*template.name, &*template.version, &*template.description];
    assert_eq!(header, ["orders", "order_fulfillment", "1.2.0", "Takes a paid order out of the door."]);
    let names: Vec<&str> = template.steps.iter().map(|step| &*step.name).collect();
    assert_eq!(names, ["fetch_cart", "validate", "price", "charge"]);
    let charge = &template.steps[3];
    assert_eq!(&*charge.handler, "Orders::ChargeCard");
    assert_eq!(charge.dependencies, [1, 2]);
    assert_eq!(template.steps[0].dependents, [1, 2]);
    assert_eq!(charge.timeout_seconds, Some(30.0));
    let retry = RetryPolicy { max_attempts: 5, backoff: Backoff::Fibonacci, base: 0.5, cap: 60.0, jitter: 0.2 };
    assert_eq!(charge.retry, retry);
    let config = r#"{"currency":"EUR","countries":["DE","NO"],"rounding":0.05,"rates":{"normal":0.19}}"#;
    assert_eq!(&*template.steps[2].config, config);
}

#[test]
fn what_is_left_out_has_a_default() {
    let given = one_step(json!({"config": null, "retry": null, "timeout_seconds": null, "dependencies": null}));
    for document in [one_step(json!({})), given, one_step(json!({"config": {}, "retry": {}, "dependencies": []}))] {
        let template = Template::from_json("orders.json", &document.to_string()).unwrap();
        assert_eq!((&*template.namespace, &*template.version, &*template.description), ("default", "1.0.0", ""));
        assert_eq!(template.input_schema, None);
        let step = &template.steps[0];
        assert_eq!((&*step.config, step.timeout_seconds), ("{}", None));
        let retry = RetryPolicy { max_attempts: 3, backoff: Backoff::Exponential, base: 1.0, cap: 300.0, jitter: 0.1 };
        assert_eq!(step.retry, retry);
    }
}

#[test]
fn the_graph_can_be_asked() {
    let template = order();
    assert_eq!(template.step_position("price"), Some(2));
    assert_eq!(template.step_position("prices"), None);
    assert_eq!(template.roots().collect::<Vec<_>>(), [0]);
    assert_eq!(template.topological_order(), [0, 1, 2, 3]);

    let backwards = linked(&[("c", &["b"]), ("x", &[]), ("b", &["a"]), ("a", &[])]);
    let template = Template::from_json("orders.json", &backwards.to_string()).unwrap();
    assert_eq!(template.topological_order(), [1, 3, 2, 0]);
    assert_eq!(template.roots().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(template.steps[3].dependents, [2]);
}

#[test]
fn the_canonical_text_is_a_fixed_point() {
    for source in [ORDER, SHARED] {
        let template = Template::from_yaml("orders.yaml", source).unwrap();
        let text = template.to_json();
        let again = Template::from_json("store", &text).unwrap();
        assert_eq!(again, template);
        assert_eq!(again.to_json(), text);
        assert_eq!(Template::from_yaml("json.yaml", &text).unwrap(), template, "JSON is YAML");
    }
}

#[test]
fn yaml_and_json_and_defaults_written_out_give_the_same_text() {
    let yaml =
        "name: orders\nsteps:\n  - {name: a, handler: Do::It, config: {odds: 1.30}, retry: {base: 2, jitter: 0}}";
    let json = json!({"version": "1.0.0", "steps": [{"handler": "Do::It", "config": {"odds": 1.3}, "name": "a",
        "retry": {"jitter": -0.0, "cap": 300, "base": 2.0}}], "name": "orders"});
    let from_yaml = Template::from_yaml("orders.yaml", yaml).unwrap().to_json();
    assert_eq!(Template::from_json("orders.json", &json.to_string()).unwrap().to_json(), from_yaml);
    assert_eq!(
        from_yaml,
        concat!(
            r#"{"name":"orders","namespace":"default","version":"1.0.0","description":"","input_schema":null,"#,
            r#""steps":[{"name":"a","handler":"Do::It","dependencies":[],"config":{"odds":1.3},"timeout_seconds":null,"#,
            r#""retry":{"max_attempts":3,"backoff":"exponential","base":2.0,"cap":300.0,"jitter":0.0}}]}"#
        )
    );
}

#[test]
fn numbers_keep_every_bit_on_their_way() {
    for number in ["0.1", "1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "9007199254740993", "1e-7"] {
        let text = one_step(json!({"config": {"n": 0}})).to_string().replace("\"n\":0", &format!("\"n\":{number}"));
        let template = Template::from_json("orders.json", &text).unwrap();
        let config: Value = serde_json::from_str(&template.steps[0].config).unwrap();
        assert_eq!(config["n"].as_f64(), number.parse().ok());
        assert_eq!(Template::from_json("store", &template.to_json()).unwrap(), template);
    }
}

#[test]
fn yaml_is_read_by_the_rules_of_1_2() {
    let yaml = "name: orders\nsteps: [{name: a, handler: Do::It, config: {country: NO, axis: y, on: off, real: true}}]";
    let template = Template::from_yaml("orders.yaml", yaml).unwrap();
    assert_eq!(&*template.steps[0].config, r#"{"country":"NO","axis":"y","on":"off","real":true}"#);
}

#[test]
fn aliases_and_merge_keys_are_written_out() {
    let template = Template::from_yaml("shared_retry.yaml", SHARED).unwrap();
    let policies: Vec<_> = template.steps.iter().map(|step| (step.retry.max_attempts, step.retry.backoff)).collect();
    assert_eq!(policies, [(4, Backoff::Linear), (4, Backoff::Linear), (9, Backoff::Linear)]);
}

#[test]
fn a_thousand_steps_may_share_one_anchor() {
    let mut yaml = "name: wide\nsteps:\n  - {name: s0, handler: Do::It, retry: &r {base: 2}}\n".to_owned();
    for step in 1..1000 {
        yaml.push_str(&format!("  - {{name: s{step}, handler: Do::It, retry: *r, dependencies: [s{}]}}\n", step - 1));
    }
    let template = Template::from_yaml("wide.yaml", &yaml).unwrap();
    assert_eq!(template.steps[999].retry.base, 2.0);
    assert_eq!(template.topological_order(), (0..1000).collect::<Vec<_>>());
}
