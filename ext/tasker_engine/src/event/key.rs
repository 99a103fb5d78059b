//! Owns: where an event's key comes from: text with paths in braces, `{/input/order_id}`, `order-{/result/id}`. A path is
//! a JSON pointer into the task's context (`/input`), a dependency's result (`/steps/NAME`) or the step's own (`/result`).

use std::sync::Arc;

use serde_json::Value;

use super::KEY_BYTES;

/// A key as a template writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKey {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Input(String),
    Step(String, String),
    Result(String),
}

/// What a key is made from, as JSON text.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeySource<'a> {
    /// The task's context.
    pub input: &'a str,
    /// Results of the step's dependencies, by name.
    pub steps: &'a [(Arc<str>, Arc<str>)],
    /// The step's own result, when it has one.
    pub result: Option<&'a str>,
}

impl EventKey {
    /// Reads a key.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<EventKey, String> {
        if text.len() > KEY_BYTES {
            return Err(format!("is longer than {KEY_BYTES} bytes"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find(['{', '}']) {
            if begin > 0 {
                parts.push(Part::Text(rest[..begin].to_owned()));
            }
            let inner = rest[begin..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((path, after)) = inner else {
                return Err(format!("`{}` has a brace too many or too few", text.escape_debug()));
            };
            parts.push(part(path)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err(format!("`{}` names no path", text.escape_debug()));
        }
        Ok(EventKey { text: text.to_owned(), parts })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The steps whose results it reads.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Step(name, _) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The key of one event; `None` when a path leads to nothing, or to a list or an object. One that is too long is cut:
    /// events that share its beginning then share an order.
    pub fn of(&self, source: KeySource<'_>) -> Option<Arc<str>> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Input(pointer) => key.push_str(&scalar(source.input, pointer)?),
                Part::Result(pointer) => key.push_str(&scalar(source.result?, pointer)?),
                Part::Step(name, pointer) => {
                    let (_, result) = source.steps.iter().find(|(step, _)| **step == **name)?;
                    key.push_str(&scalar(result, pointer)?);
                }
            }
        }
        let mut end = key.len().min(KEY_BYTES);
        while !key.is_char_boundary(end) {
            end -= 1;
        }
        key.truncate(end);
        (!key.is_empty() && !key.contains('\0')).then(|| key.into())
    }
}

fn part(path: &str) -> Result<Part, String> {
    let below = |root: &str| path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(pointer) = below("/input") {
        return Ok(Part::Input(pointer.to_owned()));
    }
    if let Some(pointer) = below("/result") {
        return Ok(Part::Result(pointer.to_owned()));
    }
    if let Some(step) = path.strip_prefix("/steps/").filter(|step| !step.is_empty()) {
        let (name, pointer) = step.split_at(step.find('/').unwrap_or(step.len()));
        return Ok(Part::Step(name.to_owned(), pointer.to_owned()));
    }
    Err(format!(
        "`{{{}}}` is no path; begin with /input/ (the task's context), /steps/NAME/ (a dependency's result) or /result/ \
         (the step's own result)",
        path.escape_debug()
    ))
}

fn scalar(json: &str, pointer: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    match value.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        let steps = [(Arc::from("cart"), Arc::from(r#"{"ids":[5,6]}"#))];
        let source = KeySource { input: r#"{"order":{"id":7},"n":null}"#, steps: &steps, result: Some(r#""r""#) };
        EventKey::parse(text).unwrap().of(source).map(|key| key.to_string())
    }

    #[test]
    fn a_key_is_put_together_from_what_its_paths_lead_to() {
        assert_eq!(key("{/input/order/id}").as_deref(), Some("7"));
        assert_eq!(key("o-{/input/order/id}-{/steps/cart/ids/1}{/result}").as_deref(), Some("o-7-6r"));
        for nothing in ["{/input/none}", "{/input/n}", "{/input/order}", "{/steps/other/x}", "{/result/x}"] {
            assert_eq!(key(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_key_that_gets_too_long_is_cut_between_characters() {
        let input = format!(r#"{{"k":"a{}"}}"#, "é".repeat(200));
        let source = KeySource { input: &input, ..KeySource::default() };
        assert_eq!(EventKey::parse("{/input/k}").unwrap().of(source).unwrap().len(), KEY_BYTES);
    }

    #[test]
    fn what_names_no_path_is_refused() {
        for (bad, says) in [
            ("order", "names no path"),
            ("", "names no path"),
            ("{/input/a", "a brace too many"),
            ("a}", "a brace too many"),
            ("{/inputs/a}", "is no path"),
            ("{/steps/}", "is no path"),
            ("{order_id}", "is no path"),
        ] {
            assert!(EventKey::parse(bad).unwrap_err().contains(says), "{bad}");
        }
    }
}
