//! Owns: how an event looks on the console: one line, with the ids of the span it happened in.
//!
//! Text: time, level, thread, target, message, then `key=value` for every field. JSON: one object with
//! `timestamp`, `level`, `threadId`, `target`, `message`, `trace_id`, `span_id`, `correlation_id` (the last three where there
//! are any) and every other field under `fields`, where no name can hide one of the line's own.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;
use crate::record::context::{self, TraceContext};
use crate::record::line::{self, Line, Severity};
use crate::record::spans::{Attributes, OwnName, Value};

/// The format of every line.
pub(super) struct Lines(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let target = event.metadata().target();
        if target == line::TARGET {
            let mut result = Ok(());
            line::with_current(|line| result = self.write(writer, target, line));
            return result;
        }
        let mut parts = Parts(Line {
            severity: severity(*event.metadata().level()),
            message: String::new(),
            fields: Vec::new(),
            context: context::current(),
            correlation_id: None,
        });
        event.record(&mut parts);
        let level = (*event.metadata().level() == Level::TRACE).then_some("TRACE");
        self.write_as(writer, level, target, &parts.0)
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        _ => Severity::Debug,
    }
}

impl Lines {
    fn write(&self, writer: Writer<'_>, target: &str, line: &Line) -> fmt::Result {
        self.write_as(writer, None, target, line)
    }

    fn write_as(&self, mut writer: Writer<'_>, level: Option<&str>, target: &str, line: &Line) -> fmt::Result {
        let level = level.unwrap_or(line.severity.text());
        match self.0 {
            LogFormat::Text => text(&mut writer, level, target, line),
            LogFormat::Json => json(&mut writer, level, target, line),
        }?;
        writer.write_char('\n')
    }
}

/// An event of Rust's as a line.
struct Parts(Line);

impl Parts {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.0.message = plain(&value),
            "correlation_id" => self.0.correlation_id = Some(plain(&value)),
            name => self.0.fields.push((name.into(), value)),
        }
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    // Rust's texts stand in quotes always, as `tracing` writes them; what is displayed only if it must.
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" | "correlation_id" => self.put(field, Value::String(value.to_owned())),
            _ => self.put(field, Value::Json(quoted(value))),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, i64::try_from(value).map_or_else(|_| Value::String(value.to_string()), Value::I64));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::F64(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }
}

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

fn text(writer: &mut Writer<'_>, level: &str, target: &str, line: &Line) -> fmt::Result {
    if writer.has_ansi_escapes() {
        let color = match level {
            "ERROR" | "FATAL" => "\x1b[31m",
            "WARN" => "\x1b[33m",
            "INFO" => "\x1b[32m",
            _ => "\x1b[34m",
        };
        writer.write_str(DIM)?;
        SystemTime.format_time(writer)?;
        write!(writer, "{RESET} {color}{level:>5}{RESET} {DIM}{} {target}:{RESET} ", Thread)?;
    } else {
        SystemTime.format_time(writer)?;
        write!(writer, " {level:>5} {} {target}: ", Thread)?;
    }
    escaped(writer, &line.message)?;
    for (key, value) in &line.fields {
        writer.write_char(' ')?;
        bare(writer, key)?;
        writer.write_char('=')?;
        bare(writer, &plain(value))?;
    }
    if let Some(id) = &line.correlation_id {
        writer.write_str(" correlation_id=")?;
        bare(writer, id)?;
    }
    if let Some(TraceContext { trace_id, span_id, .. }) = line.context {
        write!(writer, " trace_id={trace_id:032x} span_id={span_id:016x}")?;
    }
    Ok(())
}

/// The thread that writes, as `tracing_subscriber` shows it.
struct Thread;

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0>2?}", std::thread::current().id())
    }
}

/// Text in the open: nothing in it may end the line or speak to the terminal.
fn escaped(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for part in text.split_inclusive(|c: char| c.is_control()) {
        match part.chars().next_back().filter(|c| c.is_control()) {
            Some(control) => {
                writer.write_str(&part[..part.len() - control.len_utf8()])?;
                write!(writer, "{}", control.escape_default())?;
            }
            None => writer.write_str(part)?,
        }
    }
    Ok(())
}

/// A key or a value: in quotes when it would not be told from what comes after it.
fn bare(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let awkward = |c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=';
    let json = text.starts_with(['{', '[', '"']);
    if text.is_empty() || (!json && text.contains(awkward)) {
        return writer.write_str(&quoted(text));
    }
    escaped(writer, text)
}

fn json(writer: &mut Writer<'_>, level: &str, target: &str, line: &Line) -> fmt::Result {
    writer.write_str("{\"timestamp\":\"")?;
    SystemTime.format_time(writer)?;
    let (target, message) = (quoted(target), quoted(&line.message));
    write!(writer, "\",\"level\":\"{level}\",\"threadId\":\"{}\",\"target\":{target},\"message\":{message}", Thread)?;
    if let Some(TraceContext { trace_id, span_id, .. }) = line.context {
        write!(writer, ",\"trace_id\":\"{trace_id:032x}\",\"span_id\":\"{span_id:016x}\"")?;
    }
    if let Some(id) = &line.correlation_id {
        write!(writer, ",\"correlation_id\":{}", quoted(id))?;
    }
    if !line.fields.is_empty() {
        fields(writer, &line.fields)?;
    }
    writer.write_char('}')
}

fn fields(writer: &mut Writer<'_>, fields: &Attributes<OwnName>) -> fmt::Result {
    for (index, (key, value)) in fields.iter().enumerate() {
        writer.write_str(if index == 0 { ",\"fields\":{" } else { "," })?;
        write!(writer, "{}:", quoted(key))?;
        match value {
            Value::I64(number) => write!(writer, "{number}")?,
            Value::F64(number) if number.is_finite() => write!(writer, "{number:?}")?,
            Value::Bool(truth) => write!(writer, "{truth}")?,
            Value::Json(text) => writer.write_str(text)?,
            Value::Null => writer.write_str("null")?,
            text => writer.write_str(&quoted(&plain(text)))?,
        }
    }
    writer.write_char('}')
}

/// As JSON writes a string.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Static(text) => (*text).to_owned(),
        Value::Shared(text) => text.to_string(),
        Value::String(text) | Value::Json(text) => text.clone(),
        Value::Uuid(id) => id.to_string(),
        Value::TraceId(id) => id.simple().to_string(),
        Value::SpanId(id) => format!("{id:016x}"),
        Value::I64(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null => "null".to_owned(),
    }
}
