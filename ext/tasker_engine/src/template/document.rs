//! Owns: turning YAML or JSON text into one JSON value, within bounds on bytes and depth that no
//! alias, merge or nesting can get round. Refuses: knowing what a template is.
//!
//! YAML is read by the 1.2 rules: `true` and `false` are the only booleans, so `no`, `on` and `y`
//! stay text. A key may stand only once in a mapping, in both languages.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problems::quoted;

/// The longest document, as text and again with its aliases written out: 4 MiB.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
const MAX_DEPTH: usize = 64;

/// The document of a YAML text, or why there is none.
pub(super) fn from_yaml(text: &str) -> Result<Value, String> {
    check_length(text)?;
    // Wider than the bounds of `Bounded`, whose words are plainer; these also hold for what never
    // becomes a value: anchors, merges and keys.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 2 * MAX_DEPTH,
            max_total_scalar_bytes: 4 * MAX_BYTES,
            // A thousand steps may well share one anchored `retry`.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 200_000 },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let left = Cell::new(MAX_BYTES);
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        Bounded { left: &left, depth: 0 }.deserialize(deserializer)
    });
    read.map_err(|error| {
        let what = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        format!("cannot be read as YAML: {what}; correct the YAML there")
    })
}

/// The document of a JSON text, or why there is none.
pub(super) fn from_json(text: &str) -> Result<Value, String> {
    check_length(text)?;
    let left = Cell::new(MAX_BYTES);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Bounded { left: &left, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| format!("cannot be read as JSON: {error}; correct the JSON there"))
}

/// What is said about a document longer than [`MAX_BYTES`].
pub(super) fn too_long(what: &str) -> String {
    format!("{what} is longer than 4 MiB; keep data out of the template, in the context or a file")
}

fn check_length(text: &str) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        return Err(too_long("the document"));
    }
    Ok(())
}

/// Reads a value and pays for each part of it what it will at least cost as JSON text: a document
/// whose canonical text fits into [`MAX_BYTES`] is never refused here.
struct Bounded<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl Bounded<'_> {
    fn pay<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or_else(|| E::custom(too_long("the document, its aliases written out,")))?);
        Ok(())
    }

    fn inner<E: serde::de::Error>(&self) -> Result<Bounded<'_>, E> {
        self.pay(2)?;
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("more than {MAX_DEPTH} levels of nesting")));
        }
        Ok(Bounded { left: self.left, depth: self.depth + 1 })
    }

    fn scalar<E: serde::de::Error>(&self, value: Value) -> Result<Value, E> {
        self.pay(1)?;
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a 64-bit number, true, false, null, a list or a mapping")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        self.scalar(Value::Number(number.ok_or_else(|| E::custom("a number must be finite"))?))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.pay(value.len() + 2)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let inner = self.inner()?;
        while let Some(item) = items.next_element_seed(Bounded { ..inner })? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let inner = self.inner()?;
        while let Some(key) = entries.next_key::<String>()? {
            inner.pay(key.len() + 3)?;
            if map.contains_key(&key) {
                let message = format!("the key {} stands twice in one mapping", quoted(&key));
                return Err(A::Error::custom(message));
            }
            let value = entries.next_value_seed(Bounded { ..inner })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
