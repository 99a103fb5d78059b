//! Owns: what a template, a namespace, a step, a handler and a version may be called. Refuses:
//! finding the handler, which is the registry's work in Ruby.

use super::problems::quoted;

/// The longest name of a template or a step, in characters.
const MAX_NAME: usize = 128;
/// The longest handler name, in characters.
const MAX_HANDLER: usize = 255;
/// PGMQ's limit on a queue's name, which is a table's name less its prefix.
const MAX_QUEUE: usize = 47;
/// The longest of the names a namespace's queues have.
const LONGEST_QUEUE_SUFFIX: &str = "_domain_events";
/// The longest namespace: its queues' names must fit.
pub(super) const MAX_NAMESPACE: usize = MAX_QUEUE - LONGEST_QUEUE_SUFFIX.len();

/// Checks the name of a template or a step.
pub(super) fn check_name(text: &str) -> Result<(), String> {
    check_snake("name", text)?;
    check_length("name", text, MAX_NAME, "")
}

/// Checks a namespace.
pub(super) fn check_namespace(text: &str) -> Result<(), String> {
    check_snake("namespace", text)?;
    let why = format!(", because its queue {{namespace}}{LONGEST_QUEUE_SUFFIX} may have {MAX_QUEUE}");
    check_length("namespace", text, MAX_NAMESPACE, &why)
}

/// Checks a handler: a Ruby constant path, or a mapping key.
pub(super) fn check_handler(text: &str) -> Result<(), String> {
    let constant = text.split("::").all(is_constant);
    let key = text.split('.').all(is_snake);
    if !constant && !key {
        return Err(format!(
            "handler {} is no name a handler can have; write a Ruby class such as \
             `Orders::FetchCart`, or the key of an explicit mapping such as `orders.fetch_cart` \
             (lower-case letters, digits and `_`, parts joined by `.`)",
            quoted(text)
        ));
    }
    check_length("handler", text, MAX_HANDLER, "")
}

/// Checks a version: three numbers, as in semantic versioning.
pub(super) fn check_version(text: &str) -> Result<(), String> {
    let number = |part: &str| {
        let digits = part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && !part.is_empty() && (part == "0" || !part.starts_with('0'))
    };
    if text.split('.').count() != 3 || !text.split('.').all(number) {
        let what = quoted(text);
        return Err(format!("version {what} is no version; write three numbers such as `1.0.0`"));
    }
    Ok(())
}

fn check_snake(field: &str, text: &str) -> Result<(), String> {
    if is_snake(text) {
        return Ok(());
    }
    Err(format!(
        "{field} {} is not allowed; begin with a lower-case letter and go on with lower-case \
         letters, digits and `_`",
        quoted(text)
    ))
}

fn check_length(field: &str, text: &str, limit: usize, why: &str) -> Result<(), String> {
    if text.len() <= limit {
        return Ok(());
    }
    let (length, what) = (text.len(), quoted(text));
    Err(format!("{field} {what} has {length} characters; shorten it to at most {limit}{why}"))
}

/// `[a-z][a-z0-9_]*`
fn is_snake(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(allowed)
}

/// `[A-Z][A-Za-z0-9_]*`
fn is_constant(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_uppercase()) && text.bytes().all(allowed)
}
