//! Owns: what Ruby says about a line, a span or an event: a Hash as attributes. Refuses: filtering and
//! judging: `TaskerCore::Telemetry::Fields` has masked the values and made them plain.

use std::borrow::Cow;

use magnus::prelude::*;
use magnus::r_hash::ForEach;
use magnus::{Float, Integer, RArray, RHash, RString, Symbol, Value};
use tasker_telemetry::record::spans::{Attributes, OwnName, Value as Attribute};

use crate::errors::Fault;
use crate::gvl;

/// The Hash as attributes, in its order: Strings, Symbols, numbers, true, false and nil as they are; an
/// Array of one String is JSON text.
pub fn attributes(hash: Option<RHash>) -> Result<Attributes<OwnName>, Fault> {
    let Some(hash) = hash else { return Ok(Vec::new()) };
    let mut attributes = Vec::with_capacity(hash.len());
    let mut fault = None;
    hash.foreach(|key: Value, value: Value| match name(key).and_then(|name| Ok((name, attribute(value)?))) {
        Ok(pair) => {
            attributes.push(pair);
            Ok(ForEach::Continue)
        }
        Err(error) => {
            fault = Some(error);
            Ok(ForEach::Stop)
        }
    })?;
    fault.map_or(Ok(attributes), Err)
}

/// A String's text.
pub fn text(string: RString) -> Result<String, Fault> {
    gvl::with_str(string, str::to_owned)
}

fn name(key: Value) -> Result<OwnName, Fault> {
    if let Some(symbol) = Symbol::from_value(key) {
        return Ok(Cow::Owned(symbol.name()?.into_owned()));
    }
    match RString::from_value(key) {
        Some(string) => Ok(Cow::Owned(text(string)?)),
        None => Ok(Cow::Owned(key.to_string())),
    }
}

fn attribute(value: Value) -> Result<Attribute, Fault> {
    if let Some(string) = RString::from_value(value) {
        return Ok(Attribute::String(text(string)?));
    }
    if let Some(number) = Integer::from_value(value) {
        return Ok(Attribute::I64(number.to_i64()?));
    }
    if let Some(symbol) = Symbol::from_value(value) {
        return Ok(Attribute::String(symbol.name()?.into_owned()));
    }
    if let Some(number) = Float::from_value(value) {
        return Ok(Attribute::F64(number.to_f64()));
    }
    if let Some(json) = RArray::from_value(value) {
        return Ok(Attribute::Json(text(json.entry(0)?)?));
    }
    Ok(match value {
        nil if nil.is_nil() => Attribute::Null,
        truth => Attribute::Bool(truth.to_bool()),
    })
}
