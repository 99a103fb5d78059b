//! Every refusal: the file (checked by `refusal`), the place, the fault, the cure.

use serde_json::{json, Value};

use super::{linked, one_step, refused_json, refused_yaml};

fn refused_step(fields: Value, message: &str) {
    assert_eq!(refused_json(one_step(fields)), message);
}

fn refused_with(field: &str, value: Value, message: &str) {
    let mut document = one_step(json!({}));
    document[field] = value;
    assert_eq!(refused_json(document), message);
}

#[test]
fn a_cycle_is_printed() {
    let cycle = linked(&[("start", &[]), ("b", &["a"]), ("a", &["start", "b"]), ("after", &["a"])]);
    let message = "step `b`: waits for itself: `b -> a -> b` (`->` means depends on); remove one of these dependencies";
    assert_eq!(refused_json(cycle), message);

    let below = linked(&[("late", &["c"]), ("a", &["c"]), ("b", &["a"]), ("c", &["b"])]);
    assert!(refused_json(below).starts_with("step `a`: waits for itself: `a -> c -> b -> a` "));
}

#[test]
fn a_long_cycle_is_shortened() {
    let names: Vec<String> = (0..1000).map(|n| format!("s{n}")).collect();
    let needs: Vec<[&str; 1]> = (0..1000).map(|n| [names[(n + 1) % 1000].as_str()]).collect();
    let steps: Vec<(&str, &[&str])> = names.iter().zip(&needs).map(|(name, need)| (&**name, &need[..])).collect();
    let message = refused_json(linked(&steps));
    assert!(message.starts_with("step `s0`: waits for itself: `s0 -> s1 -> "), "{message}");
    assert!(message.contains(" -> s18 -> (981 more) -> s0` "), "{message}");
}

#[test]
fn an_unknown_dependency_lists_the_known_steps() {
    let message = "step `charge`: depends on `fetch_crat`, which is no step; did you mean `fetch_cart`? known steps: \
                   fetch_cart, charge";
    assert_eq!(refused_json(linked(&[("fetch_cart", &[]), ("charge", &["fetch_crat"])])), message);
    let message = "step `b`: depends on `elsewhere`, which is no step; known steps: a, b";
    assert_eq!(refused_json(linked(&[("a", &[]), ("b", &["elsewhere"])])), message);
}

#[test]
fn dependencies_name_other_steps_once() {
    let itself = "step `a`: depends on itself (`a`); remove that dependency";
    assert_eq!(refused_json(linked(&[("a", &["a"])])), itself);
    let twice = "step `b`: depends on `a` twice; name it once";
    assert_eq!(refused_json(linked(&[("a", &[]), ("b", &["a", "a"])])), twice);
    let kind = "step `a`: dependencies must be a list of step names, but one of them is a number";
    refused_step(json!({"dependencies": [1]}), kind);
    refused_step(json!({"dependencies": "b"}), "step `a`: dependencies must be a list of step names, but is text");
}

#[test]
fn duplicate_steps_are_numbered() {
    let message = "step `a`: steps number 1 and 3 have this name; rename one of them";
    assert_eq!(refused_json(linked(&[("a", &[]), ("b", &[]), ("a", &[])])), message);
}

#[test]
fn a_template_has_steps() {
    let none = "template: has no steps; add at least one, with a name and a handler";
    assert_eq!(refused_json(json!({"name": "a"})), none);
    assert_eq!(refused_json(json!({"name": "a", "steps": []})), none);
    let text = "template: steps must be a list of mappings, but is text";
    assert_eq!(refused_json(json!({"name": "a", "steps": "none"})), text);
    let names: Vec<String> = (0..5001).map(|n| format!("s{n}")).collect();
    let many: Vec<(&str, &[&str])> = names.iter().map(|name| (&**name, &[][..])).collect();
    let message = "template: has 5001 steps, but may have at most 5000; split it into several templates, one starting \
                   the next";
    assert_eq!(refused_json(linked(&many)), message);
}

#[test]
fn unknown_fields_are_named_with_their_place() {
    let top =
        "template: unknown field `versoin`; did you mean `version`? the fields here are name, namespace, version, \
               description, input_schema, steps";
    refused_with("versoin", json!("1.0.0"), top);
    let step = "step `a`: unknown field `queue`; the fields here are name, handler, dependencies, config, retry, \
                timeout_seconds, publishes_events";
    refused_step(json!({"queue": "x"}), step);
    let retry = "step `a`: retry: unknown field `jiter`; did you mean `jitter`? the fields here are max_attempts, \
                 backoff, base, cap, jitter";
    refused_step(json!({"retry": {"jiter": 0}}), retry);
}

#[test]
fn handlers_are_classes_or_mapping_keys() {
    for good in ["Charge", "Orders::V2::Fetch_Cart", "charge", "orders.fetch_cart2", "a.b.c"] {
        let document = one_step(json!({"handler": good})).to_string();
        assert!(tasker_engine::template::Template::from_json("orders.json", &document).is_ok(), "{good}");
    }
    for bad in
        ["", "orders/fetch", "Orders::fetch", "::Orders", "Orders::", "Orders.Fetch", "a..b", "a-b", "É", "a b", "2a"]
    {
        let message = format!(
            "step `a`: handler `{bad}` is no name a handler can have; write a Ruby class such as `Orders::FetchCart`, or \
             the key of an explicit mapping such as `orders.fetch_cart` (lower-case letters, digits and `_`, parts joined \
             by `.`)"
        );
        refused_step(json!({"handler": bad}), &message);
    }
    let long = "A".repeat(256);
    let shown = "A".repeat(80);
    let message = format!("step `a`: handler `{shown}...` has 256 characters; shorten it to at most 255");
    refused_step(json!({"handler": long}), &message);
    let message = "step `a`: handler is missing; add one, such as `handler: Orders::FetchCart`";
    refused_step(json!({"handler": null}), message);
}

#[test]
fn names_are_lower_case_words() {
    let cure = "begin with a lower-case letter and go on with lower-case letters, digits and `_`";
    for bad in ["", "Orders", "1a", "_a", "a-b", "a b", "é", "a\n"] {
        let shown = bad.replace('\n', "\\n");
        refused_with("name", json!(bad), &format!("template: name `{shown}` is not allowed; {cure}"));
        refused_with("namespace", json!(bad), &format!("template: namespace `{shown}` is not allowed; {cure}"));
        refused_step(json!({"name": bad}), &format!("step `{shown}`: name `{shown}` is not allowed; {cure}"));
    }
    let shown = "a".repeat(80);
    let long = format!("template: name `{shown}...` has 129 characters; shorten it to at most 128");
    refused_with("name", json!("a".repeat(129)), &long);
    refused_with("name", Value::Null, "template: name is missing; add one, such as `name: order_fulfillment`");
    refused_step(json!({"name": null}), "step number 1: name is missing; add one, such as `name: fetch_cart`");
}

#[test]
fn a_namespace_leaves_room_for_its_queues() {
    let longest = "a".repeat(33);
    assert_eq!(format!("{longest}_domain_events").len(), 47);
    let mut document = one_step(json!({}));
    document["namespace"] = json!(longest);
    assert!(tasker_engine::template::Template::from_json("orders.json", &document.to_string()).is_ok());
    let longer = "a".repeat(34);
    let message = format!(
        "template: namespace `{longer}` has 34 characters; shorten it to at most 33, because its queue \
         {{namespace}}_domain_events may have 47"
    );
    refused_with("namespace", json!(longer), &message);
}

#[test]
fn versions_are_three_numbers() {
    for bad in ["1", "1.0", "1.0.0.0", "1.0.x", "v1.0.0", "01.0.0", "1..0", "1.0.0-rc1", "", "1.0.9999999999"] {
        let message = format!("template: version `{bad}` is no version; write three numbers such as `1.0.0`");
        refused_with("version", json!(bad), &message);
    }
    let message = "template: version must be text, but is a number; put it in quotes if it is meant as text";
    assert_eq!(refused_yaml("name: a\nversion: 1.0\nsteps: [{name: a, handler: B}]"), message);
}

#[test]
fn retry_limits() {
    let refused =
        |retry: Value, message: &str| refused_step(json!({ "retry": retry }), &format!("step `a`: retry: {message}"));
    for bad in [json!(0), json!(101), json!(-1), json!(2.5), json!(u64::MAX)] {
        let message = format!(
            "max_attempts is {bad}, but must be a whole number from 1 to 100: it counts every attempt, the first included"
        );
        refused(json!({"max_attempts": bad}), &message);
    }
    let seconds = "but must be a number of seconds from 0 to 31536000 (a year)";
    refused(json!({"base": -1}), &format!("base is -1, {seconds}"));
    refused(json!({"cap": 1e300, "base": 5}), &format!("cap is 1e+300, {seconds}"));
    refused(json!({"base": "soon"}), &format!("base is `soon`, {seconds}"));
    let cap = "cap is 4 seconds, below base, which is 5; raise cap to at least 5, or lower base";
    refused(json!({"base": 5, "cap": 4}), cap);
    let default =
        "cap is 300 seconds (the default), below base, which is 600; raise cap to at least 600, or lower base";
    refused(json!({"base": 600}), default);
    refused(json!({"jitter": 1.5}), "jitter is 1.5, but must be a share from 0 to 1, such as 0.1 for a tenth");
    let backoff =
        "backoff is `exponental`; did you mean `exponential`? it must be one of none, linear, exponential, fibonacci";
    refused(json!({"backoff": "exponental"}), backoff);
    refused(json!({"backoff": 2}), "backoff is a number; it must be one of none, linear, exponential, fibonacci");
    let mapping = "must be a mapping with the fields max_attempts, backoff, base, cap, jitter, but is a number";
    refused(json!(3), mapping);
    let yaml = refused_yaml("name: a\nsteps: [{name: a, handler: B, retry: {base: .inf}}]");
    assert!(yaml.contains("cannot be read as YAML"), "{yaml}");
}

#[test]
fn a_timeout_is_more_than_nothing() {
    for bad in [json!(0), json!(-1), json!(1e9)] {
        let message = format!(
            "step `a`: timeout_seconds is {}, but must be a number of seconds above 0 and up to 31536000 (a year); leave \
             it out for no limit",
            serde_json::to_string(&bad).unwrap()
        );
        refused_step(json!({"timeout_seconds": bad}), &message);
    }
}

#[test]
fn config_is_a_mapping() {
    refused_step(json!({"config": [1]}), "step `a`: config must be a mapping, but is a list");
}

#[test]
fn all_problems_are_listed_in_the_order_of_the_document() {
    let yaml = "name: Orders\nsteps:\n  - {name: a, handler: b/c, retries: 1}\n  - {name: b, handler: B, dependencies: [x]}\n  - 7";
    let message = refused_yaml(yaml);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "4 problems:");
    assert!(lines[1].starts_with("  template: name `Orders` is not allowed; "), "{message}");
    assert!(lines[2].starts_with("  step `a`: unknown field `retries`; "), "{message}");
    assert!(lines[3].starts_with("  step `a`: handler `b/c` is no name "), "{message}");
    assert!(lines[4].starts_with("  step number 3: must be a mapping with the fields name, "), "{message}");
    let fields: serde_json::Map<String, Value> = (0..50).map(|n| (format!("f{n}"), json!(n))).collect();
    let message = refused_json(one_step(Value::Object(fields)));
    assert!(message.starts_with("50 problems:\n") && message.ends_with("\n  and 30 more"), "{message}");
}

#[test]
fn unreadable_text_names_the_line() {
    let yaml = refused_yaml("name: a\nsteps: [\n  {name: b\n");
    assert!(yaml.starts_with("cannot be read as YAML: ") && yaml.contains("line"), "{yaml}");
    let json = super::refusal(super::Template::from_json("orders.json", "{\"name\": }"));
    assert_eq!(json, "cannot be read as JSON: expected value at line 1 column 10; correct the JSON there");
    for empty in ["", "# nothing\n", "just text", "- a\n"] {
        let message = refused_yaml(empty);
        assert!(message.starts_with("template: must be a mapping with the fields name, "), "{message}");
    }
}
