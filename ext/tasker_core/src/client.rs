//! Owns: what an application asks of the engine: submit, look, wait, cancel, and what an operator
//! does to a failed step. Answers are JSON text. Refuses: blocking under the GVL.

use magnus::prelude::*;
use magnus::{function, Error, IntoValue, RArray, RModule, RString, Ruby, Value};
use serde::Serialize;
use tasker_engine::bootstrap::{Asked, Engine};
use tasker_engine::error::{Error as EngineError, Result as EngineResult};
use tasker_engine::task::TaskRequest;
use tasker_engine::template::Template;

use crate::errors::{exception, guard, Fault};
use crate::{convert, gvl, runtime};

/// Waits, without the GVL, for what `begin` asks of the engine. What Ruby has for this thread meanwhile (a signal's trap,
/// `Timeout`, `Thread#kill`) comes first: if it raises, the question is dropped, and with it what the engine had not begun;
/// else the same one is waited for again.
pub fn ask<T: Send + 'static>(
    ruby: &Ruby,
    begin: impl FnOnce(&Engine) -> EngineResult<Asked<T>> + Send,
) -> Result<T, Fault> {
    let engine = runtime::engine()?;
    wait_for(ruby, || begin(&engine))
}

/// As [`ask`], without an engine.
pub fn wait_for<T: Send + 'static>(
    ruby: &Ruby,
    begin: impl FnOnce() -> EngineResult<Asked<T>> + Send,
) -> Result<T, Fault> {
    let stretch = gvl::stretch(ruby);
    let (mut begin, mut asked) = (Some(begin), None);
    let answer = gvl::without(ruby, |interrupt| {
        if let Some(begin) = begin.take() {
            match begin() {
                Ok(begun) => asked = Some(begun),
                Err(error) => return Some(Err(error)),
            }
        }
        asked.as_mut()?.wait(stretch, interrupt)
    })?;
    Ok(answer?)
}

fn json<T: Serialize>(value: &T) -> EngineResult<String> {
    serde_json::to_string(value).map_err(|error| EngineError::Internal(format!("cannot write JSON: {error}")))
}

/// Checks a template, with no engine; returns its canonical JSON. `format` is `yaml` or `json`;
/// `source` names the file, or what else the document is.
fn check_template(ruby: &Ruby, source: String, text: String, format: String) -> Result<String, Error> {
    guard(ruby, || {
        let template = match format.as_str() {
            "yaml" => Template::from_yaml(&source, &text),
            _ => Template::from_json(&source, &text),
        }?;
        Ok(template.to_json())
    })
}

/// Gives the engine a template: its canonical JSON.
fn register_template(ruby: &Ruby, source: String, document: String) -> Result<(), Error> {
    guard(ruby, || {
        let template = Template::from_json(&source, &document)?;
        ask(ruby, |engine| Ok(engine.registering(template)))
    })
}

/// Submits a batch: a JSON array of requests. Returns, in the same order, a JSON String for each
/// request that was taken and an exception (not raised) for each that was refused.
fn submit(ruby: &Ruby, requests: String) -> Result<RArray, Error> {
    guard(ruby, || {
        let answers = ask(ruby, move |engine| {
            let requests: Vec<TaskRequest> = serde_json::from_str(&requests)
                .map_err(|error| EngineError::InvalidInput(format!("submit: {error}")))?;
            Ok(engine.submitting(requests))
        })?;
        let array = ruby.ary_new_capa(answers.len());
        for answer in answers {
            match answer.and_then(|submitted| json(&submitted)) {
                Ok(text) => array.push(ruby.str_new(&text))?,
                Err(error) => array.push(exception(ruby, &error)?)?,
            }
        }
        Ok(array)
    })
}

/// The task with its steps, as JSON.
fn task(ruby: &Ruby, uuid: RString) -> Result<String, Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| Ok(engine.reading(move |reader| json(&reader.task(uuid)?))))
    })
}

/// The task's transitions, oldest first, as JSON.
fn transitions(ruby: &Ruby, uuid: RString) -> Result<String, Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| Ok(engine.reading(move |reader| json(&reader.transitions(uuid)?))))
    })
}

/// Waits until the task is final (true) or `timeout` seconds passed (the state it was last seen in, or false if it could
/// not be seen); nil waits for ever.
fn wait(ruby: &Ruby, uuid: RString, timeout: Option<f64>) -> Result<Value, Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        let timeout = timeout.map(convert::seconds).transpose()?;
        let (ended, state) = ask(ruby, |engine| Ok(engine.waiting(uuid, timeout)))?;
        Ok(match state.filter(|_| !ended) {
            Some(state) => ruby.str_new(&state.to_string()).as_value(),
            None => ended.into_value_with(ruby),
        })
    })
}

/// Cancels the task; returns its state.
fn cancel(ruby: &Ruby, uuid: RString) -> Result<String, Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        Ok(ask(ruby, |engine| Ok(engine.cancelling(uuid)))?.to_string())
    })
}

/// Runs a failed step again.
fn rerun_step(ruby: &Ruby, uuid: RString, step: String) -> Result<(), Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| Ok(engine.rerunning_step(uuid, step))).map(drop)
    })
}

/// Declares a step done with `result` (JSON text).
fn resolve_step(ruby: &Ruby, uuid: RString, step: String, result: String) -> Result<(), Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| engine.resolving_step(uuid, step, &result)).map(drop)
    })
}

/// Declares the whole task done.
fn resolve_task(ruby: &Ruby, uuid: RString) -> Result<(), Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| Ok(engine.resolving_task(uuid))).map(drop)
    })
}

/// What the engine says about itself, as JSON.
fn status(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || {
        let engine = runtime::engine()?;
        let status = gvl::without(ruby, |_| Some(json(&engine.status())))?;
        Ok(status?)
    })
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("check_template", function!(check_template, 3))?;
    native.define_singleton_method("register_template", function!(register_template, 2))?;
    native.define_singleton_method("submit", function!(submit, 1))?;
    native.define_singleton_method("task", function!(task, 1))?;
    native.define_singleton_method("transitions", function!(transitions, 1))?;
    native.define_singleton_method("wait", function!(wait, 2))?;
    native.define_singleton_method("cancel", function!(cancel, 1))?;
    native.define_singleton_method("rerun_step", function!(rerun_step, 2))?;
    native.define_singleton_method("resolve_step", function!(resolve_step, 3))?;
    native.define_singleton_method("resolve_task", function!(resolve_task, 1))?;
    native.define_singleton_method("status", function!(status, 0))
}
