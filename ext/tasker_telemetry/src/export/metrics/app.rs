//! Owns: metrics of the application, by name: checked, bounded, exported with ours. Refuses: to raise. What cannot be
//! used is one warning for each name, and is left out.
//!
//! Counters add, histograms take values, gauges are set. A name belongs to the kind, the unit and the description it was
//! first used with.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use opentelemetry::{Key, KeyValue, Value as OtelValue};
use serde_json::Value;

use super::{current, text};
use crate::record::metrics::{catalogue, Kind, CATALOGUE};

/// Instruments an application may have.
const INSTRUMENTS: usize = 1_000;
/// Label sets one instrument may have.
const LABEL_SETS: usize = 500;
/// Labels one value may have.
const LABELS: usize = 16;
/// Characters of a label's value; the rest is cut off.
const LABEL_LENGTH: usize = 200;
/// Complaints there may be: an application that makes up names must not fill the log.
const COMPLAINTS: usize = 100;
/// Upper bounds of the buckets, for any unit.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0,
    1_000.0, 2_500.0, 5_000.0, 10_000.0, 60_000.0,
];

/// Characters of a description; the rest is cut off.
const DESCRIPTION_LENGTH: usize = 1_024;
/// OpenTelemetry's bound.
const UNIT_LENGTH: usize = 63;

/// What people are told about a metric. Asked for once, when its first value comes.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// One sentence; empty for none.
    pub description: String,
    /// As UCUM has it (`ms`, `By`, `{order}`), at most 63 ASCII characters; empty for none.
    pub unit: String,
}

/// Records `value`: adds it to a counter (it must not be negative), takes it into a histogram, sets a gauge to it.
/// `attributes` is a JSON object of texts, numbers and truths, or empty. `false` when it was left out.
pub fn record(kind: Kind, name: &str, value: f64, attributes: &str, about: impl FnOnce() -> About) -> bool {
    let app = &current().app;
    match app.record(kind, name, value, attributes, about) {
        Ok(()) => true,
        Err(why) => {
            app.complain(name, &why);
            false
        }
    }
}

enum Instrument {
    Counter(Counter<f64>),
    Histogram(Histogram<f64>),
    Gauge(Gauge<f64>),
}

struct Known {
    instrument: Instrument,
    label_sets: HashSet<Vec<(Key, String)>>,
}

/// The application's instruments.
pub(super) struct Instruments {
    meter: Meter,
    /// By name on `/metrics`: two names that come to the same there are one too many.
    shown: Mutex<HashMap<String, String>>,
    by_name: Mutex<HashMap<String, Known>>,
    complaints: Mutex<HashSet<String>>,
}

impl Instruments {
    pub(super) fn new(meter: Meter) -> Instruments {
        Instruments { meter, shown: Mutex::default(), by_name: Mutex::default(), complaints: Mutex::default() }
    }

    fn record(
        &self,
        kind: Kind,
        name: &str,
        value: f64,
        attributes: &str,
        about: impl FnOnce() -> About,
    ) -> Result<(), String> {
        if !value.is_finite() {
            return Err(format!("{value} is not a number that can be recorded"));
        }
        if kind == Kind::Counter && value < 0.0 {
            return Err(format!("a counter only grows, and {value} is negative; use a gauge"));
        }
        let mut labels = labels(attributes)?;
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_name.contains_key(name) {
            let instrument = self.make(kind, name, about())?;
            by_name.insert(name.to_owned(), Known { instrument, label_sets: HashSet::new() });
        }
        let Some(known) = by_name.get_mut(name) else { return Ok(()) };
        let set: Vec<_> = labels.iter().map(|label| (label.key.clone(), label.value.to_string())).collect();
        let mut overflow = false;
        if !known.label_sets.contains(&set) {
            overflow = known.label_sets.len() >= LABEL_SETS;
            if overflow {
                labels = vec![KeyValue::new("overflow", true)];
            } else {
                known.label_sets.insert(set);
            }
        }
        match (&known.instrument, kind) {
            (Instrument::Counter(counter), Kind::Counter) => counter.add(value, &labels),
            (Instrument::Histogram(histogram), Kind::Histogram) => histogram.record(value, &labels),
            (Instrument::Gauge(gauge), Kind::Gauge) => gauge.record(value, &labels),
            _ => return Err("it is in use as a metric of another kind".into()),
        }
        if overflow {
            return Err(format!("it has {LABEL_SETS} label sets; others are recorded as overflow=\"true\""));
        }
        Ok(())
    }

    fn make(&self, kind: Kind, name: &str, about: About) -> Result<Instrument, String> {
        check_name(name)?;
        let About { description, unit } = about;
        if unit.len() > UNIT_LENGTH || !unit.chars().all(|c| c.is_ascii_graphic()) {
            return Err(format!("its unit {unit:?} is not at most {UNIT_LENGTH} visible ASCII characters"));
        }
        let description: String = description.chars().take(DESCRIPTION_LENGTH).collect();
        let shown = text::prometheus_name(name, &unit, kind);
        if CATALOGUE.iter().any(|info| info.name == shown) || catalogue::by_instrument(name).is_some() {
            return Err("it is one of the gem's own metrics".into());
        }
        let mut known = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = known.get(&shown) {
            return Err(format!("on /metrics it would be {shown}, as {other:?} is already"));
        }
        if known.len() >= INSTRUMENTS {
            return Err(format!("there are {INSTRUMENTS} metrics of the application already"));
        }
        known.insert(shown, name.to_owned());
        let (meter, name) = (&self.meter, name.to_owned());
        macro_rules! build {
            ($builder:expr) => {
                $builder.with_description(description).with_unit(unit).build()
            };
        }
        Ok(match kind {
            Kind::Counter => Instrument::Counter(build!(meter.f64_counter(name))),
            Kind::Gauge => Instrument::Gauge(build!(meter.f64_gauge(name))),
            Kind::Histogram => {
                Instrument::Histogram(build!(meter.f64_histogram(name).with_boundaries(BUCKETS.to_vec())))
            }
        })
    }

    fn complain(&self, name: &str, why: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let name: String = name.chars().take(100).collect();
        if complaints.len() < COMPLAINTS && complaints.insert(name.clone()) {
            drop(complaints);
            tracing::warn!(metric = %name, "metric cannot be recorded: {why}. Said once for each name");
        }
    }
}

/// OpenTelemetry's rule for names, and the prefixes that are ours.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(allowed) || name.len() > 255 {
        return Err(
            "a name begins with a letter and goes on with letters, digits, `_`, `.`, `-` and `/`, at most 255".into()
        );
    }
    let ours = ["tasker.", "tasker_", "process.", "process_", "router.", "router_"];
    if ours.iter().any(|prefix| name.to_ascii_lowercase().starts_with(prefix)) {
        return Err("names that begin with tasker, process or router are the gem's own".into());
    }
    Ok(())
}

fn labels(attributes: &str) -> Result<Vec<KeyValue>, String> {
    if attributes.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(Value::Object(object)) = serde_json::from_str(attributes) else {
        return Err("its attributes are not a JSON object".into());
    };
    if object.len() > LABELS {
        return Err(format!("it has {} attributes; at most {LABELS} are allowed", object.len()));
    }
    let mut labels = Vec::with_capacity(object.len());
    for (key, value) in object {
        let value: OtelValue = match value {
            Value::String(text) => text.chars().take(LABEL_LENGTH).collect::<String>().into(),
            Value::Bool(truth) => truth.into(),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => whole.into(),
                None => number.as_f64().unwrap_or_default().into(),
            },
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("its attribute {key:?} is neither text nor number nor truth"));
            }
        };
        labels.push(KeyValue::new(key, value));
    }
    labels.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> (opentelemetry_sdk::metrics::SdkMeterProvider, Instruments) {
        use opentelemetry::metrics::MeterProvider;
        let provider = opentelemetry_sdk::metrics::SdkMeterProvider::default();
        let instruments = Instruments::new(provider.meter("test"));
        (provider, instruments)
    }

    #[test]
    fn names_kinds_and_values_are_checked() {
        let (_provider, app) = app();
        let refused = |kind, name, value, attributes| app.record(kind, name, value, attributes, About::default).err();
        assert_eq!(refused(Kind::Counter, "orders.placed", 1.0, r#"{"shop":"a","n":1,"ok":true}"#), None);
        assert!(refused(Kind::Gauge, "orders.placed", 1.0, "").is_some_and(|why| why.contains("another kind")));
        assert!(refused(Kind::Counter, "orders_placed", 1.0, "").is_some_and(|why| why.contains("orders_placed_total")));
        assert!(refused(Kind::Counter, "orders.placed", -1.0, "").is_some_and(|why| why.contains("negative")));
        assert!(refused(Kind::Gauge, "g", f64::NAN, "").is_some());
        let long = "x".repeat(256);
        for name in ["", "1st", "ä", "with space", "tasker.tasks", "process_x", "Router.x", &long] {
            assert!(refused(Kind::Counter, name, 1.0, "").is_some(), "{name}");
        }
        for attributes in ["[]", "{", r#"{"a":[1]}"#, r#"{"a":{}}"#] {
            assert!(refused(Kind::Counter, "fine", 1.0, attributes).is_some(), "{attributes}");
        }
        assert_eq!(refused(Kind::Histogram, "wait", 0.3, r#"{"a":null}"#), None);
    }

    #[test]
    fn instruments_and_label_sets_are_bounded() {
        let (_provider, app) = app();
        for n in 0..INSTRUMENTS {
            assert_eq!(app.record(Kind::Gauge, &format!("gauge{n}"), 1.0, "", About::default), Ok(()));
        }
        assert!(app.record(Kind::Gauge, "one_more", 1.0, "", About::default).is_err());
        for n in 0..LABEL_SETS {
            assert_eq!(
                app.record(Kind::Gauge, "gauge0", 1.0, &format!(r#"{{"id":{n}}}"#), About::default).is_ok(),
                n < LABEL_SETS - 1
            );
        }
        assert_eq!(
            app.record(Kind::Gauge, "gauge0", 1.0, r#"{"id":3}"#, About::default),
            Ok(()),
            "those that are known go on"
        );
    }

    #[test]
    fn a_unit_that_opentelemetry_refuses_is_refused() {
        let (_provider, app) = app();
        let record = |name: &str, unit: &str| {
            let about = || About { unit: unit.into(), description: "ü".repeat(2_000) };
            app.record(Kind::Histogram, name, 1.0, "", about)
        };
        let long = "x".repeat(64);
        for unit in ["µs", "two words", "\n", &long] {
            assert!(record("wait", unit).is_err_and(|why| why.contains("unit")), "{unit}");
        }
        assert_eq!(record("wait", "ms"), Ok(()));
        let same = record("wait.milliseconds", "");
        assert!(same.is_err_and(|why| why.contains("wait_milliseconds")), "the unit is part of the name there");
    }
}
