//! Owns: reading one mapping of the document field by field, each value checked for its kind.
//! Refuses: unknown fields. `null` means the field is not given.

use serde_json::{Map, Value};

use super::problems::{did_you_mean, quoted, Problems};

/// A year: no delay or limit of a step is longer, and none overflows a clock.
const MAX_SECONDS: f64 = 31_536_000.0;

/// One mapping, with the place it has in the document.
pub(super) struct Fields<'a> {
    place: &'a str,
    map: &'a Map<String, Value>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// Opens `value`, which must be a mapping with no other keys than `allowed`.
    pub(super) fn open(
        place: &'a str,
        value: &'a Value,
        allowed: &[&str],
        problems: &'a Problems,
    ) -> Option<Fields<'a>> {
        let Value::Object(map) = value else {
            problems.add(place, || {
                let (fields, kind) = (allowed.join(", "), kind(value));
                format!("must be a mapping with the fields {fields}, but is {kind}")
            });
            return None;
        };
        for key in map.keys().filter(|key| !problems.is_lenient() && !allowed.contains(&key.as_str())) {
            problems.add(place, || {
                let guess = did_you_mean(key, allowed.iter().copied());
                let (what, fields) = (quoted(key), allowed.join(", "));
                format!("unknown field {what};{guess} the fields here are {fields}")
            });
        }
        Some(Fields { place, map, problems })
    }

    /// Notes a problem with what stands here.
    pub(super) fn refuse(&self, what: impl FnOnce() -> String) {
        self.problems.add(self.place, what);
    }

    /// Notes the problem a check found.
    pub(super) fn check(&self, checked: Result<(), String>) {
        if let Err(what) = checked {
            self.refuse(|| what);
        }
    }

    /// The field's value, unless it is absent or `null`.
    pub(super) fn given(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// The field's text, if given.
    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        let value = self.given(field)?;
        if value.as_str().is_none() {
            self.refuse(|| {
                let kind = kind(value);
                format!("{field} must be text, but is {kind}; put it in quotes if it is meant as text")
            });
        }
        value.as_str()
    }

    /// The field's text, which must be given.
    pub(super) fn required_text(&self, field: &str, example: &str) -> Option<&'a str> {
        if self.given(field).is_none() {
            self.refuse(|| format!("{field} is missing; add one, such as `{field}: {example}`"));
        }
        self.text(field)
    }

    /// The field's list, if given.
    pub(super) fn list(&self, field: &str, of: &str) -> Option<&'a [Value]> {
        let value = self.given(field)?;
        let list = value.as_array();
        if list.is_none() {
            self.refuse(|| format!("{field} must be a list of {of}, but is {}", kind(value)));
        }
        list.map(Vec::as_slice)
    }

    /// The field's list of names; empty when it is not given.
    pub(super) fn names(&self, field: &str) -> Vec<String> {
        let mut names = Vec::new();
        for value in self.list(field, "step names").unwrap_or_default() {
            match value {
                Value::String(name) => names.push(name.clone()),
                other => self.refuse(|| {
                    let kind = kind(other);
                    format!("{field} must be a list of step names, but one of them is {kind}")
                }),
            }
        }
        names
    }

    /// The field's mapping as JSON text; `{}` when it is not given.
    pub(super) fn object(&self, field: &str) -> String {
        match self.given(field) {
            None => "{}".to_owned(),
            Some(value) => {
                if !value.is_object() {
                    self.refuse(|| format!("{field} must be a mapping, but is {}", kind(value)));
                }
                value.to_string()
            }
        }
    }

    /// The field's whole number between 1 and `limit`, if given.
    pub(super) fn count(&self, field: &str, limit: u32, meaning: &str) -> Option<u32> {
        let value = self.given(field)?;
        let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
        let count = count.filter(|count| (1..=limit).contains(count));
        if count.is_none() {
            self.refuse(|| {
                let shown = written(value);
                format!("{field} is {shown}, but must be a whole number from 1 to {limit}: {meaning}")
            });
        }
        count
    }

    /// The field's seconds, 0 to a year, if given.
    pub(super) fn seconds(&self, field: &str) -> Option<f64> {
        let allowed = |seconds: &f64| (0.0..=MAX_SECONDS).contains(seconds);
        self.number(field, allowed, "a number of seconds from 0 to 31536000 (a year)")
    }

    /// The field's seconds, more than 0 and at most a year, if given.
    pub(super) fn positive_seconds(&self, field: &str) -> Option<f64> {
        let allowed = |seconds: &f64| *seconds > 0.0 && *seconds <= MAX_SECONDS;
        let range = "a number of seconds above 0 and up to 31536000 (a year); leave it out for no limit";
        self.number(field, allowed, range)
    }

    /// The field's share, 0 to 1, if given.
    pub(super) fn share(&self, field: &str) -> Option<f64> {
        let allowed = |share: &f64| (0.0..=1.0).contains(share);
        self.number(field, allowed, "a share from 0 to 1, such as 0.1 for a tenth")
    }

    fn number(&self, field: &str, allowed: impl Fn(&f64) -> bool, range: &str) -> Option<f64> {
        let value = self.given(field)?;
        let number = value.as_f64().filter(allowed);
        if number.is_none() {
            self.refuse(|| format!("{field} is {}, but must be {range}", written(value)));
        }
        // Adding zero turns -0.0 into 0.0, so that equal policies have equal text.
        number.map(|number| number + 0.0)
    }
}

/// What a value is, in the words of the messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::String(text) => quoted(text),
        other => kind(other).to_owned(),
    }
}
