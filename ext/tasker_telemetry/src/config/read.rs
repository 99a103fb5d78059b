//! Owns: turning one variable's text into a setting, or into a warning and the default.
//! Refuses: to know where the text comes from.

use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::{BatchConfig, LogFormat, Protocol};
use crate::record::sampling::Sampler;

/// Characters of a value that a warning shows.
const SHOWN: usize = 100;
/// The longest time: a day. Longer ones would overflow somebody's clock.
pub(super) const MOST_MILLIS: u64 = 86_400_000;
/// The most that may wait in a queue; some set memory aside for all of it.
const MOST_ITEMS: u64 = 1_000_000;

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
    pub(super) fn text(&mut self, name: &str, over: &Option<String>) -> Option<String> {
        let value = over.clone().or_else(|| (self.vars)(name))?;
        // What is not UTF-8 may be a secret all the same.
        if value.contains(char::REPLACEMENT_CHARACTER) {
            self.warn(format!("{name} cannot be used; it is not UTF-8: taken as unset"));
            return None;
        }
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn refuse(&mut self, name: &str, value: &str, use_instead: &str) {
        let cut = if value.chars().nth(SHOWN).is_some() { "…" } else { "" };
        let value: String = value.chars().take(SHOWN).collect();
        self.warn(format!("{name}={value:?}{cut} cannot be used; {use_instead}"));
    }

    /// A variable that several settings are read from is complained of once.
    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
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

    /// How many, or `default`.
    pub(super) fn size(&mut self, name: &str, default: usize) -> usize {
        usize::try_from(self.number(name, default as u64, MOST_ITEMS)).unwrap_or(default)
    }

    /// For how long, or `default` milliseconds.
    pub(super) fn millis(&mut self, name: &str, default: u64) -> Duration {
        Duration::from_millis(self.number(name, default, MOST_MILLIS))
    }

    fn number(&mut self, name: &str, default: u64, most: u64) -> u64 {
        let Some(value) = self.text(name, &None) else { return default };
        match value.parse::<u64>() {
            Ok(number) if (1..=most).contains(&number) => number,
            _ => {
                let why = format!("it must be a whole number from 1 to {most}: using {default}");
                self.refuse(name, &value, &why);
                default
            }
        }
    }

    pub(super) fn protocol(&mut self, name: &str, over: &Option<String>) -> Option<Protocol> {
        let value = self.text(name, over)?;
        match value.as_str() {
            "grpc" => Some(Protocol::Grpc),
            "http/protobuf" => Some(Protocol::HttpProtobuf),
            "http/json" => Some(Protocol::HttpJson),
            _ => {
                self.refuse(name, &value, "it must be grpc, http/protobuf or http/json: using grpc");
                Some(Protocol::Grpc)
            }
        }
    }

    /// The entries of a list: what `read` makes of each; the rest is one warning, which shows what `shown` does of each.
    fn entries<T>(
        &mut self,
        name: &str,
        over: &Option<String>,
        must: &str,
        shown: fn(&str) -> &str,
        read: impl Fn(&str, &str) -> Option<T>,
    ) -> Vec<T> {
        let Some(text) = self.text(name, over) else { return Vec::new() };
        let (mut entries, mut bad) = (Vec::new(), Vec::new());
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let pair = part.split_once('=').filter(|(key, _)| !key.trim().is_empty());
            match pair.and_then(|(key, value)| read(key.trim(), value.trim())) {
                Some(entry) => entries.push(entry),
                None => bad.push(shown(part)),
            }
        }
        if !bad.is_empty() {
            self.refuse(name, &bad.join(","), must);
        }
        entries
    }

    /// `name=value,…` with percent-encoded values.
    pub(super) fn pairs(&mut self, name: &str, over: &Option<String>) -> Vec<(String, String)> {
        const MUST: &str = "each entry must be name=value, percent-encoded: left out";
        self.entries(name, over, MUST, before_equals, |key, value| Some((key.to_owned(), percent_decode(value)?)))
    }

    /// [`Reader::pairs`] that HTTP allows in a header.
    pub(super) fn headers(&mut self, name: &str, over: &Option<String>) -> Vec<(String, String)> {
        const MUST: &str = "each entry must be name=value, percent-encoded, as HTTP allows it in a header: left out";
        self.entries(name, over, MUST, before_equals, |key, value| {
            let value = percent_decode(value)?;
            let allowed = HeaderName::try_from(key).is_ok() && HeaderValue::try_from(&value).is_ok();
            allowed.then(|| (key.to_owned(), value))
        })
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
    pub(super) fn shares(&mut self, name: &str, over: &Option<String>) -> Vec<(String, f64)> {
        const MUST: &str = "each entry must be namespace=0.0 to 1.0: left out";
        let share = |key: &str, value: &str| {
            let share = value.parse().ok().filter(|share| (0.0..=1.0).contains(share))?;
            Some((key.to_owned(), share))
        };
        self.entries(name, over, MUST, |part| part, share)
    }

    pub(super) fn batch(&mut self) -> BatchConfig {
        let max_queue = self.size("OTEL_BSP_MAX_QUEUE_SIZE", 65_536);
        BatchConfig {
            max_queue,
            max_batch: self.size("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 4_096).min(max_queue),
            delay: self.millis("OTEL_BSP_SCHEDULE_DELAY", 200),
        }
    }

    pub(super) fn log_batch(&mut self) -> BatchConfig {
        let max_queue = self.size("OTEL_BLRP_MAX_QUEUE_SIZE", 2_048);
        BatchConfig {
            max_queue,
            max_batch: self.size("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 512).min(max_queue),
            delay: self.millis("OTEL_BLRP_SCHEDULE_DELAY", 1_000),
        }
    }

    pub(super) fn log_filter(&mut self, over: Option<String>, environment: &str) -> String {
        for (name, over) in [("RUST_LOG", over), ("LOG_LEVEL", None)] {
            let Some(value) = self.text(name, &over) else { continue };
            if !says_levels(&value) || EnvFilter::try_new(&value).is_err() {
                self.refuse(name, &value, "it must be a level or target=level,…: using the environment's default");
                break;
            }
            return self.heard(name, value);
        }
        log_level(environment).into()
    }

    /// Directives for targets alone would silence everything else, errors too: the rest is shown from warnings on.
    fn heard(&mut self, name: &str, directives: String) -> String {
        let mut parts = directives.split(',').map(str::trim).filter(|part| !part.is_empty());
        if parts.clone().any(|part| !part.contains(['=', '[', '{'])) {
            return directives;
        }
        if !parts.any(|part| part.starts_with("tasker_")) {
            let ours = "tasker_orchestration, tasker_worker, tasker_engine, tasker_telemetry and tasker_core";
            self.warn(format!("{name}={directives:?} is about no target of this library's, which are {ours}"));
        }
        format!("warn,{directives}")
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

    pub(super) fn gzip(&mut self, name: &str) -> Option<bool> {
        let value = self.text(name, &None)?;
        match value.as_str() {
            "gzip" => Some(true),
            "none" => Some(false),
            _ => {
                self.refuse(name, &value, "it must be gzip or none: sending uncompressed");
                Some(false)
            }
        }
    }
}

/// What is shown where nobody has said: in production tasks and trouble, elsewhere steps and every move, too.
fn log_level(environment: &str) -> &'static str {
    match environment {
        "development" | "test" => "info",
        _ => "info,tasker_worker=warn,tasker_orchestration::transition=warn",
    }
}

/// The value may be a secret.
fn before_equals(part: &str) -> &str {
    part.split('=').next().unwrap_or_default()
}

/// Whether each word that stands alone is a level. `EnvFilter` takes any other for a target: LOG_LEVEL=verbose would silence
/// everything that is not called "verbose".
fn says_levels(directives: &str) -> bool {
    let alone = |part: &&str| !part.contains(['=', '[', ']', '{', '}', '"']);
    directives
        .split(',')
        .map(str::trim)
        .filter(alone)
        .all(|part| part.is_empty() || part.parse::<LevelFilter>().is_ok())
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
