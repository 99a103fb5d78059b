//! Owns: turning one variable's text into a setting, or into a warning and the default.
//! Refuses: to know where the text comes from.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{BatchConfig, LogFormat, Protocol};
use crate::telemetry::sampling::Sampler;

/// Reads variables and collects what it could not use.
pub(super) struct Reader<F> {
    vars: F,
    pub(super) warnings: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    pub(super) fn new(vars: F) -> Self {
        Reader { vars, warnings: Vec::new() }
    }

    /// The override, else the variable; the empty string counts as unset, as OpenTelemetry wants it.
    pub(super) fn text(&self, name: &str, over: &Option<String>) -> Option<String> {
        let value = over.clone().or_else(|| (self.vars)(name))?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn refuse(&mut self, name: &str, value: &str, use_instead: &str) {
        self.warnings.push(format!("{name}={value:?} cannot be used; {use_instead}"));
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        let Some(value) = self.text(name, &None) else { return false };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.refuse(name, &value, "it must be true or false: taken as false");
                false
            }
        }
    }

    /// A positive whole number, or `default`.
    pub(super) fn number(&mut self, name: &str, default: usize) -> usize {
        let Some(value) = self.text(name, &None) else { return default };
        match value.parse::<usize>() {
            Ok(number) if number > 0 => number,
            _ => {
                self.refuse(name, &value, &format!("it must be a positive whole number: using {default}"));
                default
            }
        }
    }

    pub(super) fn protocol(&mut self, over: Option<String>) -> Protocol {
        const NAME: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
        match self.text(NAME, &over).as_deref() {
            None | Some("grpc") => Protocol::Grpc,
            Some("http/protobuf") => Protocol::HttpProtobuf,
            Some(other) => {
                let other = other.to_owned();
                self.refuse(NAME, &other, "it must be grpc or http/protobuf: using grpc");
                Protocol::Grpc
            }
        }
    }

    /// `name=value,…` with percent-encoded values, as headers and resource attributes are written.
    pub(super) fn pairs(&mut self, name: &str, over: &Option<String>) -> Vec<(String, String)> {
        let Some(text) = self.text(name, over) else { return Vec::new() };
        let mut pairs = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let pair = part.split_once('=').map(|(key, value)| (key.trim(), percent_decode(value.trim())));
            match pair {
                Some((key, Some(value))) if !key.is_empty() => pairs.push((key.to_owned(), value)),
                // The value may be a secret: only the name before the equals sign is shown.
                _ => {
                    let shown = part.split('=').next().unwrap_or_default().to_owned();
                    self.refuse(name, &shown, "each entry must be name=value, percent-encoded: entry left out");
                }
            }
        }
        pairs
    }

    /// Whether the signal is exported: `otlp` (the default) or `none`.
    pub(super) fn exporter(&mut self, name: &str) -> bool {
        match self.text(name, &None).as_deref() {
            None | Some("otlp") => true,
            Some("none") => false,
            Some(other) => {
                let other = other.to_owned();
                self.refuse(name, &other, "it must be otlp or none: using otlp");
                true
            }
        }
    }

    pub(super) fn sampler(&mut self, over: &Option<String>, over_arg: &Option<String>) -> Sampler {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
        let arg = self.text(ARG, over_arg);
        let ratio = match arg.as_deref().map(|text| (text, text.parse::<f64>())) {
            None => None,
            Some((_, Ok(ratio))) if (0.0..=1.0).contains(&ratio) => Some(ratio),
            Some((text, _)) => {
                let text = text.to_owned();
                self.refuse(ARG, &text, "it must be a number from 0.0 to 1.0: using 1.0");
                None
            }
        };
        let default = ratio.map_or(Sampler::ParentBasedAlwaysOn, Sampler::ParentBasedRatio);
        match self.text(NAME, over).as_deref() {
            None => default,
            Some("always_on") => Sampler::AlwaysOn,
            Some("always_off") => Sampler::AlwaysOff,
            Some("traceidratio") => Sampler::Ratio(ratio.unwrap_or(1.0)),
            Some("parentbased_always_on") => Sampler::ParentBasedAlwaysOn,
            Some("parentbased_always_off") => Sampler::ParentBasedAlwaysOff,
            Some("parentbased_traceidratio") => Sampler::ParentBasedRatio(ratio.unwrap_or(1.0)),
            Some(other) => {
                let other = other.to_owned();
                self.refuse(
                    NAME,
                    &other,
                    "it must be always_on, always_off, traceidratio or one of these after parentbased_: \
                     using parentbased_always_on",
                );
                default
            }
        }
    }

    /// `namespace=share,…`, shares from 0.0 to 1.0.
    pub(super) fn shares(&mut self, over: &Option<String>) -> Vec<(String, f64)> {
        const NAME: &str = "TASKER_TRACE_SAMPLE";
        let Some(text) = self.text(NAME, over) else { return Vec::new() };
        let mut shares = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let pair = part.split_once('=').map(|(name, share)| (name.trim(), share.trim().parse::<f64>()));
            match pair {
                Some((name, Ok(share))) if !name.is_empty() && (0.0..=1.0).contains(&share) => {
                    shares.push((name.to_owned(), share));
                }
                _ => self.refuse(NAME, part, "each entry must be namespace=0.0 to 1.0: entry left out"),
            }
        }
        shares
    }

    pub(super) fn batch(&mut self) -> BatchConfig {
        let max_queue = self.number("OTEL_BSP_MAX_QUEUE_SIZE", 65_536);
        BatchConfig {
            max_queue,
            max_batch: self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 4_096).min(max_queue),
            delay: Duration::from_millis(self.number("OTEL_BSP_SCHEDULE_DELAY", 200) as u64),
        }
    }

    pub(super) fn log_batch(&mut self) -> BatchConfig {
        let max_queue = self.number("OTEL_BLRP_MAX_QUEUE_SIZE", 2_048);
        BatchConfig {
            max_queue,
            max_batch: self.number("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 512).min(max_queue),
            delay: Duration::from_millis(self.number("OTEL_BLRP_SCHEDULE_DELAY", 1_000) as u64),
        }
    }

    pub(super) fn log_filter(&mut self, over: Option<String>) -> String {
        for (name, over) in [("RUST_LOG", over), ("LOG_LEVEL", None)] {
            let Some(value) = self.text(name, &over) else { continue };
            if EnvFilter::try_new(&value).is_ok() {
                return value;
            }
            self.refuse(name, &value, "it must be a level or target=level,…: using info");
            break;
        }
        "info".into()
    }

    pub(super) fn log_format(&mut self) -> LogFormat {
        match self.text("LOG_FORMAT", &None).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                let other = other.to_owned();
                self.refuse("LOG_FORMAT", &other, "it must be text or json: using text");
                LogFormat::Text
            }
        }
    }

    pub(super) fn compression(&mut self) {
        const NAME: &str = "OTEL_EXPORTER_OTLP_COMPRESSION";
        if let Some(value) = self.text(NAME, &None).filter(|value| value != "none") {
            self.refuse(NAME, &value, "compression is not built in: sending uncompressed");
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let (hex, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}
