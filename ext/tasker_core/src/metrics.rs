//! Owns: metrics that Ruby records, and the table of the gem's own. Refuses: to raise for a metric: what cannot be
//! used is a line in the log, and false.

use magnus::{function, Error, Object, RModule, RString, Ruby};
use tasker_engine::error::Error as EngineError;
use tasker_telemetry::app::{self, About};
use tasker_telemetry::record::metrics::{Kind, CATALOGUE};

use crate::errors::guard;

/// Records `value` for the metric of that kind and name. `attributes` is a JSON object, or "". `description` and `unit`
/// count when it is the name's first value in this process. False when it was left out.
fn record(
    ruby: &Ruby,
    kind: Kind,
    name: RString,
    value: f64,
    attributes: RString,
    description: Option<RString>,
    unit: Option<RString>,
) -> Result<bool, Error> {
    // What is not UTF-8 is no name, no JSON and no unit.
    let text = |string: RString| string.to_string().unwrap_or_else(|_| "\u{fffd}".to_owned());
    let about =
        || About { description: description.map(text).unwrap_or_default(), unit: unit.map(text).unwrap_or_default() };
    guard(ruby, || Ok(app::record(kind, &text(name), value, &text(attributes), about)))
}

/// A function of Ruby's for each kind.
macro_rules! recorders {
    ($($name:ident: $kind:ident),+ $(,)?) => {$(
        fn $name(
            ruby: &Ruby,
            name: RString,
            value: f64,
            attributes: RString,
            description: Option<RString>,
            unit: Option<RString>,
        ) -> Result<bool, Error> {
            record(ruby, Kind::$kind, name, value, attributes, description, unit)
        }
    )+};
}

recorders! { metric_counter: Counter, metric_histogram: Histogram, metric_gauge: Gauge }

/// The gem's own metrics as a JSON array: name, instrument, kind, unit, labels, meaning.
fn metrics_catalogue(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || {
        Ok(serde_json::to_string(CATALOGUE).map_err(|error| EngineError::Internal(format!("metrics: {error}")))?)
    })
}

/// All metrics of this process in Prometheus' text format, as on `/metrics`.
fn metrics_text(ruby: &Ruby) -> Result<String, Error> {
    guard(ruby, || Ok(tasker_telemetry::prometheus_text()))
}

/// Defines the module's functions.
pub fn init(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("metric_counter", function!(metric_counter, 5))?;
    native.define_singleton_method("metric_histogram", function!(metric_histogram, 5))?;
    native.define_singleton_method("metric_gauge", function!(metric_gauge, 5))?;
    native.define_singleton_method("metrics_catalogue", function!(metrics_catalogue, 0))?;
    native.define_singleton_method("metrics_text", function!(metrics_text, 0))
}
