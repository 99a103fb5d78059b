//! Owns: what an application asks of the engine: submit, look, wait, cancel, and what an operator
//! does to a failed step. Answers are JSON text. Refuses: blocking under the GVL.

use std::time::Instant;

use magnus::prelude::*;
use magnus::{function, Error, RArray, RModule, RString, Ruby};
use serde::Serialize;
use tasker_engine::bootstrap::Engine;
use tasker_engine::error::{Error as EngineError, Result as EngineResult};
use tasker_engine::task::TaskRequest;
use tasker_engine::template::Template;

use crate::errors::{exception, guard, Fault};
use crate::{convert, gvl, runtime};

/// Runs one call of the engine without the GVL.
fn ask<T: Send>(ruby: &Ruby, mut call: impl FnMut(&Engine) -> EngineResult<T> + Send) -> Result<T, Fault> {
    let engine = runtime::engine()?;
    Ok(gvl::without(ruby, move |_| Some(call(&engine)))??)
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
        ask(ruby, |engine| engine.register_template(template.clone()))
    })
}

/// Submits a batch: a JSON array of requests. Returns, in the same order, a JSON String for each
/// request that was taken and an exception (not raised) for each that was refused.
fn submit(ruby: &Ruby, requests: String) -> Result<RArray, Error> {
    guard(ruby, || {
        let engine = runtime::engine()?;
        let mut requests = Some(requests);
        let answers = gvl::without(ruby, |_| {
            requests.take().map(|text| {
                let requests: Vec<TaskRequest> = serde_json::from_str(&text)
                    .map_err(|error| EngineError::InvalidInput(format!("submit: {error}")))?;
                engine.submit(requests)
            })
        })??;
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
        ask(ruby, |engine| json(&engine.task(uuid)?))
    })
}

/// The task's transitions, oldest first, as JSON.
fn transitions(ruby: &Ruby, uuid: RString) -> Result<String, Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| json(&engine.transitions(uuid)?))
    })
}

/// Waits until the task is final (true) or `timeout` seconds passed (false); nil waits for ever.
fn wait(ruby: &Ruby, uuid: RString, timeout: Option<f64>) -> Result<bool, Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        let until = timeout.map(convert::seconds).transpose()?.and_then(|timeout| Instant::now().checked_add(timeout));
        let engine = runtime::engine()?;
        let stretch = gvl::stretch(ruby);
        let answer = gvl::without(ruby, |interrupt| {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match engine.wait(uuid, Some(left.unwrap_or(stretch).min(stretch)), interrupt) {
                Err(EngineError::Interrupted) => None,
                Ok(false) if left.is_none_or(|left| left > stretch) => None,
                other => Some(other),
            }
        })?;
        Ok(answer?)
    })
}

/// Cancels the task; returns its state.
fn cancel(ruby: &Ruby, uuid: RString) -> Result<String, Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| Ok(engine.cancel(uuid)?.to_string()))
    })
}

/// Runs a failed step again.
fn rerun_step(ruby: &Ruby, uuid: RString, step: String) -> Result<(), Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| engine.rerun_step(uuid, &step).map(drop))
    })
}

/// Declares a step done with `result` (JSON text).
fn resolve_step(ruby: &Ruby, uuid: RString, step: String, result: String) -> Result<(), Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| engine.resolve_step(uuid, &step, &result).map(drop))
    })
}

/// Declares the whole task done.
fn resolve_task(ruby: &Ruby, uuid: RString) -> Result<(), Error> {
    guard(ruby, || {
        let uuid = convert::uuid(uuid)?;
        ask(ruby, |engine| engine.resolve_task(uuid).map(drop))
    })
}

/// What the engine says about itself, as JSON.
fn status(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || ask(ruby, |engine| json(&engine.status())))
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
