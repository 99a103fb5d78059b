//! Owns: metrics that Ruby records, and the table of the gem's own. Refuses: to raise for a metric: what cannot be
//! used is a line in the log, and false.

use magnus::{function, Error, Object, RModule, RString, Ruby};
use tasker_engine::error::Error as EngineError;
use tasker_engine::telemetry::metrics::{app, CATALOGUE};

use crate::errors::guard;

/// What records: name, value, attributes as JSON text.
type Record = fn(&str, f64, &str) -> bool;

fn record(ruby: &Ruby, record: Record, name: RString, value: f64, attributes: RString) -> Result<bool, Error> {
    // What is not UTF-8 is no name, and no JSON.
    let text = |string: RString| string.to_string().unwrap_or_else(|_| "\u{fffd}".to_owned());
    guard(ruby, || Ok(record(&text(name), value, &text(attributes))))
}

/// Adds `value` to the counter. `attributes` is a JSON object, or "". False when it was left out.
fn metric_counter(ruby: &Ruby, name: RString, value: f64, attributes: RString) -> Result<bool, Error> {
    record(ruby, app::counter_add, name, value, attributes)
}

/// Takes `value` into the histogram; otherwise as `metric_counter`.
fn metric_histogram(ruby: &Ruby, name: RString, value: f64, attributes: RString) -> Result<bool, Error> {
    record(ruby, app::histogram_record, name, value, attributes)
}

/// Sets the gauge; otherwise as `metric_counter`.
fn metric_gauge(ruby: &Ruby, name: RString, value: f64, attributes: RString) -> Result<bool, Error> {
    record(ruby, app::gauge_set, name, value, attributes)
}

/// The gem's own metrics as a JSON array: name, instrument, kind, unit, labels, meaning.
fn metrics_catalogue(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || {
        Ok(serde_json::to_string(CATALOGUE).map_err(|error| EngineError::Internal(format!("metrics: {error}")))?)
    })
}

/// All metrics of this process in Prometheus' text format, as on `/metrics`.
fn metrics_text(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || Ok(tasker_engine::telemetry::metrics::prometheus_text()))
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("metric_counter", function!(metric_counter, 3))?;
    native.define_singleton_method("metric_histogram", function!(metric_histogram, 3))?;
    native.define_singleton_method("metric_gauge", function!(metric_gauge, 3))?;
    native.define_singleton_method("metrics_catalogue", function!(metrics_catalogue, 0))?;
    native.define_singleton_method("metrics_text", function!(metrics_text, 0))
}
