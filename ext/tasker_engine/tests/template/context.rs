//! Contexts against `input_schema`: pointer and rule, never the value.

use serde_json::{json, Value};
use tasker_engine::error::Error;
use tasker_engine::template::Template;

use super::{one_step, order, refused_json};

fn violation(template: &Template, context: Value) -> (String, Vec<String>) {
    match template.validate_context(&context) {
        Err(Error::SchemaViolation { field, message }) => (field, message.lines().map(str::to_owned).collect()),
        other => panic!("{other:?}"),
    }
}

fn with_schema(schema: Value) -> Value {
    let mut document = one_step(json!({}));
    document["input_schema"] = schema;
    document
}

fn compiled(schema: Value) -> Template {
    Template::from_json("orders.json", &with_schema(schema).to_string()).unwrap()
}

#[test]
fn a_context_that_fits_is_taken() {
    assert!(order().validate_context(&json!({"order_id": 1, "email": "a@example.com", "coupon": "ABCD"})).is_ok());
}

#[test]
fn every_violation_is_named_without_its_value() {
    let secrets = json!({"order_id": "sesame1", "email": "sesame2", "coupon": "sesame3", "card": {"number": "sesame4"},
        "a/b": "sesame5"});
    let (field, lines) = violation(&order(), secrets);
    assert_eq!(field, "/order_id");
    assert_eq!(lines[0], "the context does not fit orders/order_fulfillment 1.2.0; correct:");
    let mut listed = lines[1..].to_vec();
    listed.sort();
    let expected = [
        "  `/a~1b` is not allowed here",
        "  `/card/number` must have at most 4 characters",
        "  `/coupon` must match the pattern `^[A-Z]{4}$`",
        "  `/email` must have the format `email`",
        "  `/order_id` must be of the type integer",
    ];
    assert_eq!(listed, expected);
    assert!(!lines.concat().contains("sesame"));
}

#[test]
fn a_missing_field_is_named() {
    let (field, lines) = violation(&order(), json!({}));
    assert_eq!((field.as_str(), lines[1].as_str()), ("/order_id", "  `/order_id` is required"));
}

#[test]
fn no_rule_repeats_a_value() {
    let schema = json!({"properties": {
        "any": {"anyOf": [{"type": "null"}, {"maxLength": 1}]}, "one": {"oneOf": [{"type": "null"}]},
        "two": {"oneOf": [true, true]}, "not": {"not": {"type": "string"}}, "enum": {"enum": ["x", 2]}, "const": {"const": 7},
        "min": {"minimum": 5}, "max": {"maximum": 5}, "more": {"exclusiveMinimum": 5}, "less": {"exclusiveMaximum": 5},
        "even": {"multipleOf": 2}, "unique": {"uniqueItems": true}, "tuple": {"prefixItems": [true], "items": false},
        "left": {"unevaluatedItems": false}, "contains": {"contains": {"type": "null"}}, "types": {"type": ["null", "array"]},
        "few": {"minItems": 9}, "names": {"propertyNames": {"maxLength": 2}}, "never": false,
        "deps": {"dependentRequired": {"k": ["other"]}}, "many": {"maxProperties": 0}, "short": {"minLength": 99}}});
    let template = compiled(schema.clone());
    let values = json!({"any": "sesame", "one": "sesame", "two": "sesame", "not": "sesame", "enum": "sesame",
        "const": "sesame", "min": -7777, "max": 7777, "more": -7777, "less": 7777, "even": 7777,
        "unique": ["sesame", "sesame"], "tuple": [1, "sesame"], "left": ["sesame"], "contains": ["sesame"],
        "types": "sesame", "few": ["sesame"], "names": {"key": "sesame"}, "never": "sesame", "deps": {"k": "sesame"},
        "many": {"k": "sesame"}, "short": "sesame"});
    for (name, value) in values.as_object().unwrap() {
        let (field, lines) = violation(&template, json!({name: value}));
        assert!(field.starts_with(&format!("/{name}")), "{field}");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(!lines.concat().contains("sesame") && !lines.concat().contains("7777"), "{lines:?}");
        assert!(!lines[1].contains("does not fit `"), "each rule has its own words: {lines:?}");
    }
}

#[test]
fn a_context_is_an_object_with_or_without_a_schema() {
    for template in [compiled(Value::Null), order()] {
        let (field, lines) = violation(&template, json!(["sesame"]));
        assert_eq!((field.as_str(), lines[1].as_str()), ("", "  the context must be a JSON object, but is a list"));
    }
    assert!(compiled(Value::Null).validate_context(&json!({"anything": [1]})).is_ok());
}

/// Patterns are matched in time linear in the text: nothing can be tried again and again.
#[test]
fn a_pattern_cannot_run_away() {
    let template = compiled(json!({"properties": {"a": {"pattern": "^((x+x*)+y)+$"}}}));
    let (field, lines) = violation(&template, json!({"a": "x".repeat(5_000)}));
    assert_eq!((field.as_str(), lines[1].as_str()), ("/a", "  `/a` must match the pattern `^((x+x*)+y)+$`"));
}

/// That has its price, which is named when the template is read.
#[test]
fn a_pattern_that_looks_ahead_or_refers_back_is_refused() {
    for pattern in ["^(?=.*[0-9]).{8,}$", "a(?!b)", "(?<=a)b", "(?<!a)b"] {
        for schema in
            [json!({"properties": {"a": {"pattern": pattern}}}), json!({"patternProperties": {pattern: true}})]
        {
            let message = refused_json(with_schema(schema));
            assert!(message.contains("looks ahead or behind"), "{message}");
            assert!(message.contains("write several patterns under `allOf`, or `not`"), "{message}");
        }
    }
    let message = refused_json(with_schema(json!({"properties": {"a": {"pattern": r"(a)\1"}}})));
    assert!(message.starts_with("template: input_schema is no JSON Schema: at `/properties/a/pattern`: "), "{message}");
    assert!(message.contains("refers back to a group, which patterns cannot do here"), "{message}");
}

#[test]
fn patterns_are_those_of_ecma_262() {
    let template = compiled(json!({"properties": {"a": {"pattern": r"^\d\w$"}}}));
    assert!(template.validate_context(&json!({"a": "1x"})).is_ok());
    for other in ["\u{0661}x", "1\u{00e9}"] {
        assert_eq!(violation(&template, json!({"a": other})).0, "/a");
    }
}

#[test]
fn many_violations_are_counted() {
    let template = compiled(json!({"properties": {"list": {"items": {"type": "null"}}}}));
    let (field, lines) = violation(&template, json!({"list": vec![1; 500]}));
    assert_eq!((field.as_str(), lines.len()), ("/list/0", 22));
    assert_eq!(lines[21], "  and 480 more");
}

#[test]
fn a_schema_that_is_none_is_refused_with_its_place() {
    let message = refused_json(with_schema(json!({"properties": {"a": {"type": "strng"}}})));
    let start =
        "template: input_schema is no JSON Schema: at `/properties/a/type`: \"strng\" is no type; the types are \
                 array, boolean, integer, null, number, object and string; correct it there (https://";
    assert!(message.starts_with(start), "{message}");
    let message = refused_json(with_schema(json!("text")));
    assert!(message.starts_with("template: input_schema is no JSON Schema: at the top: "), "{message}");
    let message = refused_json(with_schema(json!({"pattern": "("})));
    assert!(message.starts_with("template: input_schema is no JSON Schema: at `/pattern`: "), "{message}");
    assert!(refused_json(with_schema(json!({"pattern": "((a{1000}){1000}){1000}"}))).contains("`/pattern`"));
    let message = refused_json(with_schema(json!({"$schema": "https://example.com/mine"})));
    assert!(message.contains("unknown dialect `https://example.com/mine`; leave it out"), "{message}");
}

#[test]
fn remote_references_are_not_fetched() {
    for remote in ["http://127.0.0.1:9/a.json", "https://example.com/a.json#/x", "file:///etc/passwd", "other.json"] {
        let message = refused_json(with_schema(json!({"properties": {"a": {"$ref": remote}}})));
        assert!(message.starts_with("template: input_schema refers to `"), "{message}");
        let cure = "remote references are not fetched: copy that schema under `$defs` and refer to it as";
        assert!(message.contains(cure), "{message}");
    }
    let template = compiled(json!({"$defs": {"id": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/id"}}}));
    assert_eq!(violation(&template, json!({"a": "x"})).0, "/a");
    let message = refused_json(with_schema(json!({"$ref": "#/$defs/missing"})));
    assert!(message.contains("/$defs/missing"), "{message}");
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    let circles = [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
        json!({"not": {"$ref": "#"}}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}),
        json!({"$dynamicAnchor": "n", "allOf": [{"$dynamicRef": "#n"}]}),
        json!({"if": {"$ref": "#"}, "then": {"$ref": "#"}}),
        json!({"properties": {"a": {"$ref": "#"}}}),
    ];
    for circle in circles {
        if let Ok(template) = Template::from_json("orders.json", &with_schema(circle).to_string()) {
            let _ = template.validate_context(&json!({"a": {"a": {"a": 1}}}));
        }
    }
}
