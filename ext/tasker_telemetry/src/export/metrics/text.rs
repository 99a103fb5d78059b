//! Owns: Prometheus' text format, version 0.0.4, written from one collection: each name once, in order, with its help
//! and its type. Our own metrics have the names of the catalogue; an application's are made from its instruments' names
//! the way OpenTelemetry's compatibility rules have it. Refuses: exponential histograms, which the format cannot say.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Histogram, Metric, MetricData, ResourceMetrics};

use crate::record::metrics::{catalogue, Kind};

/// Everything that was collected.
pub(super) fn write(collected: &ResourceMetrics) -> String {
    let mut families = BTreeMap::new();
    for metric in collected.scope_metrics().flat_map(|scope| scope.metrics()) {
        let Some(kind) = kind(metric) else { continue };
        let name = match catalogue::by_instrument(metric.name()) {
            Some(info) => info.name.to_owned(),
            None => prometheus_name(metric.name(), metric.unit(), kind),
        };
        // Two instruments may come to one name; a scrape with a name twice would be refused as a whole.
        families.entry(name.clone()).or_insert_with(|| family(&name, kind, metric));
    }
    families.into_values().collect()
}

/// The name on `/metrics` of an instrument that is not in the catalogue.
pub(super) fn prometheus_name(instrument: &str, unit: &str, kind: Kind) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' };
    let mut name: String = instrument.chars().map(allowed).collect();
    let suffix = match (unit, kind) {
        ("d", _) => "days",
        ("h", _) => "hours",
        ("min", _) => "minutes",
        ("s", _) => "seconds",
        ("ms", _) => "milliseconds",
        ("us", _) => "microseconds",
        ("ns", _) => "nanoseconds",
        ("By", _) => "bytes",
        ("%", _) => "percent",
        ("1", Kind::Gauge) => "ratio",
        _ => "",
    };
    let bare = name.strip_suffix("_total").map(str::len);
    if let (Kind::Counter, Some(length)) = (kind, bare) {
        name.truncate(length);
    }
    if !suffix.is_empty() && !name.ends_with(suffix) {
        name = format!("{name}_{suffix}");
    }
    if kind == Kind::Counter {
        name.push_str("_total");
    }
    name
}

fn kind(metric: &Metric) -> Option<Kind> {
    fn of<T>(data: &MetricData<T>) -> Option<Kind> {
        match data {
            MetricData::Gauge(_) => Some(Kind::Gauge),
            MetricData::Sum(sum) => Some(if sum.is_monotonic() { Kind::Counter } else { Kind::Gauge }),
            MetricData::Histogram(_) => Some(Kind::Histogram),
            MetricData::ExponentialHistogram(_) => None,
        }
    }
    match metric.data() {
        AggregatedMetrics::F64(data) => of(data),
        AggregatedMetrics::U64(data) => of(data),
        AggregatedMetrics::I64(data) => of(data),
    }
}

fn family(name: &str, kind: Kind, metric: &Metric) -> String {
    let mut text = String::with_capacity(1024);
    let help = if metric.description().is_empty() { "Recorded by the application." } else { metric.description() };
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    line(&mut text, format_args!("# HELP {name} {help}"));
    line(&mut text, format_args!("# TYPE {name} {kind}"));
    match metric.data() {
        AggregatedMetrics::F64(data) => samples(&mut text, name, data),
        AggregatedMetrics::U64(data) => samples(&mut text, name, data),
        AggregatedMetrics::I64(data) => samples(&mut text, name, data),
    }
    text
}

fn line(text: &mut String, what: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{what}");
}

fn samples<T: Display + Copy>(text: &mut String, name: &str, data: &MetricData<T>) {
    match data {
        MetricData::Gauge(gauge) => {
            for point in gauge.data_points() {
                line(text, format_args!("{name}{} {}", labels(point.attributes()), point.value()));
            }
        }
        MetricData::Sum(sum) => {
            for point in sum.data_points() {
                line(text, format_args!("{name}{} {}", labels(point.attributes()), point.value()));
            }
        }
        MetricData::Histogram(histogram) => buckets(text, name, histogram),
        MetricData::ExponentialHistogram(_) => {}
    }
}

fn buckets<T: Display + Copy>(text: &mut String, name: &str, histogram: &Histogram<T>) {
    // The same in every series of it, and there may be thousands.
    let bounds = histogram.data_points().next().into_iter().flat_map(|point| point.bounds());
    let bounds: Vec<String> = bounds.map(|bound| bound.to_string()).chain(["+Inf".to_owned()]).collect();
    for point in histogram.data_points() {
        let plain = labels(point.attributes());
        let others = plain.strip_suffix('}').map_or_else(|| "{".to_owned(), |others| format!("{others},"));
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(point.bucket_counts()) {
            below += count;
            line(text, format_args!("{name}_bucket{others}le=\"{bound}\"}} {below}"));
        }
        line(text, format_args!("{name}_sum{plain} {}", point.sum()));
        line(text, format_args!("{name}_count{plain} {}", point.count()));
    }
}

/// `{name="value",…}`; nothing at all without labels.
fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for attribute in attributes {
        let name = label_name(attribute.key.as_str());
        let value = attribute.value.to_string();
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        known.entry(name).or_insert(value);
    }
    let pairs: Vec<String> = known.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    if pairs.is_empty() {
        return String::new();
    }
    format!("{{{}}}", pairs.join(","))
}

fn label_name(key: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = key.chars().map(allowed).collect();
    // `le` is the format's own; names with two underscores in front are Prometheus'.
    if name.is_empty() || name == "le" || name.starts_with("__") || name.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("key_{}", name.trim_start_matches('_'));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_unit_and_total_once() {
        assert_eq!(prometheus_name("orders.total", "", Kind::Counter), "orders_total");
        assert_eq!(prometheus_name("orders", "", Kind::Counter), "orders_total");
        assert_eq!(prometheus_name("cart/size", "", Kind::Gauge), "cart_size");
        assert_eq!(prometheus_name("wait", "ms", Kind::Histogram), "wait_milliseconds");
        assert_eq!(prometheus_name("wait_seconds", "s", Kind::Counter), "wait_seconds_total");
        assert_eq!(prometheus_name("placed", "{order}", Kind::Counter), "placed_total");
        assert_eq!(prometheus_name("full", "1", Kind::Gauge), "full_ratio");
        assert_eq!(prometheus_name("full", "1", Kind::Counter), "full_total");
    }

    #[test]
    fn labels_are_quoted_and_their_names_made_fit() {
        let given = [KeyValue::new("a.b", "say \"x\"\\\n"), KeyValue::new("le", 3), KeyValue::new("9", true)];
        let text = labels(given.iter());
        assert_eq!(text, "{a_b=\"say \\\"x\\\"\\\\\\n\",key_9=\"true\",key_le=\"3\"}");
        assert_eq!(labels([].iter()), "");
    }
}
