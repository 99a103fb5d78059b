//! Documents meant to harm, and documents broken at random: a refusal or a template, never a panic.

use serde_json::{json, Value};
use tasker_engine::template::Template;

use super::{one_step, order, refused_json, refused_yaml, ORDER, SHARED};

fn bomb(levels: usize, width: usize) -> String {
    let mut text = "name: laughs\na0: &a0 [ha]\n".to_owned();
    for level in 1..=levels {
        let aliases = vec![format!("*a{}", level - 1); width].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    text
}

#[test]
fn aliases_cannot_multiply_without_end() {
    let message = refused_yaml(&bomb(12, 10));
    assert!(message.starts_with("cannot be read as YAML: YAML document too large or too complex"), "{message}");

    let megabyte = "x".repeat(1_000_000);
    let aliases = vec!["*a"; 5_000].join(", ");
    let message = refused_yaml(&format!("name: &a {megabyte}\nsteps: [{aliases}]\n"));
    assert!(message.contains("its aliases written out, is longer than 4 MiB"), "{message}");

    let mut merges = "m0: &m0 {k: v}\n".to_owned();
    for level in 1..30 {
        let before = vec![format!("*m{}", level - 1); 10].join(", ");
        merges.push_str(&format!("m{level}: &m{level} {{<<: [{before}]}}\n"));
    }
    refused_yaml(&merges);
    refused_yaml("a: &a [*a]\n");
}

#[test]
fn nesting_has_an_end() {
    for text in ["[".repeat(200_000), "- ".repeat(200_000), "{a: ".repeat(200_000), "? ".repeat(200_000)] {
        refused_yaml(&text);
    }
    let nested = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    let deep =
        one_step(json!({"config": {"list": 0}})).to_string().replace("\"list\":0", &format!("\"list\":{nested}"));
    for result in [Template::from_json("orders.json", &deep), Template::from_yaml("orders.yaml", &deep)] {
        let message = super::refusal(result);
        assert!(message.contains("more than 64 levels of nesting"), "{message}");
    }
    let endless = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(Template::from_json("orders.json", &endless).is_err());
}

#[test]
fn long_documents_are_refused() {
    let long = "x".repeat(4 * 1024 * 1024);
    assert!(refused_yaml(&format!("name: {long}")).starts_with("the document is longer than 4 MiB; keep data out"));
    assert!(refused_json(json!({"description": long})).starts_with("the document is longer than 4 MiB"));
    let escaped = "\u{85}".repeat(1024 * 1024);
    let _ = Template::from_yaml("orders.yaml", &format!("name: a\ndescription: \"{escaped}\"\n"));
}

#[test]
fn keys_stand_once() {
    let message = refused_yaml("name: a\nname: b\n");
    assert!(message.contains("duplicate") && message.contains("name"), "{message}");
    let result = Template::from_json("orders.json", r#"{"name": "a", "name": "b"}"#);
    assert!(super::refusal(result).contains("the key `name` stands twice in one mapping at line 1 column"));
}

#[test]
fn foreign_tags_and_further_documents_are_refused() {
    refused_yaml("name: !ruby/object:Gem::Installer {}\n");
    let second = refused_yaml("name: a\n---\nname: b\n");
    assert!(second.contains("only single YAML document expected") && second.contains("line 3"), "{second}");
    assert!(refused_yaml("config: .nan\n").contains("not a finite number at line 1"));
}

/// Marsaglia's xorshift: the same documents in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// Whatever is taken must survive its canonical text.
fn try_both(text: &str) -> usize {
    let results = [Template::from_yaml("random", text), Template::from_json("random", text)];
    let taken = results.into_iter().flatten();
    taken
        .map(|template| {
            let again = Template::from_json("store", &template.to_json()).unwrap();
            assert_eq!(again, template);
            assert_eq!(again.to_json(), template.to_json());
            let _ = template.validate_context(&json!({"order_id": 0, "list": [template.steps.len()]}));
        })
        .count()
}

#[test]
fn broken_text_is_refused_or_read_but_never_panics() {
    let parts = [
        "&a ",
        "*a",
        "<<: *a",
        "!!",
        "!!int ",
        "? ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "|",
        ">",
        "#",
        "%",
        "@",
        "---",
        "...",
        "\n",
        "\t",
        "  ",
        "\0",
        "\u{feff}",
        "\u{2028}",
        "\u{1f600}",
        "~",
        "null",
        "1e999",
        "-0.0",
        ".inf",
        "0x_",
        "1_0",
        "99999999999999999999999999999999999999999",
        "true",
        "\\u0000",
        "\\ud800",
        ",",
        "name",
        "steps",
        "$ref",
    ];
    let sources = [ORDER.to_owned(), SHARED.to_owned(), order().to_json()];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut taken = 0;
    for case in 0..6000 {
        let mut text: Vec<char> = sources[case % sources.len()].chars().collect();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(text.len());
            let end = (at + dice.roll(12)).min(text.len());
            match dice.roll(4) {
                0 => drop(text.drain(at..end)),
                1 => drop(text.splice(at..at, parts[dice.roll(parts.len())].chars())),
                2 => drop(text.splice(at..end, parts[dice.roll(parts.len())].chars())),
                _ => {
                    let copy = text[at..end].to_vec();
                    let to = dice.roll(text.len());
                    drop(text.splice(to..to, copy));
                }
            }
            text.push('\n');
        }
        taken += try_both(&text.into_iter().collect::<String>());
    }
    assert!(taken > 100, "only {taken} of the documents were taken: the mutations are too coarse");
}

#[test]
fn broken_values_are_refused_or_read_but_never_panic() {
    let order: Value = serde_json::from_str(&order().to_json()).unwrap();
    let mut places = Vec::new();
    collect(&order, String::new(), &mut places);
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("charge"),
        json!("fetch_cart"),
        json!("\u{0}"),
        json!("é"),
        json!([]),
        json!([[]]),
        json!(["charge", "charge"]),
        json!({}),
        json!({"": {}}),
        json!({"$ref": "#"}),
        json!({"type": "object"}),
        json!([{"name": "a", "handler": "B"}]),
    ];
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut taken = 0;
    for _ in 0..3000 {
        let mut document = order.clone();
        for _ in 0..=dice.roll(3) {
            let value = odd[dice.roll(odd.len())].clone();
            if let Some(place) = document.pointer_mut(&places[dice.roll(places.len())]) {
                *place = value;
            }
        }
        taken += try_both(&document.to_string());
    }
    assert!(taken > 100, "only {taken} of the documents were taken");
}

fn collect(value: &Value, here: String, places: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| collect(inner, format!("{here}/{key}"), places)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, inner)| collect(inner, format!("{here}/{at}"), places));
        }
        _ => {}
    }
    places.push(here);
}
